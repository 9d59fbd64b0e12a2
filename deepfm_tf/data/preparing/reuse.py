"""Whether a directory holds what a preparation would put there."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepfm_tf.data.prepared.checksums import block_checksums
from deepfm_tf.data.prepared.dataset import PreparedData
from deepfm_tf.data.prepared.manifest import (
    CHECKSUMS_FILE,
    REJECTED_FILE,
    STAMPS_FILE,
    check_files,
    read_manifest,
)
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.preparing.inputs import Inputs
from deepfm_tf.data.reading.stamps import Stamp
from deepfm_tf.errors import UserError, damaged
from deepfm_tf.storage import write_text

_READ_BLOCKS = 64
# Of what the stamps are kept.
_STAMPED = ("inputs", "shards")


def known_digests(directory: Path) -> dict[str, tuple[list[int] | None, str]]:
    """For `Inputs`: what was found when the directory was prepared."""
    try:
        manifest = read_manifest(directory)
    except UserError:
        return {}
    stamps = _read_stamps(directory)["inputs"]
    return {
        entry["path"]: (stamps.get(entry["path"]), entry["digest"])
        for entry in manifest["sources"]
        if "path" in entry
    }


def load_if_same(
    directory: Path, recipe: Mapping[str, Any], inputs: Inputs
) -> PreparedData | None:
    """The data of a directory, if they are whole and come of the same.

    Args:
        directory: where they may be.
        recipe: all but the inputs that decides what comes out.
        inputs: the inputs.

    Returns:
        PreparedData; None, with a warning where it is another version's or
        damaged, if they must be prepared.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return None
    try:
        manifest = read_manifest(directory)
        if manifest["recipe"] != recipe:
            return None
        digests = [entry["digest"] for entry in inputs.digests()]
        if digests != [entry["digest"] for entry in manifest["sources"]]:
            return None
        data = PreparedData.load(directory)
        names = [n for n in manifest["files"] if n == REJECTED_FILE]
        check_files(directory, manifest, names)
        _check_shards(directory, manifest)
    except UserError as error:
        warnings.warn(f"{error} It is prepared again.", stacklevel=5)
        return None
    # What was read for its digest need not be read the next time.
    write_stamps(directory, manifest, inputs)
    return data


def write_stamps(
    directory: Path, manifest: Mapping[str, Any], inputs: Inputs
) -> None:
    """Keep how the inputs and the shards look, now that they are known."""
    stamps = {
        "inputs": inputs.stamps(),
        "shards": {n: Stamp.of(directory / n) for n in manifest["shards"]},
    }
    text = json.dumps(stamps)
    if json.loads(text) == _read_stamps(directory):
        return
    # It saves time only, and the directory may be another's.
    with contextlib.suppress(OSError):
        write_text(directory / STAMPS_FILE, text)


def _read_stamps(directory: Path) -> dict[str, dict[str, Any]]:
    try:
        text = (directory / STAMPS_FILE).read_text(encoding="utf-8")
        return {name: dict(json.loads(text)[name]) for name in _STAMPED}
    except (OSError, ValueError, TypeError, LookupError):
        return {name: {} for name in _STAMPED}


def _check_shards(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Read the shards that do not look as they did, and check their rows."""
    stamps = _read_stamps(directory)["shards"]
    layout = RowLayout(**manifest["layout"])
    checksums = np.fromfile(directory / CHECKSUMS_FILE, "<u8")
    first = 0
    for name, size in manifest["shards"].items():
        path, num_blocks = directory / name, size // layout.block_bytes
        right = checksums[first : first + num_blocks]
        first += num_blocks
        if Stamp.of(path).proves(stamps.get(name)):
            continue
        with open(path, "rb") as file:
            for start in range(0, num_blocks, _READ_BLOCKS):
                data = file.read(_READ_BLOCKS * layout.block_bytes)
                found = block_checksums(np.frombuffer(data, np.uint8), layout)
                if found.tobytes() != (
                    right[start : start + _READ_BLOCKS].tobytes()
                ):
                    raise damaged(path, "was changed after it was written")
