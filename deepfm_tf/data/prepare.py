"""Raw data once into a directory of vocabularies and fixed-width shards."""

from __future__ import annotations

import csv
import dataclasses
import errno
import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from deepfm_tf.data.dataset import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    REJECTED_FILE,
    VOCABULARY_DIRECTORY,
    PreparedData,
)
from deepfm_tf.data.packing import BLOCK_ROWS, PADDING, RowLayout
from deepfm_tf.data.spill import SpilledBlocks
from deepfm_tf.data.stream import CheckedBlock, Part, Reading, count_values
from deepfm_tf.errors import UserError
from deepfm_tf.files.readers import Source, list_files, read_blocks
from deepfm_tf.files.text import BadRow, TextFormat
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary

# Blocks of 256 rows in a shard: half a million rows.
SHARD_BLOCKS = 2048

_BLOCKS_DIRECTORY = "blocks"


def prepare(
    source: Source,
    directory: str | Path,
    *,
    schema: Schema | None = None,
    vocabulary: Vocabulary | None = None,
    text_format: TextFormat | None = None,
    part: Part | None = None,
    on_error: str = "raise",
) -> PreparedData:
    """Turn raw data into a directory that training reads at full speed.

    Training data is prepared with a `schema`, and a vocabulary is fitted on
    it; any other data with the training data's `vocabulary`. The source is
    streamed, so it may be larger than memory. The directory appears when all
    is done: a killed run leaves nothing that looks complete. Preparing the
    same contents in the same way again does nothing.

    Args:
        source: file name(s) of CSV, TSV (also `.gz`) or Parquet, a DataFrame,
            or a dict of arrays.
        directory: where to put the result. Replaced if it holds prepared
            data; anything else there is left alone and refused.
        schema: the Schema, for training data.
        vocabulary: the Vocabulary of the training data, for other data.
        text_format: layout of text files. Defaults to a header line, and the
            separator that the file name suggests.
        part: the share of the rows to take. Defaults to all.
        on_error: `"raise"`, or `"skip"` to leave out rows that cannot be
            read; they are counted (`num_rejected`) and written, with the
            reason, to `rejected.csv` in the directory.

    Returns:
        PreparedData.

    Raises:
        ValueError: a row cannot be read, a column is absent, there are no
            rows; the message names file, line, column and value.

    Example:

    >>> import tempfile
    >>> from deepfm_tf import CategoricalField, Schema
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> prepared = prepare(data, tempfile.mkdtemp(), schema=schema)
    >>> prepared.num_rows, prepared.num_positives
    (3, 1)
    """
    if vocabulary is not None and schema is None:
        known = vocabulary.schema
    elif schema is not None and vocabulary is None:
        known = schema
    else:
        raise UserError(
            "Either `schema` (for training data) or `vocabulary` (for other "
            "data) must be given. Received: "
            f"{'neither' if schema is None else 'both'}."
        )
    directory = Path(directory)
    reading = Reading(source, known, text_format, part, on_error)
    _check_replaceable(directory)
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "recipe": _recipe(reading, vocabulary),
        "sources": [],
    }
    if (directory / MANIFEST_FILE).exists():
        # Their digests are known if the files are as they were.
        manifest["sources"] = _sources(reading, directory)
        done = _load_if_same(directory, manifest)
        if done is not None:
            return done
    _remove_leftovers(directory)
    temporary = directory.parent / f".{directory.name}.{os.getpid()}.tmp"
    stop = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="deepfm_tf-digest")
    try:
        temporary.mkdir(parents=True)
        sources = pool.submit(_sources, reading, directory, stop)
        blocks: Reading | SpilledBlocks
        if vocabulary is None:
            blocks = SpilledBlocks(temporary / _BLOCKS_DIRECTORY)
            vocabulary = count_values(reading, "Reading", blocks.write)
        else:
            blocks = reading
        vocabulary.save(temporary / VOCABULARY_DIRECTORY)
        manifest |= _write_rows(reading, blocks, vocabulary, temporary)
        shutil.rmtree(temporary / _BLOCKS_DIRECTORY, ignore_errors=True)
        manifest["sources"] = sources.result()
        with open(temporary / MANIFEST_FILE, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            _to_disk(file)
        _replace(temporary, directory)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            errno.ENOSPC,
            f"The disk of {directory.parent} is full; nothing was kept. Make "
            "room, or prepare into another directory",
        ) from error
    finally:
        stop.set()
        pool.shutdown(wait=True)
        shutil.rmtree(temporary, ignore_errors=True)
    return PreparedData.load(directory)


