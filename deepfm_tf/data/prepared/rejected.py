"""The rows that were left out, in a file beside the others."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from deepfm_tf.data.prepared.manifest import REJECTED_FILE
from deepfm_tf.files.bad_row import BadRow


class RejectedWriter:
    """Writes rejected rows, once there is one, to a CSV file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / REJECTED_FILE
        self._file: Any = None

    def __enter__(self) -> RejectedWriter:
        return self

    def write(self, rows: list[BadRow]) -> None:
        """Write some rows."""
        if not rows:
            return
        if self._file is None:
            self._file = open(self._path, "w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(BadRow._fields)
        csv.writer(self._file).writerows(rows)

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()
