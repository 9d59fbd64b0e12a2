"""Batches of several workers, of which each reads its own rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from deepfm_tf.data.prepared.batches import (
    Passes,
    Rows,
    make_batches,
    with_options,
)
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.errors import UserError
from deepfm_tf.strategies import cluster_of


def distributed_batches(
    strategy: tf.distribute.Strategy,
    rows: Callable[[int, int], Rows],
    num_rows: int,
    layout: RowLayout,
    passes: Passes,
) -> Any:
    """What `PreparedData.distributed` gives.

    Args:
        strategy: of `create_strategy`.
        rows: the rows from the first number to before the second.
        num_rows: int.
        layout: RowLayout.
        passes: Passes, its `batch_size` over all workers.
    """
    # Of the whole, so that no worker makes a step more or less than others.
    num_batches = passes.num_batches(num_rows)
    if cluster_of(strategy).num_workers == 1:
        dataset = make_batches(rows(0, num_rows), layout, passes, num_batches)
        return strategy.experimental_distribute_dataset(
            with_options(dataset, auto_shard=True)
        )

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        index, count = context.input_pipeline_id, context.num_input_pipelines
        start, stop, size = own_rows(index, count, num_rows, passes.batch_size)
        dataset = make_batches(
            rows(start, stop),
            layout,
            dataclasses.replace(passes, batch_size=size),
            num_batches,
        )
        num_replicas = context.num_replicas_in_sync // count
        if num_replicas > 1:
            dataset = _split(dataset, num_replicas, passes.endless)
        return with_options(dataset, auto_shard=False)

    return strategy.distribute_datasets_from_function(own)


def own_rows(
    index: int, count: int, num_rows: int, batch_size: int
) -> tuple[int, int, int]:
    """First row, row after the last, and share of each batch of a worker.

    All need equally many batches for their rows: a last batch, too, is
    shared out, of which one may get no row.

    Example:

    >>> [own_rows(index, 2, 21, 10) for index in (0, 1)]
    [(0, 10, 5), (10, 21, 5)]
    """
    if batch_size < count:
        raise UserError(
            "`batch_size` counts the examples of all workers, and must be at "
            f"least the number of workers. Received: batch_size={batch_size} "
            f"for {count} workers."
        )
    whole, rest = divmod(num_rows, batch_size)
    places = [batch_size * n // count for n in (index, index + 1)]
    start, stop = (
        whole * place + rest * place // batch_size for place in places
    )
    return start, stop, places[1] - places[0]


@tf.autograph.experimental.do_not_convert
def _split(
    dataset: tf.data.Dataset, num_replicas: int, endless: bool
) -> tf.data.Dataset:
    """Each batch as one for each replica of this worker."""

    def parts(*batch: Any) -> tf.data.Dataset:
        size = tf.shape(batch[1], out_type=tf.int64)[0]

        def part(replica: tf.Tensor) -> Any:
            start = size * replica // num_replicas
            stop = size * (replica + 1) // num_replicas
            return tf.nest.map_structure(lambda all: all[start:stop], batch)

        return tf.data.Dataset.range(num_replicas).map(part)

    dataset = dataset.flat_map(parts)
    if endless:
        length = tf.data.INFINITE_CARDINALITY
        return dataset.apply(tf.data.experimental.assert_cardinality(length))
    # Of unknown length, or Keras would take each part for a step; it learns
    # the length, and warns, at the end of the first epoch.
    return dataset.filter(lambda *_: True)
