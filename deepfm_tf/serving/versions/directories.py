"""Which versions of a model lie in its base path, and which are wanted."""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)

_LOG = logging.getLogger(__name__)
# What TensorFlow's own parser of int64 takes: no "+", no "_", ASCII digits.
_INT64 = re.compile(r"-?[0-9]+", re.ASCII)
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


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
