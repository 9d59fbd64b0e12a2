"""Raw text straight to batches: parsed and looked up inside the graph."""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.batches import (
    shuffle_groups,
    split_rows,
    with_options,
)
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.reading.out_of_fold import TrainingRows, check_may_train
from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.drift import DataCounts, compare_counts, warn_of_drift
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.header import check_columns
from deepfm_tf.files.readers import Source, list_text_files
from deepfm_tf.files.text import TextBlock, header_of, text_blocks
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.raw_values import MISSING_NUMBERS
from deepfm_tf.seeds import check_seed
from deepfm_tf.timestamps import PLAIN
from deepfm_tf.vocabulary import Vocabulary

# Lines that are parsed together come to about this many bytes.
BLOCK_BYTES = 4 * 2**20
# Rows that are shuffled among themselves.
GROUP_ROWS = 65_536

# The numbers that the graph reads. Rarer spellings are left to Python.
_NUMBER = r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?"


def dataset_from_text(
    source: Source,
    vocabulary: Vocabulary,
    batch_size: int = 2048,
    *,
    shuffle: bool = False,
    seed: int = 0,
    text_format: TextFormat | None = None,
) -> tf.data.Dataset:
    """Batches straight from text files of any size, without preparing them.

    Each epoch reads and parses the text again: for more than a few epochs
    `prepare` is the faster way. The examples are those that `prepare` makes.
    How many batches there are is not known beforehand, so Keras warns, after
    the first epoch, that the data ran out; nothing is lost.

    Args:
        source: file name(s) of CSV or TSV, compressed or not.
        vocabulary: a fitted Vocabulary. With `encodings`, not that of these
            very rows, which would tell their own labels: `prepare` them.
        batch_size: int. Examples in a batch, over all replicas.
        shuffle: bool. Mixes each 65,536 rows, in a new order each epoch.
        seed: int. Decides all the orders.
        text_format: layout of the files. Defaults to a header line, and the
            separator that the file name suggests.

    Returns:
        `tf.data.Dataset` with the elements of `PreparedData.dataset`.

    Raises:
        ValueError: the source is not text, or a column is absent; or fields
            have `encodings`, and these are the rows that they were counted on.
        tf.errors.InvalidArgumentError: while reading, a row cannot be read;
            the message names file, line, column and value.

    Example:

    >>> import pathlib, tempfile
    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> size = path.write_text("site,click\\nb,1\\na,0\\nb,0\\n")
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> dataset = dataset_from_text(path, fit_vocabulary(path, schema))
    >>> next(iter(dataset))[0]["ids"].numpy().tolist()
    [[2], [3], [2]]
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UserError(
            "`batch_size` must be a positive integer. Received: "
            f"batch_size={batch_size!r}."
        )
    seed = check_seed(seed)
    if shuffle:
        check_may_train(vocabulary)
    blocks = _Blocks(list_text_files(source), vocabulary, text_format)
    return _batches(
        blocks,
        _Parser(vocabulary, blocks),
        batch_size,
        seed if shuffle else None,
    )


# As in `batches.py`: nothing for AutoGraph, which is slow to find that out.
@tf.autograph.experimental.do_not_convert
def _batches(
    blocks: _Blocks, parser: _Parser, batch_size: int, seed: int | None
) -> tf.data.Dataset:
    rows = tf.data.Dataset.from_generator(
        blocks, output_signature=_Blocks.SIGNATURE
    ).map(parser, num_parallel_calls=2, deterministic=True)
    if seed is not None:
        rows = shuffle_groups(rows.rebatch(GROUP_ROWS), seed)
    layout = parser.layout
    batches = rows.rebatch(batch_size).map(
        lambda words: split_rows(words, layout),
        num_parallel_calls=2,
        deterministic=True,
    )
    return with_options(batches.prefetch(4), auto_shard=True)


class _Blocks:
    """The lines of some files, in blocks, and what the graph needs of them."""

    SIGNATURE = (
        tf.TensorSpec((), tf.string),  # the lines
        tf.TensorSpec((), tf.int64),  # the number of their file
        tf.TensorSpec((), tf.int64),  # the number of the first of them
        tf.TensorSpec((), tf.string),  # separator; empty for Python to parse
        # The place of each field, of the label, of the example weight.
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((), tf.int64),  # values in a line
    )

    def __init__(
        self,
        paths: list[str],
        vocabulary: Vocabulary,
        text_format: TextFormat | None,
    ) -> None:
        self.paths = paths
        schema = vocabulary.schema
        self.names = [*(f.name for f in schema.fields), *schema.target_columns]
        self.text_format = text_format or TextFormat()
        self.reading = Reading(paths, schema, text_format, on_error="skip")
        # A column that is not there should be missed at once.
        self._column_names = [
            header_of(path, self.text_format) for path in paths
        ]
        for path, names in zip(paths, self._column_names, strict=True):
            check_columns(self.names, names, path, self.text_format)
        _refuse_training_rows(self.reading, vocabulary)
        counts = DataCounts(vocabulary)
        for path in paths:
            # What cannot be read is told of when it is read.
            with contextlib.suppress(UserError):
                blocks = text_blocks(path, self.text_format, BLOCK_BYTES)
                for first in itertools.islice(blocks, 1):
                    checked = self.reading.check(0, first, self.names)
                    packed = vocabulary.encode(checked.columns)
                    counts.count(packed, checked.columns)
        warn_of_drift(compare_counts(counts), "the files", stacklevel=3)

    def __call__(self) -> Iterator[tuple[Any, ...]]:
        for number, path in enumerate(self.paths):
            separator, trims = self.text_format.separator_of(path)
            columns = self._column_names[number]
            places = [columns.index(name) for name in self.names]
            for block in text_blocks(path, self.text_format, BLOCK_BYTES):
                data = block.data
                plain = not trims and not (
                    self.text_format.quoting and b'"' in data
                )
                if b"\r" in data:
                    data = data.replace(b"\r\n", b"\n")
                    plain = plain and b"\r" not in data
                yield (
                    data if plain else block.data,
                    number,
                    block.first_line,
                    separator if plain and _is_utf8(data) else "",
                    places,
                    len(columns),
                )

    def block(self, data: bytes, number: int, first_line: int) -> TextBlock:
        """A block that has been through the graph."""
        path = self.paths[number]
        names = self._column_names[number]
        return TextBlock(path, data, first_line, names, self.text_format)


class _Parser:
    """Lines to packed rows; where the graph is not sure, Python decides."""

    def __init__(self, vocabulary: Vocabulary, blocks: _Blocks) -> None:
        self._vocabulary = vocabulary
        self._schema = vocabulary.schema
        self.layout = RowLayout.of(self._schema)
        self._blocks = blocks
        with tempfile.TemporaryDirectory() as directory:
            # The table is read at once; no file needs to stay.
            self._look_up = GraphLookup(vocabulary, Path(directory, "values"))
        fields = self._schema.fields
        numbers = [not f.is_text for f in fields]
        if self._schema.example_weight is not None:
            numbers += [False, True]  # of the label, of the weight
        self._numbers = np.flatnonzero(numbers)
        self._missing = (*MISSING_NUMBERS, *self._schema.missing_values)

    def __call__(
        self,
        data: Tensor,
        number: Tensor,
        first_line: Tensor,
        separator: Tensor,
        places: Tensor,
        num_columns: Tensor,
    ) -> Tensor:
        # The ragged tensors of `tf.strings.split` take longer to trace than all
        # that follows.
        lines = tf.raw_ops.StringSplitV2(input=data[None], sep="\n").values
        lines = tf.gather(lines, tf.where(tf.not_equal(lines, ""))[:, 0])
        cells = tf.raw_ops.StringSplitV2(
            input=lines, sep=tf.where(tf.equal(separator, ""), "\n", separator)
        )
        # No line has more values than that, and all together as many.
        is_whole = (cells.shape[1] <= num_columns) & tf.equal(
            tf.size(cells.values, tf.int64),
            tf.size(lines, tf.int64) * num_columns,
        )
        # (rows, columns of the file); nothing if the lines are not whole.
        table = tf.cond(
            is_whole,
            lambda: tf.reshape(cells.values, [-1, num_columns]),
            lambda: tf.fill([1, num_columns], ""),
        )
        columns = [
            tf.gather(table, places[n], axis=1)
            for n in range(len(self._blocks.names))
        ]
        numbers, is_number = self._read_numbers(columns)
        label, is_label = self._read_label(columns[len(self._schema.fields)])
        is_clean = is_whole & is_number & is_label & self._has_weights(columns)
        is_clean &= self._has_times(columns)
        if self._schema.example_weight is not None:
            is_clean &= tf.reduce_all(numbers[-1] >= 0)
        words = tf.cond(
            is_clean,
            lambda: self._pack(columns, numbers, label),
            lambda: tf.numpy_function(
                self._read, [data, number, first_line], tf.int32
            ),
        )
        return tf.ensure_shape(words, (None, self.layout.width))

    def _read_numbers(self, columns: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(numeric fields, rows) float32, and whether all could be read."""
        if not len(self._numbers):
            return tf.zeros((0, 0)), tf.constant(True)
        texts = tf.stack([columns[place] for place in self._numbers])
        distinct, place = tf.unique(tf.reshape(texts, [-1]))
        distinct = tf.strings.strip(distinct)
        for value in self._missing:
            distinct = tf.where(tf.equal(distinct, value), "", distinct)
        is_missing = tf.equal(distinct, "")
        is_number = tf.strings.regex_full_match(distinct, _NUMBER)
        # To double first, so that every reader rounds in one way.
        numbers = tf.cast(
            tf.strings.to_number(
                tf.where(is_number, distinct, "0"), tf.float64
            ),
            tf.float32,
        )
        is_read = (is_number & tf.math.is_finite(numbers)) | is_missing
        numbers = tf.where(is_missing, np.float32(np.nan), numbers)
        shape = tf.shape(texts)
        return (
            tf.reshape(tf.gather(numbers, place), shape),
            tf.reduce_all(is_read),
        )

    def _read_label(self, column: Tensor) -> tuple[Tensor, Tensor]:
        distinct, place = tf.unique(column)
        distinct = tf.strings.strip(distinct)[:, None]
        positive = tf.reduce_any(distinct == self._schema.positive_labels, 1)
        negative = tf.reduce_any(distinct == self._schema.negative_labels, 1)
        label = tf.gather(tf.cast(positive, tf.float32), place)
        return label, tf.reduce_all(positive | negative)

    def _has_weights(self, columns: list[Tensor]) -> Tensor:
        """Whether all weights can be read."""
        are_read = [tf.constant(True)]
        for place, field in enumerate(self._schema.fields):
            if field.separator is None or field.weight_separator is None:
                continue
            separator = re.escape(field.separator)
            weight = re.escape(field.weight_separator)
            value = f"[^{separator}{weight}]*(?:{weight}{_NUMBER})?"
            pattern = f"{value}(?:{separator}{value})*"
            is_read = tf.strings.regex_full_match(columns[place], pattern)
            are_read.append(tf.reduce_all(is_read))
        return tf.reduce_all(tf.stack(are_read))

    def _has_times(self, columns: list[Tensor]) -> Tensor:
        """Whether all times have the form that most have."""
        times = [
            tf.reduce_all(tf.strings.regex_full_match(columns[place], PLAIN))
            for place, field in enumerate(self._schema.fields)
            if field.is_time
        ]
        return tf.reduce_all(tf.stack([tf.constant(True), *times]))

    def _pack(
        self, columns: list[Tensor], numbers: Tensor, label: Tensor
    ) -> Tensor:
        raw = {}
        for place, field in enumerate(self._schema.fields):
            raw[field.name] = columns[place]
        fields = len(self._schema.fields)
        for place, number in enumerate(self._numbers[self._numbers < fields]):
            raw[self._schema.fields[number].name] = numbers[place]
        packed = self._look_up(raw)
        words = [tf.bitcast(label, tf.int32)[:, None]]
        for name in self.layout.columns():
            words.append(tf.bitcast(packed[name], tf.int32))
        if self._schema.example_weight is not None:
            words.append(tf.bitcast(numbers[-1], tf.int32)[:, None])
        return tf.concat(words, axis=1)

    def _read(self, data: bytes, number: int, first_line: int) -> Array:
        """What the graph does, for any text, with an error for bad rows."""
        block = self._blocks.block(data, number, int(first_line))
        checked = self._blocks.reading.check(0, block, self._blocks.names)
        if checked.rejected:
            raise UserError(
                f"{checked.rejected[0]} Fix the row, or `prepare` the data "
                "with ",
                Argument("on_error", "skip"),
                " to leave such rows out.",
            )
        packed = self._vocabulary.encode(checked.columns)
        label = np.asarray(checked.label)
        return self.layout.pack(packed, label, checked.weight)


def _refuse_training_rows(reading: Reading, vocabulary: Vocabulary) -> None:
    """Read until rows are none of training's: mostly no more than a block."""
    known = TrainingRows(vocabulary)
    if known.is_possible:
        for sums in reading.map_blocks(known.count):
            known.add(sums)
            if not known.is_possible:
                break
    known.refuse()


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
