"""Digests of what is prepared: of the very contents that were read."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from deepfm_tf.data.stamps import Stamp
from deepfm_tf.data.stream import Reading
from deepfm_tf.errors import UserError
from deepfm_tf.files.readers import list_files, read_blocks


class Inputs:
    """The inputs of a preparation: made before the first of them is read.

    Args:
        reading: how they are read.
        known: real path of a file -> (its stamp, digest), as of an earlier
            time. A file that looks the same is not read for its digest.
    """

    def __init__(
        self,
        reading: Reading,
        known: Mapping[str, tuple[list[int] | None, str]] | None = None,
    ) -> None:
        self._reading = reading
        files = list_files(reading.source)
        self._is_memory = files is None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._stamps: dict[str, Stamp] = {}
        self._settled: set[str] = set()
        self._digests: dict[str, str] = {}
        self._paths = [os.path.realpath(name) for name in files or ()]
        for path in self._paths:
            stamp = self._stamps[path] = Stamp.of(path)
            if stamp.is_settled():
                self._settled.add(path)
            earlier, digest = (known or {}).get(path, (None, ""))
            if stamp.proves(earlier):
                self._digests[path] = digest

    def digests(self) -> list[dict[str, Any]]:
        """Path and digest of each, in order; may take as long as reading."""
        # Asked for in one thread while another may ask too.
        with self._lock:
            if self._is_memory:
                if not self._digests:
                    self._digests[""] = _digest_of_memory(self._reading)
                return [{"digest": self._digests[""]}]
            for path in self._paths:
                if path not in self._digests:
                    self._digests[path] = self._digest(path)
            return [
                {"path": p, "digest": self._digests[p]} for p in self._paths
            ]

    def stamps(self) -> dict[str, Stamp]:
        """Real path -> its stamp, where a later change must show."""
        return {path: self._stamps[path] for path in sorted(self._settled)}

    def check_unchanged(self) -> None:
        """Raise UserError if one has changed since this was made.

        Then its digest, or what was made of it, may be of other contents.
        """
        self.digests()
        for path, stamp in self._stamps.items():
            try:
                same = path in self._settled and Stamp.of(path) == stamp
                if not same:
                    same = self._digest(path) == self._digests[path]
            except FileNotFoundError:
                same = False
            if not same:
                raise UserError(
                    f"{path} changed while it was read; nothing was kept. "
                    "Prepare again when it is written to no more."
                )

    def stop(self) -> None:
        """End `digests` in another thread soon: nobody wants them."""
        self._stop.set()

    def _digest(self, path: str) -> str:
        digest = hashlib.blake2b(digest_size=16)
        with open(path, "rb") as file:
            while (data := file.read(2**22)) and not self._stop.is_set():
                digest.update(data)
        return digest.hexdigest()


def _digest_of_memory(reading: Reading) -> str:
    names = reading.columns
    digest = hashlib.blake2b(digest_size=16)
    for block in read_blocks(reading.source, names):
        table, _ = block.read(names)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        digest.update(sink.getvalue())
    return digest.hexdigest()
