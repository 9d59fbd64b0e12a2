"""The files of a prepared directory, and whether they are as written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deepfm_tf.errors import MissingFileError, UserError, damaged

# Version 2 has checksums and digests, version 3 XXH3 as the checksum.
FORMAT_VERSION = 3
MANIFEST_FILE = "prepared.json"
CHECKSUMS_FILE = "checksums.bin"
REJECTED_FILE = "rejected.csv"
# How files looked when their contents were last read; nothing depends on it.
STAMPS_FILE = "stamps.json"
VOCABULARY_DIRECTORY = "vocabulary"

_FILES = re.compile(
    rf"({MANIFEST_FILE}|{CHECKSUMS_FILE}|{REJECTED_FILE}|{STAMPS_FILE}"
    r"|shard-\d{5}\.bin|vocabulary(/(schema|statistics|digests|days)\.json|/\d{3}_.*\.(txt|npy|parquet))?)"
)


def shard_file(number: int) -> str:
    """The name of a shard."""
    return f"shard-{number:05d}.bin"


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a directory that is complete but for it.

    Args:
        directory: where the files are.
        manifest: plain data. Digests of the small files, and one of all that
            it says itself, are added.
    """
    files = [directory / CHECKSUMS_FILE, directory / REJECTED_FILE]
    files += sorted((directory / VOCABULARY_DIRECTORY).iterdir())
    whole = {
        "format_version": FORMAT_VERSION,
        **manifest,
        "files": {
            path.relative_to(directory).as_posix(): _digest(path)
            for path in files
            if path.exists()
        },
    }
    whole["digest"] = _digest_of(whole)
    text = json.dumps(whole, indent=1)
    (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a directory.

    Raises:
        ValueError: there is none, it is of another version, or it is not as
            it was written.
    """
    path = directory / MANIFEST_FILE
    if not path.is_file():
        raise MissingFileError(
            f"{directory} holds no prepared data ({MANIFEST_FILE} is not "
            "there). Make it with `deepfm_tf.prepare`."
        )
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["format_version"]
        digest = manifest.pop("digest", None)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(path, "was changed after it was written") from error
    if version != FORMAT_VERSION:
        raise UserError(
            f"{directory} must have format version {FORMAT_VERSION}. "
            f"Received: {version}. Prepare the data again with this version "
            "of deepfm_tf."
        )
    if digest != _digest_of(manifest):
        raise damaged(path, "was changed after it was written")
    return dict(manifest)


def check_files(
    directory: Path, manifest: dict[str, Any], names: Iterable[str]
) -> None:
    """Raise UserError unless files are those that the manifest knows.

    Args:
        directory: where they are.
        manifest: of `read_manifest`.
        names: of those in `manifest["files"]`.
    """
    for name in names:
        path = directory / name
        if not path.is_file():
            raise damaged(path, "is not there")
        if _digest(path) != manifest["files"][name]:
            raise damaged(path, "was changed after it was written")


def check_sizes(directory: Path, manifest: dict[str, Any]) -> None:
    """Raise UserError unless the shards are there, and of their sizes."""
    for name, size in manifest["shards"].items():
        path = directory / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise damaged(path, f"must have {size} bytes but has {found}")


def is_prepared(directory: Path) -> bool:
    """Whether a directory may be replaced: all of it is ours."""
    if (directory / MANIFEST_FILE).exists():
        return True
    names = [
        path.relative_to(directory).as_posix() for path in directory.rglob("*")
    ]
    # Without its manifest it is damaged, if there are rows in it.
    return shard_file(0) in names and all(map(_FILES.fullmatch, names))


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while data := file.read(2**22):
            digest.update(data)
    return digest.hexdigest()


def _digest_of(manifest: dict[str, Any]) -> str:
    text = json.dumps(manifest)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
