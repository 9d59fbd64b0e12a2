"""Rows to batches: the one way for shards and for memory."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.errors import UserError
from deepfm_tf.seeds import check_seed

# A pass counts as an epoch once its last batch is made. Batches are made
# ahead of their use: 2 here, 4 by `prefetch`, about 4 under a strategy. In a
# data set of no more than this, the first batch must do to count a pass.
_MADE_AHEAD = 32


class Rows(Protocol):
    """Packed rows that can be loaded in groups.

    Attributes:
        num_rows: int.
        group_rows: int. Rows that should be loaded at a time.
    """

    num_rows: int
    group_rows: int

    def order(self, key: Tensor) -> Tensor:
        """A random order of the rows' chunks."""

    def load(self, order: Tensor | None, start: Tensor, stop: Tensor) -> Tensor:
        """(rows, width) int32: those from `start` to `stop` in that order."""


class MemoryRows:
    """Rows in memory, all of them one group.

    Args:
        rows: (rows, width) int32.
    """

    def __init__(self, rows: Array) -> None:
        self.num_rows = self.group_rows = len(rows)
        self._rows = tf.constant(rows)

    def order(self, key: Tensor) -> Tensor:
        """There is one chunk only."""
        return tf.zeros((1,), tf.int64)

    def load(self, order: Tensor | None, start: Tensor, stop: Tensor) -> Tensor:
        """All rows."""
        return self._rows