def _recipe(reading: Reading, vocabulary: Vocabulary | None) -> dict[str, Any]:
    """Everything but the data that decides what comes out."""
    text_format = reading.text_format or TextFormat()
    recipe = {
        "schema": dataclasses.replace(reading.schema, notes=()).to_dict(),
        "vocabulary": vocabulary.fingerprint() if vocabulary else None,
        "text_format": dataclasses.asdict(text_format),
        "part": dataclasses.asdict(reading.part) if reading.part else None,
        "on_error": reading.on_error,
    }
    return json.loads(json.dumps(recipe))


def _sources(
    reading: Reading, directory: Path, stop: threading.Event | None = None
) -> list[dict[str, Any]]:
    """Name and content digest of each input."""
    files = list_files(reading.source)
    if files is None:
        names = [f.name for f in reading.schema.fields]
        names += reading.schema.target_columns
        digest = hashlib.blake2b(digest_size=16)
        for block in read_blocks(reading.source, names):
            table, _ = block.read(names)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            digest.update(sink.getvalue())
        return [{"digest": digest.hexdigest()}]
    known = {}
    if (directory / MANIFEST_FILE).exists():
        for entry in _read_manifest(directory).get("sources", ()):
            known[(entry.get("path"), entry.get("stat"))] = entry["digest"]
    entries = []
    for name in files:
        path = str(Path(name).resolve())
        status = os.stat(path)
        stat = f"{status.st_size}/{status.st_mtime_ns}"
        digest_text = known.get((path, stat)) or _digest(path, stop)
        entries.append({"path": path, "stat": stat, "digest": digest_text})
    return entries


def _digest(path: str, stop: threading.Event | None) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while (data := file.read(2**22)) and not (stop and stop.is_set()):
            digest.update(data)
    return digest.hexdigest()


def _read_manifest(directory: Path) -> dict[str, Any]:
    return json.loads((directory / MANIFEST_FILE).read_text(encoding="utf-8"))


def _load_if_same(
    directory: Path, manifest: dict[str, Any]
) -> PreparedData | None:
    if not (directory / MANIFEST_FILE).exists():
        return None
    old = _read_manifest(directory)
    same = (
        old.get("format_version") == manifest["format_version"]
        and old.get("recipe") == manifest["recipe"]
        and [e["digest"] for e in old.get("sources", ())]
        == [e["digest"] for e in manifest["sources"]]
    )
    if not same:
        return None
    try:
        return PreparedData.load(directory)
    except ValueError as error:
        warnings.warn(f"{error} It is prepared anew.", stacklevel=3)
        return None


def _write_rows(
    reading: Reading,
    blocks: Reading | SpilledBlocks,
    vocabulary: Vocabulary,
    directory: Path,
) -> dict[str, Any]:
    layout = RowLayout.of(vocabulary.schema)
    num_rows, num_positives, num_rejected = 0, 0, 0

    def encode(block: CheckedBlock) -> tuple[np.ndarray, list[BadRow]]:
        packed = vocabulary.encode(block.columns)
        label = np.asarray(block.label)
        return layout.pack(packed, label, block.weight), block.rejected

    with (
        _ShardWriter(directory, layout) as shards,
        _RejectedWriter(directory) as rejected,
    ):
        for rows, bad in blocks.map_blocks(encode, "Encoding"):
            shards.write(rows)
            rejected.write(bad)
            num_rows += len(rows)
            num_positives += int((rows[:, 0] != 0).sum())
            num_rejected += len(bad)
    if not num_rows:
        share = f" in the part {reading.part}" if reading.part else ""
        left_out = f"; {num_rejected} rows were rejected" * bool(num_rejected)
        name = ", ".join(list_files(reading.source) or ["the data"])
        raise UserError(
            f"The data must have at least one row{share}. Received: none in "
            f"{name}{left_out}."
        )
    if num_positives in (0, num_rows):
        warnings.warn(
            f"Every label is {int(num_positives > 0)} in the {num_rows:,} "
            "rows: there is nothing to tell apart.",
            stacklevel=3,
        )
    return {
        "num_rows": num_rows,
        "num_positives": num_positives,
        "num_rejected": num_rejected,
        "shards": shards.sizes,
        "layout": dataclasses.asdict(layout),
    }


