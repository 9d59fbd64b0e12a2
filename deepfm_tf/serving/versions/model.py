"""A model: the versions in its base path, and the states they go through."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import stat
from pathlib import Path
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError

State = get_model_status_pb2.ModelVersionStatus
_LOG = logging.getLogger(__name__)
# What TensorFlow's own parser of int64 takes: no "+", no "_", ASCII digits.
_INT64 = re.compile(r"-?[0-9]+", re.ASCII)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclasses.dataclass(eq=False)
class ModelVersion:
    """The life of a version, from the directory to the end.

    `START` (known, queued) -> `LOADING` (also between two tries) ->
    `AVAILABLE` -> `UNLOADING` (the last requests run out) -> `END`; a
    version that could not be loaded goes from `LOADING` to `END` with its
    error. Every attribute belongs to the lock of the `ModelStore`.

    Args:
        name: str. The model's name.
        version: int. The version number.
        path: `Path`. The version's directory.
        state: int. One of `ModelVersionStatus.State`.
        error: `ServingError` or None. What the last load failed with.
        failed: bool. No more tries while the directory stays.
        num_tries: int. Loads that failed so far.
        retry_at: float or None. Monotonic seconds of the next try.
        in_work: bool. Whether a thread is loading or closing it.
        num_requests: int. Requests that hold it.
        loaded: `LoadedVersion` or None. Set while it takes memory.
    """

    name: str
    version: int
    path: Path
    state: Any = State.START
    error: ServingError | None = None
    failed: bool = False
    num_tries: int = 0
    retry_at: float | None = None
    in_work: bool = False
    num_requests: int = 0
    loaded: LoadedVersion | None = None

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """As GetModelStatus shows it."""
        status = get_model_status_pb2.ModelVersionStatus(
            version=self.version, state=self.state
        )
        status.status.error_code = 0
        if self.state == State.END and self.error is not None:
            status.status.error_code = self.error.code.value[0]
            status.status.error_message = self.error.message
        return status


@dataclasses.dataclass(eq=False)
class Model:
    """A model: its configuration and all versions that it ever had.

    Args:
        config: `ModelConfig` or None. None once it is no longer configured.
        wanted: dict. Version to directory: what ought to be served.
        versions: dict. Version to its `ModelVersion`, ended ones too.
        available: dict. The part of `versions` that takes requests.
        newest: `ModelVersion` or None. The highest of `available`.
        complaint: str. What was last logged about its base path.
    """

    config: ModelConfig | None = None
    wanted: dict[int, Path] = dataclasses.field(default_factory=dict)
    versions: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    available: dict[int, ModelVersion] = dataclasses.field(default_factory=dict)
    newest: ModelVersion | None = None
    complaint: str = ""

    def set_available(self, version: ModelVersion, available: bool) -> None:
        """Let requests have this version, or no longer."""
        if available:
            self.available[version.version] = version
        else:
            self.available.pop(version.version, None)
        self.newest = (
            self.available[max(self.available)] if self.available else None
        )

    def has_failed(self) -> bool:
        """Whether every version that is wanted has been given up."""
        return bool(self.wanted) and all(
            number in self.versions and self.versions[number].failed
            for number in self.wanted
        )

    def failures(self) -> str:
        """What the versions that are wanted failed with."""
        return "".join(
            f"{{name: {version.name} version: {number} due to error: "
            f"{version.error}}} "
            for number, version in sorted(self.versions.items())
            if number in self.wanted
        )

    def no_longer_needed(self) -> list[ModelVersion]:
        """Available versions that may be unloaded now, the lowest first.

        Availability comes first: while no wanted version is available, the
        highest of the others goes on serving, unless nothing is wanted.
        """
        others = [
            version
            for number, version in sorted(self.available.items())
            if number not in self.wanted
        ]
        if not self.wanted or len(others) < len(self.available):
            return others
        return others[:-1]


def look_for_versions(
    name: str, config: ModelConfig
) -> tuple[dict[int, Path] | None, str]:
    """What a model's policy wants of what lies in its base path.

    Returns:
        The versions, the highest first, or None where the base path cannot
        be read; and what there is to complain of, or "".
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
        return wanted, complaint
    specific = config.model_version_policy.specific.versions
    missing = sorted(set(specific) - set(found))
    if missing:
        return wanted, (
            f"Versions {missing} of servable {name}, which the version policy "
            f"names, were not found under base path {base}."
        )
    return wanted, ""


def parse_version(name: str) -> int | None:
    """The version a directory's name stands for, or None.

    Args:
        name: str. The last part of the path.

    Returns:
        An int64, or None where the name is not one.

    Example:
        >>> parse_version("00000123"), parse_version("7.tmp")
        (123, None)
    """
    if not _INT64.fullmatch(name):
        return None
    version = int(name)
    return version if _INT64_MIN <= version <= _INT64_MAX else None


def find_versions(base_path: str | os.PathLike[str]) -> dict[int, Path]:
    """The version directories below a base path.

    Other names are ignored, and so is what vanishes or cannot be looked at
    while this function runs. Of "1" and "001" the first by name is taken.

    Args:
        base_path: path. The directory that holds the version directories.

    Returns:
        Version to directory, the highest version first.

    Raises:
        OSError: the base path is missing or cannot be read.
    """
    found: dict[int, Path] = {}
    for name in sorted(os.listdir(base_path)):
        version = parse_version(name)
        path = Path(base_path, name)
        if version is None or not _is_directory(path):
            continue
        if version in found:
            _LOG.warning(
                "Version %d is in both %s and %s; the latter is ignored.",
                version,
                found[version],
                path,
            )
            continue
        found[version] = path
    return dict(sorted(found.items(), reverse=True))


def choose_versions(
    policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy,
    found: dict[int, Path],
) -> dict[int, Path]:
    """The versions that a policy wants of those that exist.

    Args:
        policy: `ServableVersionPolicy`. `latest` (of `num_versions`, 0 means
            1), `all` or `specific`. An empty policy means the latest one.
        found: dict. What `find_versions` returned.

    Returns:
        The wanted part of `found`, the highest version first.
    """
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return dict(found)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        return {v: path for v, path in found.items() if v in wanted}
    num_versions = policy.latest.num_versions or 1
    return dict(list(found.items())[:num_versions])


def _is_directory(path: Path) -> bool:
    """Whether it is one; False too where it may not be looked at."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        _LOG.warning("Version directory skipped: %s", error)
        return False