@dataclasses.dataclass(frozen=True)
class Passes:
    """What the passes through a data set are to bring.

    Args:
        batch_size: int. Examples in a batch.
        seed: int or None. Decides the order; `None` does not shuffle.
        drop_remainder: bool. Leave out the last, smaller batch.
        first_epoch: int. The number of the first pass.
        first_step: int. Batches left out at the start of the first epoch.
        endless: bool. Whether epoch follows epoch in one pass. Every pass
            then begins with `first_epoch`, as none comes to its end.
    """

    batch_size: int
    seed: int | None = None
    drop_remainder: bool = False
    first_epoch: int = 0
    first_step: int = 0
    endless: bool = False

    def __post_init__(self) -> None:
        if self.seed is not None:
            check_seed(self.seed)
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise UserError(
                "`batch_size` must be a positive integer. Received: "
                f"batch_size={self.batch_size!r}."
            )
        for name in ("first_epoch", "first_step"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise UserError(
                    f"`{name}` must be an integer of at least 0. Received: "
                    f"{name}={value!r}."
                )

    def num_batches(self, num_rows: int) -> int:
        """Batches in a whole epoch."""
        whole, rest = divmod(num_rows, self.batch_size)
        if self.drop_remainder and not whole:
            raise UserError(
                f"With `drop_remainder`, `batch_size` must not exceed the "
                f"{num_rows} rows, or no batch is left. Received: "
                f"batch_size={self.batch_size}."
            )
        count = whole if self.drop_remainder or not rest else whole + 1
        if self.first_step >= count:
            raise UserError(
                f"`first_step` must be below {count}, the number of batches. "
                f"Received: first_step={self.first_step}."
            )
        return count


# Nothing here is for AutoGraph, whose first look at it takes half a second.
@tf.autograph.experimental.do_not_convert
def make_batches(
    rows: Rows, layout: RowLayout, passes: Passes, num_batches: int
) -> tf.data.Dataset:
    """Batches of inputs and label, in the order of (seed, epoch).

    Rows come in groups of whole batches, so that the group of any batch is
    known: an epoch can begin at any step, and no batch is put together from
    two groups.
    """
    if passes.endless and passes.first_step:
        first = dataclasses.replace(passes, endless=False)
        following = dataclasses.replace(
            passes, first_epoch=passes.first_epoch + 1, first_step=0
        )
        return make_batches(rows, layout, first, num_batches).concatenate(
            make_batches(rows, layout, following, num_batches)
        )
    size, seed = passes.batch_size, passes.seed
    group_steps = min(num_batches, -(-rows.group_rows // size))
    num_groups = -(-num_batches // group_steps)
    counter = _EpochCounter(passes, num_batches)

    def key(epoch: Tensor) -> Tensor:
        return tf.stack([tf.constant(seed, tf.int64), epoch])

    def groups(epoch: Tensor) -> tf.data.Dataset:
        first = passes.first_step // group_steps
        order = () if seed is None else (rows.order(key(epoch)),)
        return _numbered((first, num_groups), epoch, *order)

    def load(
        group: Tensor, epoch: Tensor, order: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        start = group * group_steps * size
        # The last group has the rows that `drop_remainder` leaves out, too.
        stop = tf.where(
            tf.equal(group, num_groups - 1),
            tf.constant(rows.num_rows, tf.int64),
            start + group_steps * size,
        )
        table = rows.load(order, start, stop)
        if seed is None:
            return epoch, group, table
        places = tf.random.experimental.stateless_shuffle(
            tf.range(tf.cast(stop - start, tf.int32)),
            tf.random.experimental.stateless_fold_in(key(epoch), group),
        )
        return epoch, group, table, places

    def steps(epoch: Tensor, group: Tensor, *tables: Tensor) -> tf.data.Dataset:
        start = group * group_steps
        stop = tf.minimum(start + group_steps, num_batches)
        first = tf.maximum(start, passes.first_step)
        return _numbered((first, stop), epoch, *tables)

    def batch(
        step: Tensor, epoch: Tensor, table: Tensor, places: Tensor | None = None
    ) -> tuple[Any, ...]:
        start = step % group_steps * size
        if places is None:
            words = table[start : start + size]
        else:
            words = tf.gather(table, places[start : start + size])
        with tf.control_dependencies(counter.count(epoch, step)):
            return split_rows(tf.identity(words), layout)

    if seed is None and not passes.endless:
        # All passes are the same one: no functions to trace for its number.
        numbered = groups(tf.constant(passes.first_epoch, tf.int64))
    else:
        numbered = counter.epochs().flat_map(groups)
    return (
        numbered.map(load, num_parallel_calls=2, deterministic=True)
        .flat_map(steps)
        .map(batch, num_parallel_calls=2, deterministic=True)
        .apply(
            tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
                if passes.endless
                else num_batches - passes.first_step
            )
        )
        .prefetch(4)
    )


def _numbered(bounds: tuple[Any, Any], *same: Tensor) -> tf.data.Dataset:
    """Each number, with what is the same for all; no function to trace."""
    repeated = [tf.data.Dataset.from_tensors(x).repeat() for x in same]
    return tf.data.Dataset.zip((tf.data.Dataset.range(*bounds), *repeated))


class _EpochCounter:
    """Numbers the passes through a data set.

    A pass that is abandoned, such as the one that Keras makes to build a
    model, does not count; nor does an iterator that is never read.
    """

    def __init__(self, passes: Passes, num_batches: int) -> None:
        self._next = passes.first_epoch
        self._endless = passes.endless
        # Part of an epoch stays what it is.
        self._counts = passes.seed is not None and not (
            passes.first_step or passes.endless
        )
        self._last = num_batches - 1 if num_batches > _MADE_AHEAD else 0

    def epochs(self) -> tf.data.Dataset:
        """The number of the pass, found out when its first batch is read."""
        if self._endless:
            return tf.data.Dataset.range(self._next, tf.int64.max)
        one = tf.data.Dataset.range(1)
        if not self._counts:
            return one.map(lambda _: tf.constant(self._next, tf.int64))
        return one.map(
            lambda _: tf.ensure_shape(
                tf.numpy_function(lambda: np.int64(self._next), [], tf.int64),
                (),
            )
        )

    def count(self, epoch: Tensor, step: Tensor) -> list[Tensor]:
        """Count a pass, if this is its step to be counted at."""
        if not self._counts:
            return []
        counted = tf.cond(
            step == self._last,
            lambda: tf.numpy_function(self._pass, [epoch], tf.int64),
            lambda: epoch,
        )
        return [counted]

    def _pass(self, epoch: np.int64) -> np.int64:
        self._next = int(epoch) + 1
        return epoch


@tf.autograph.experimental.do_not_convert
def shuffle_groups(groups: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """Mix the rows of each group, in another order at each pass."""
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    return tf.data.Dataset.zip((groups, seeds)).map(
        lambda rows, number: tf.random.experimental.stateless_shuffle(
            rows, tf.stack([number, seed])
        ),
        num_parallel_calls=2,
        deterministic=True,
    )


def with_options(dataset: tf.data.Dataset, auto_shard: bool) -> tf.data.Dataset:
    """The options of every data set."""
    options = tf.data.Options()
    # With autotune, deleting an iterator may stall for its next tick.
    options.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = (
        policy.DATA if auto_shard else policy.OFF
    )
    return dataset.with_options(options)


def split_rows(words: Tensor, layout: RowLayout) -> tuple[Any, ...]:
    """Packed rows to inputs, label and, where there is one, weight."""
    columns = layout.columns()
    widths = [place.stop - place.start for place in columns.values()]
    words = tf.ensure_shape(words, (None, layout.width))
    ends = [1] * layout.num_example_weights
    label, *parts = tf.split(words, [1, *widths, *ends], axis=1)
    inputs = {
        name: part if name == "ids" else tf.bitcast(part, tf.float32)
        for name, part in zip(columns, parts, strict=False)
    }
    label = tf.bitcast(label, tf.float32)
    if not ends:
        return inputs, label
    return inputs, label, tf.bitcast(parts[-1][:, 0], tf.float32)