class _ShardWriter:
    """Writes rows as whole blocks; the last one is filled up with padding."""

    def __init__(self, directory: Path, layout: RowLayout) -> None:
        self.sizes: dict[str, int] = {}
        self._directory = directory
        self._layout = layout
        self._rest: np.ndarray = np.empty((0, layout.width), dtype="<i4")
        self._file: BinaryIO | None = None
        self._blocks_left = 0

    def __enter__(self) -> _ShardWriter:
        return self

    def write(self, rows: np.ndarray) -> None:
        rows = np.concatenate([self._rest, rows])
        whole = len(rows) - len(rows) % BLOCK_ROWS
        self._rest = rows[whole:].copy()
        start = 0
        while start < whole:
            if self._file is None or not self._blocks_left:
                self._file = self._next_shard()
            stop = min(whole, start + self._blocks_left * BLOCK_ROWS)
            data = rows[start:stop].tobytes()
            self._file.write(data)
            self.sizes[next(reversed(self.sizes))] += len(data)
            self._blocks_left -= (stop - start) // BLOCK_ROWS
            start = stop

    def _next_shard(self) -> BinaryIO:
        self._close()
        name = f"shard-{len(self.sizes):05d}.bin"
        self.sizes[name] = 0
        self._blocks_left = SHARD_BLOCKS
        return open(self._directory / name, "wb")

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and len(self._rest):
            count = BLOCK_ROWS - len(self._rest)
            padding = np.zeros((count, self._layout.width), dtype="<i4")
            padding[:, 0] = PADDING
            self.write(padding)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            _to_disk(self._file)
            self._file.close()
            self._file = None


class _RejectedWriter:
    """Writes rejected rows, once there is one, to a CSV file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / REJECTED_FILE
        self._file: Any = None

    def __enter__(self) -> _RejectedWriter:
        return self

    def write(self, rows: list[BadRow]) -> None:
        if not rows:
            return
        if self._file is None:
            self._file = open(self._path, "w", encoding="utf-8", newline="")
            names = [f.name for f in dataclasses.fields(BadRow)]
            csv.writer(self._file).writerow(names)
        csv.writer(self._file).writerows(map(dataclasses.astuple, rows))

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check_replaceable(directory: Path) -> None:
    if directory.is_dir() and (
        (directory / MANIFEST_FILE).exists() or not any(directory.iterdir())
    ):
        return
    if directory.exists():
        raise FileExistsError(
            f"{directory} exists and does not hold prepared data; nothing in "
            "it was touched. Name another directory, or remove it yourself."
        )


def _replace(temporary: Path, directory: Path) -> None:
    if directory.exists():
        old = temporary.with_suffix(".old.tmp")
        os.rename(directory, old)
        os.rename(temporary, directory)
        shutil.rmtree(old)
    else:
        os.rename(temporary, directory)


def _remove_leftovers(directory: Path) -> None:
    """Remove what killed runs over the same directory left behind."""
    for path in _temporary_directories(directory):
        try:
            os.kill(int(path.name.split(".")[-2].removesuffix("old")), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(path, ignore_errors=True)
        except PermissionError:
            continue


def _temporary_directories(directory: Path) -> Iterator[Path]:
    if directory.parent.is_dir():
        yield from directory.parent.glob(f".{directory.name}.*.tmp")
