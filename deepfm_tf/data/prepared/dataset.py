"""Batches for Keras: from prepared shards, a DataFrame, or packed arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.batches import (
    MemoryRows,
    Passes,
    make_batches,
    with_options,
)
from deepfm_tf.data.prepared.distributed import distributed_batches
from deepfm_tf.data.prepared.given_ids import check_example_weight, check_ids
from deepfm_tf.data.prepared.manifest import (
    CHECKSUMS_FILE,
    REJECTED_FILE,
    VOCABULARY_DIRECTORY,
    check_files,
    check_sizes,
    read_manifest,
)
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.prepared.shard_files import ShardFiles
from deepfm_tf.data.prepared.shards import ShardRows
from deepfm_tf.data.reading.out_of_fold import TrainingRows, check_may_train
from deepfm_tf.data.reading.stream import CheckedBlock, Reading
from deepfm_tf.drift import (
    DataCounts,
    Drift,
    FieldShares,
    compare_counts,
    warn_of_drift,
)
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.files.readers import Source
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary


class PreparedData:
    """A directory written by `prepare`.

    Args:
        directory: where it is.
        manifest: the contents of its `prepared.json`.

    Attributes:
        schema: the fitted Schema.
        vocabulary: the Vocabulary.
        num_rows, num_positives, num_rejected: int. Rows held, of these the
            ones with label 1, and rows left out because of errors.
        drift: tuple of Drift. Fields whose missing or unseen values are far
            above what the training data lead one to expect.
        shares: tuple of FieldShares, of all fields.
        groups: (num_rows,) or None. A raw column to group metrics by, such
            as `raw_column` gives. `prepare` knows of none: set it yourself.
        negative_sampling: float. As of `Part`; give it to the model too.
        sources: dict. Digest of each file -> its path, `""` if in memory.
        files: ShardFiles. The rows as they are stored.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]) -> None:
        self.directory = directory
        self.num_rows: int = manifest["num_rows"]
        self.num_positives: int = manifest["num_positives"]
        self.num_rejected: int = manifest["num_rejected"]
        part = manifest["recipe"]["part"] or {}
        self.negative_sampling: float = part.get("negatives", 1.0)
        self._is_training = manifest["recipe"]["vocabulary"] is None
        self.fingerprint: str = _fingerprint(manifest)
        sources = manifest["sources"]
        self.sources = {s["digest"]: s.get("path", "") for s in sources}
        self.vocabulary = Vocabulary.load(directory / VOCABULARY_DIRECTORY)
        self.schema: Schema = self.vocabulary.schema
        self.drift = tuple(map(Drift.from_dict, manifest["drift"]))
        self.shares = tuple(FieldShares(**s) for s in manifest["shares"])
        self.groups: Array | None = None
        self._layout = RowLayout(**manifest["layout"])
        self.files = ShardFiles(
            {directory / name: n for name, n in manifest["shards"].items()},
            np.fromfile(directory / CHECKSUMS_FILE, "<u8"),
            self._layout,
        )

    @classmethod
    def load(cls, directory: str | Path) -> PreparedData:
        """Open a directory written by `prepare`.

        Its small files are compared with their digests now, its rows with
        their checksums when they are read.

        Raises:
            ValueError: a file is absent, or is not as it was written.
        """
        directory = Path(directory)
        manifest = read_manifest(directory)
        check_sizes(directory, manifest)
        try:
            return cls(directory, manifest)
        finally:
            # Afterwards, so that what was read is what is checked; and in
            # place of what a parser says of a damaged file.
            names = [n for n in manifest["files"] if n != REJECTED_FILE]
            check_files(directory, manifest, names)

    def __iter__(self) -> NoReturn:
        # What takes a data set goes through it, and would say something else.
        raise UserTypeError(
            "A tf.data.Dataset must be given, not prepared data. Received: "
            f"PreparedData of {self.directory}. Give its "
            "`.dataset(batch_size)`, such as test.dataset(2048)."
        )

    def dataset(
        self,
        batch_size: int = 2048,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        first_epoch: int = 0,
        first_step: int = 0,
        shard: tuple[int, int] | None = None,
    ) -> tf.data.Dataset:
        """Batches of `(inputs, label)` for `fit`, `evaluate` and `predict`.

        The order of an epoch is a function of `seed` and the epoch's number
        alone, so a run that is resumed with `first_epoch` goes through the
        batches that it would have seen undisturbed. Each pass is an epoch; a
        pass that is abandoned before its end does not count (in a data set
        of at most 32 batches it does).

        Args:
            batch_size: int. Examples in a batch, over all replicas.
            shuffle: bool. A new order each epoch: pieces of 1024 adjoining
                rows come from all over the data, and the rows of 128 such
                pieces are mixed. Of fields with `encodings`, for data
                prepared with `schema` alone.
            seed: int. Decides all the orders.
            drop_remainder: bool. Leave out the last, smaller batch.
            first_epoch: int. The number of the first pass, as in
                `fit(initial_epoch=...)`.
            first_step: int. With more than 0, the data set is the rest of
                the one epoch `first_epoch`, from this batch on.
            shard: `(index, count)` or None. Read one of `count` disjoint
                parts of the rows, for the worker `index` of as many that you
                bring together yourself. Give `drop_remainder` too, so that
                all have equally many batches. See `distributed`.

        Returns:
            `tf.data.Dataset` of a dict with `"ids"` (batch, id columns) int32
            and, where the schema has them, `"values"` (batch, numeric
            fields) and `"weights"` (batch, weighted id columns) float32; the
            label (batch, 1) float32; and, where the schema names one, the
            example weight (batch,) float32.
        """
        if shuffle and not self._is_training:
            check_may_train(self.vocabulary)
        index, count = (0, 1) if shard is None else shard
        if not 0 <= index < count <= self.num_rows:
            raise UserError(
                "`shard` must be (index, count) with 0 <= index < count, and "
                f"at least one row for each. Received: shard={shard} of "
                f"{self.num_rows} rows."
            )
        rows = ShardRows(
            self.files,
            self._layout,
            self.num_rows * index // count,
            self.num_rows * (index + 1) // count,
        )
        passes = Passes(
            batch_size,
            seed if shuffle else None,
            drop_remainder,
            first_epoch,
            first_step,
        )
        # Parts differ by a row, which must not make a batch more.
        least = self.num_rows // count if drop_remainder else rows.num_rows
        return with_options(
            make_batches(rows, self._layout, passes, passes.num_batches(least)),
            auto_shard=shard is None,
        )

    def distributed(
        self,
        strategy: tf.distribute.Strategy,
        batch_size: int = 2048,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_remainder: bool = False,
        first_epoch: int = 0,
        first_step: int = 0,
        endless: bool = False,
    ) -> Any:
        """Batches for `fit` of which each worker reads its own rows, once.

        With `dataset`, each worker of a strategy reads all rows to use its
        part of each batch. On one worker the batches are those of `dataset`;
        on several, others of the same size, where each has drawn its part.

        Args:
            strategy: of `create_strategy`.
            batch_size: int. Examples in a batch, over all workers.
            shuffle, seed, drop_remainder, first_epoch, first_step: as for
                `dataset`.
            endless: bool. Go on with the epoch that follows, without end, for
                `fit(steps_per_epoch=...)`. Workers then need not ask each
                other at each step whether there is one.

        Returns:
            `tf.distribute.DistributedDataset`; of a strategy of one device, a
            `tf.data.Dataset`.
        """
        if shuffle and not self._is_training:
            check_may_train(self.vocabulary)
        passes = Passes(
            batch_size,
            seed if shuffle else None,
            drop_remainder,
            first_epoch,
            first_step,
            endless,
        )

        def rows(start: int, stop: int) -> ShardRows:
            return ShardRows(self.files, self._layout, start, stop)

        return distributed_batches(
            strategy, rows, self.num_rows, self._layout, passes
        )


