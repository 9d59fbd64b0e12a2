"""What a configuration asks for: checked, and looked up in the base paths."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)
from tensorflow_serving.config.model_server_config_pb2 import (
    TENSORFLOW,
    ModelConfig,
    ModelServerConfig,
)

from deepfm_tf.serving.errors import invalid_argument

_LOG = logging.getLogger(__name__)
# What TensorFlow's own parser of int64 takes: no "+", no "_", ASCII digits.
_INT64 = re.compile(r"-?[0-9]+", re.ASCII)


def check_config(config: ModelServerConfig) -> None:
    """Refuse what cannot be served, in TensorFlow Serving's own words.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in "
                "config list"
            )
        names.add(model.name)
        got = f"got base_path()={model.base_path}"
        if "://" in model.base_path:
            raise invalid_argument(
                f"Model {model.name}: base_path must be a local directory; "
                f"{got}. Copy or mount it, or use TensorFlow Serving itself."
            )
        if not os.path.isabs(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or "
                f"URI; {got}"
            )
        platform = model.model_platform
        if bool(platform) == (model.model_type == TENSORFLOW):
            raise invalid_argument(
                f"Illegal setting {'both' if platform else 'neither'} "
                "ModelServerConfig::model_type (deprecated) "
                f"{'and' if platform else 'nor'} "
                "ModelServerConfig::model_platform, model name is "
                f"{model.name}"
            )
        if platform not in ("", "tensorflow"):
            raise invalid_argument(
                f"Model {model.name} requests unsupported platform {platform}"
            )


def look_for_versions(
    name: str, config: ModelConfig
) -> tuple[dict[int, Path] | None, str]:
    """What a model's policy wants of what lies in its base path.

    Returns:
        Version to directory, the highest first, or None where the base path
        cannot be read; and what there is to complain of, or "".
    """
    base = config.base_path
    try:
        found = find_versions(base)
    except OSError as error:
        return None, (
            f"Could not find base path {base} for servable {name}: "
            f"{error.strerror}"
        )
    wanted = choose_versions(config.model_version_policy, found)
    missing = sorted(
        set(config.model_version_policy.specific.versions) - set(found)
    )
    complaint = ""
    if not wanted:
        complaint = (
            f"No versions of servable {name} found under base path {base}. "
            "The versions must be directories named by a number, such as 1/; "
            f"found: {sorted(found) or 'none'}."
        )
        if Path(base, "saved_model.pb").is_file():
            complaint += (
                " The path is a version itself: give the directory above it."
            )
    elif missing:
        complaint = (
            f"Versions {missing} of servable {name}, which the version policy "
            f"names, were not found under base path {base}."
        )
    return wanted, complaint


def find_versions(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """The version directories below a base path: those named by an int64.

    Other names are ignored, and so is what vanishes or cannot be looked at
    while this function runs. Of "1" and "001" the first by name is taken.

    Returns:
        Version to directory, the highest version first.

    Raises:
        OSError: the base path is missing or cannot be read.
    """
    found: dict[int, Path] = {}
    for name in sorted(os.listdir(base_path)):
        path = Path(base_path, name)
        if not _INT64.fullmatch(name) or not -(2**63) <= int(name) < 2**63:
            continue
        if not os.path.isdir(path):
            continue
        first = found.setdefault(int(name), path)
        if first != path:
            _LOG.warning(
                "Version %s is in both %s and %s; the latter is ignored.",
                int(name),
                first,
                path,
            )
    return dict(sorted(found.items(), reverse=True))


def choose_versions(
    policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy,
    found: dict[int, Path],
) -> dict[int, Path]:
    """The part of `find_versions` that a policy wants.

    An empty policy means the latest version, as 0 latest ones do.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(found)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        return {v: path for v, path in found.items() if v in wanted}
    num_versions = policy.latest.num_versions or 1
    return dict(list(found.items())[:num_versions])
