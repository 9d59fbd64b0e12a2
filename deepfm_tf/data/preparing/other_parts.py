"""Parts of a source whose rows are read while those of its first part are."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepfm_tf.data.prepared.manifest import REJECTED_FILE
from deepfm_tf.data.preparing.file_counts import FileCounts, FileTask
from deepfm_tf.data.preparing.inputs import Inputs
from deepfm_tf.data.reading.part import Part
from deepfm_tf.data.reading.spill import SpilledBlocks
from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.data.reading.time_split import TimePart
from deepfm_tf.storage import unpublished

_BLOCKS = "blocks"


class OtherParts:
    """What is kept of some parts until they are prepared, one by one.

    Who is prepared first gives each block to the others too. One that finds
    nothing here reads for itself.

    Args:
        directory: in it, a folder is made when the first of them is read. It
            is removed at the end of the `with` block.
        parts: the parts.

    Attributes:
        inputs: those of all parts, once they are read.
    """

    def __init__(
        self, directory: Path, parts: Sequence[Part | TimePart]
    ) -> None:
        self.inputs: Inputs | None = None
        self._directory = directory
        self._parts = parts
        self._kept: dict[Part | TimePart, tuple[FileCounts, Path]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> OtherParts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def places(self, reading: Reading) -> dict[Part | TimePart, Path]:
        """The parts to read with this one, and a new folder for each."""
        parts = [part for part in self._parts if part != reading.part]
        if not parts:
            return {}
        folder = self._stack.enter_context(
            unpublished(self._directory, ".parts.", ".tmp")
        )
        places = {part: folder / str(n) for n, part in enumerate(parts)}
        for place in places.values():
            (place / _BLOCKS).mkdir(parents=True)
        return places

    def keep(
        self,
        inputs: Inputs,
        places: Mapping[Part | TimePart, Path],
        found: Sequence[FileCounts],
    ) -> None:
        """What was found for some parts, in these inputs."""
        self.inputs = inputs
        both = zip(found, places.values(), strict=True)
        self._kept = dict(zip(places, both, strict=True))

    def take(
        self, reading: Reading, directory: Path
    ) -> tuple[FileCounts, SpilledBlocks] | None:
        """What was found for a part, and its blocks, if it was read.

        Args:
            reading: Reading of it.
            directory: gets its rejected rows, if there are any.
        """
        if reading.part not in self._kept:
            return None
        found, place = self._kept.pop(reading.part)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(place / REJECTED_FILE, directory / REJECTED_FILE)
        return found, SpilledBlocks(place / _BLOCKS)


def with_others(
    task: FileTask, places: Mapping[Part | TimePart, Path]
) -> FileTask:
    """A task that reads for other parts too.

    Args:
        task: the FileTask.
        places: part -> where its blocks are put.
    """
    others = [
        dataclasses.replace(
            task,
            reading=dataclasses.replace(task.reading, part=part),
            spilled=SpilledBlocks(place / _BLOCKS),
            is_counted=False,
        )
        for part, place in places.items()
    ]
    return dataclasses.replace(task, others=tuple(others))