def dataset_from_memory(
    source: Source,
    vocabulary: Vocabulary,
    batch_size: int = 2048,
    *,
    shuffle: bool = False,
    seed: int = 0,
    drop_remainder: bool = False,
    text_format: TextFormat | None = None,
) -> tf.data.Dataset:
    """Batches straight from data small enough for memory.

    Args:
        source: DataFrame, Arrow table, dict of arrays, or file name(s).
        vocabulary: a fitted Vocabulary. With `encodings`, not that of these
            very rows, which would tell their own labels: `prepare` them.
        batch_size, shuffle, seed, drop_remainder: as for
            `PreparedData.dataset`; shuffling is over all rows.
        text_format: layout of text files.

    Returns:
        `tf.data.Dataset` with the elements of `PreparedData.dataset`.

    Raises:
        ValueError: there are no rows; or fields have `encodings`, and these
            are the rows that they were counted on.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> dataset = dataset_from_memory(data, fit_vocabulary(data, schema))
    >>> next(iter(dataset))[0]["ids"].numpy().tolist()
    [[2], [3], [2]]
    """
    schema = vocabulary.schema
    layout = RowLayout.of(schema)
    if shuffle:
        check_may_train(vocabulary)

    known = TrainingRows(vocabulary)

    def encode(block: CheckedBlock) -> tuple[Array, DataCounts, Any]:
        label = np.asarray(block.label)
        packed, counts = DataCounts.encode(vocabulary, block.columns)
        rows = layout.pack(packed, label, block.weight)
        return rows, counts, known.count(block)

    parts, counts = [], DataCounts(vocabulary)
    reading = Reading(source, schema, text_format)
    for rows, own, sums in reading.map_blocks(encode):
        parts.append(rows)
        counts.merge(own)
        known.add(sums)
    known.refuse()
    warn_of_drift(compare_counts(counts), "the data")
    if not sum(map(len, parts)):
        raise UserError(
            "The data must have at least one row. Received: no rows."
        )
    return _dataset_from_rows(
        np.concatenate(parts), layout, batch_size, shuffle, seed, drop_remainder
    )


