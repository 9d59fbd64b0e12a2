"""The inputs of a preparation: whether they are those of an earlier one."""

from __future__ import annotations

import os
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Mapping,
    Sequence,
)
from typing import Any

from deepfm_tf.data.preparing.file_counts import FileTask
from deepfm_tf.data.reading.digests import digest_of
from deepfm_tf.data.reading.spill import SpilledBlocks
from deepfm_tf.data.reading.stamps import Stamp
from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.errors import UserError
from deepfm_tf.files.urls import is_url


class Inputs:
    """The inputs of a preparation: made before the first of them is read.

    Args:
        readings: how each is read.
        names: their files as the user named them; None for what is in memory.
        known: real path of a file -> (its stamp, digest), as of an earlier
            time. A file that looks the same is not read for its digest.
        run: as Python's `map`: who reads files for their digests alone.
    """

    def __init__(
        self,
        readings: Sequence[Reading],
        names: Sequence[str] | None,
        known: Mapping[str, tuple[list[int] | None, str]],
        run: Callable[..., Iterable[str]] = map,
    ) -> None:
        self._readings = readings
        self._names = names
        # What is in memory stays here.
        self._run = run if names else map
        self._stamps: dict[str, Stamp] = {}
        self._settled: set[str] = set()
        self._paths = [
            name if is_url(name) else os.path.realpath(name)
            for name in names or ()
        ]
        # Place -> digest.
        self._digests: dict[int, str] = {}
        for place, path in enumerate(self._paths):
            if is_url(path):
                continue
            stamp = self._stamps[path] = Stamp.of(path)
            if stamp.is_settled():
                self._settled.add(path)
            earlier, digest = known.get(path, (None, ""))
            if stamp.proves(earlier):
                self._digests[place] = digest

    def tasks(self, spilled: SpilledBlocks, is_counted: bool) -> list[FileTask]:
        """What must be done to read them: see `FileTask`."""
        names: Sequence[str | None] = self._names or [None]
        return [
            FileTask(
                reading, spilled, is_counted, self._digests.get(place), name
            )
            for place, (reading, name) in enumerate(
                zip(self._readings, names, strict=True)
            )
        ]

    def are_all_among(self, digests: Container[str]) -> bool:
        """Whether each has one of these; reads up to the first that has not.

        What is read for this is not read for its digest again.
        """
        for place in range(len(self._readings)):
            if place not in self._digests:
                self._digests |= self._read([place])
            if self._digests[place] not in digests:
                return False
        return True

    def add_digests(self, digests: Iterable[str]) -> None:
        """Learn the digests of all inputs from those who read them."""
        self._digests = dict(enumerate(digests))

    def digests(self) -> list[dict[str, Any]]:
        """Path and digest of each, in order; may take as long as reading."""
        places = range(len(self._readings))
        missing = [place for place in places if place not in self._digests]
        self._digests |= self._read(missing)
        if not self._paths:
            return [{"digest": self._digests[place]} for place in places]
        return [
            {"path": self._paths[place], "digest": self._digests[place]}
            for place in places
        ]

    @property
    def paths(self) -> Sequence[str]:
        """Where each is; empty for what is in memory."""
        return self._paths or [""]

    def stamps(self) -> dict[str, Stamp]:
        """Real path -> its stamp, where a later change must show."""
        return {path: self._stamps[path] for path in sorted(self._settled)}

    def check_unchanged(self) -> None:
        """Raise UserError if one has changed since this was made.

        Then its digest, or what was made of it, may be of other contents.
        """
        doubtful = []
        for place, path in enumerate(self._paths):
            try:
                if path not in self._settled or (
                    Stamp.of(path) != self._stamps[path]
                ):
                    doubtful.append(place)
            except FileNotFoundError as error:
                raise _changed(path) from error
        for place, digest in self._read(doubtful).items():
            if digest != self._digests[place]:
                raise _changed(self._paths[place])

    def _read(self, places: Sequence[int]) -> dict[int, str]:
        digests = self._run(digest_of, [self._readings[p] for p in places])
        return dict(zip(places, digests, strict=True))


def _changed(path: str) -> UserError:
    return UserError(
        f"{path} changed while it was read; nothing was kept. Prepare again "
        "when no program writes to it."
    )
