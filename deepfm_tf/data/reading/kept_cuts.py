"""Where a source was cut by time, kept for the next start."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepfm_tf.data.reading.stamps import Stamp
from deepfm_tf.storage import write_text


class KeptCuts:
    """The cuts of some files: made before the first of them is read.

    They are those of before, if nothing that decides them has changed and no
    file can have, which is told without reading any.

    Args:
        path: the file that keeps them.
        files: names of the files that are cut.
        decides: all else that decides the cuts, as plain data.
    """

    def __init__(
        self,
        path: str | Path,
        files: Sequence[str],
        decides: Mapping[str, Any],
    ) -> None:
        self._path = Path(path)
        self._decides = json.loads(json.dumps(decides))
        self._stamps = {
            real: Stamp.of(real) for real in map(os.path.realpath, files)
        }
        self._is_settled = all(s.is_settled() for s in self._stamps.values())

    def load(self) -> tuple[list[int], int] | None:
        """The cuts, and how many rows have no time; None if not known."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            stamps = kept["stamps"]
            if kept["decides"] != self._decides or list(stamps) != list(
                self._stamps
            ):
                return None
            if not all(s.proves(stamps[p]) for p, s in self._stamps.items()):
                return None
            return list(map(int, kept["cuts"])), int(kept["num_left_out"])
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def save(self, cuts: Sequence[int], num_left_out: int) -> None:
        """Keep them, unless a change of the files might not show."""
        if not self._is_settled:
            return
        content = {
            "decides": self._decides,
            "stamps": self._stamps,
            "cuts": list(cuts),
            "num_left_out": num_left_out,
        }
        # It saves time only.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, json.dumps(content) + "\n")