def dataset_from_ids(
    packed: Mapping[str, Array],
    label: Array,
    schema: Schema,
    batch_size: int = 2048,
    *,
    weight: Array | None = None,
    shuffle: bool = False,
    seed: int = 0,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Batches from ids that you looked up yourself.

    Args:
        packed: the packed inputs (see `Vocabulary.encode`): `"ids"` and, where
            the schema has such fields, `"values"` and `"weights"`.
        label: (rows,) of 0 and 1.
        schema: a Schema whose fields have a `vocabulary_size`.
        weight: (rows,) of numbers of at least 0, where the schema has an
            `example_weight`.
        batch_size, shuffle, seed, drop_remainder: as for
            `PreparedData.dataset`.

    Raises:
        ValueError: an id is outside its field, or a shape is wrong.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema
    >>> field = CategoricalField("site", vocabulary_size=3)
    >>> dataset = dataset_from_ids(
    ...     {"ids": np.array([[1], [2]])}, [0, 1], Schema((field,), "click")
    ... )
    >>> dataset.element_spec[1].shape
    TensorShape([None, 1])
    """
    layout = RowLayout.of(schema)
    label = np.asarray(label, dtype=np.float32).reshape(-1)
    if not np.isin(label, (0.0, 1.0)).all() or not len(label):
        raise UserError(
            "`label` must hold at least one value, each 0 or 1. Received: "
            f"{label[~np.isin(label, (0.0, 1.0))][:5]} among {len(label)}."
        )
    if weight is not None:
        weight = np.asarray(weight, dtype=np.float32)
    check_example_weight(weight, len(label), schema)
    arrays = {}
    for name, place in layout.columns().items():
        dtype = np.int32 if name == "ids" else np.float32
        shape = (len(label), place.stop - place.start)
        received = np.shape(packed[name]) if name in packed else None
        if received != shape:
            raise UserError(
                f"`packed` must hold '{name}' of shape {shape}. Received: "
                f"{received}."
            )
        array = np.asarray(packed[name])
        if name == "ids":
            check_ids(array, schema)
        arrays[name] = array.astype(dtype)
    return _dataset_from_rows(
        layout.pack(arrays, label + 0.0, weight),
        layout,
        batch_size,
        shuffle,
        seed,
        drop_remainder,
    )


def _dataset_from_rows(
    rows: Array,
    layout: RowLayout,
    batch_size: int,
    shuffle: bool,
    seed: int,
    drop_remainder: bool,
) -> tf.data.Dataset:
    passes = Passes(batch_size, seed if shuffle else None, drop_remainder)
    return with_options(
        make_batches(
            MemoryRows(rows), layout, passes, passes.num_batches(len(rows))
        ),
        auto_shard=True,
    )


def _fingerprint(manifest: Mapping[str, Any]) -> str:
    digests = [entry["digest"] for entry in manifest["sources"]]
    return json.dumps([manifest["recipe"], digests], sort_keys=True)
