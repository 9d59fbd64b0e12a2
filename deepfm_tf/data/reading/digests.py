"""Digests of what is read, by which it is known again."""

from __future__ import annotations

import hashlib
import threading

import pyarrow as pa

from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.files.readers import Source, list_files
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.files.urls import identity_of, is_url
from deepfm_tf.schema import Schema


def file_digests(
    source: Source, schema: Schema, text_format: TextFormat | None = None
) -> list[str]:
    """A digest of each file, as `PreparedData.sources` has it.

    Args:
        source, schema, text_format: as for `prepare`.
    """
    return [
        digest_of(each)
        for each in Reading(source, schema, text_format).by_file()
    ]


def digest_of(
    reading: Reading,
    known: str | None = None,
    stop: threading.Event | None = None,
) -> str:
    """A digest of all that one file, or what is in memory, holds.

    Of a file in a store, what the store says of it: see `identity_of`.

    Args:
        reading: Reading of it.
        known: str or None. The digest, where it is known.
        stop: set once nobody wants it any more.
    """
    if known is not None:
        return known
    digest = hashlib.blake2b(digest_size=16)
    files = list_files(reading.source)
    if files is None:
        for _, block in reading.blocks():
            table, _ = block.read(reading.columns)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            digest.update(sink.getvalue())
        return digest.hexdigest()
    if is_url(files[0]):
        return identity_of(files[0])
    with open(files[0], "rb") as file:
        while (data := file.read(2**22)) and not (stop and stop.is_set()):
            digest.update(data)
    return digest.hexdigest()
