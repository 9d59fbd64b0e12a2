"""The rows of a table shared out between several workers."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.kernels import detached, local_value, rows_between

# Collective operations of one group and key meet; those of TensorFlow's own
# strategy have groups that count from 1.
_GROUP = 7_700
# TensorFlow remembers one shape of each key: rows for one worker are padded to
# one of these sizes, an eighth more at most, each with a key of its own.
_SIZES = np.unique(
    [max(1, m * 2**e // 8) for m in range(8, 16) for e in range(30)]
)
# Rows of each worker that are gathered at once.
_BLOCK_ROWS = 2**16
ONLY_LAZY = (
    "A table whose rows are distributed over workers must be learnt by a "
    "lazy optimizer, such as lazy_adam or rowwise_adagrad: Keras's own do "
    "not know where its rows are."
)
OUTSIDE = (
    "A model whose table is distributed over workers must be called by all "
    "of them: by `fit`, `predict` or `deepfm_tf.evaluate`. To use it on the "
    "chief only, let all workers call "
    "`deepfm_tf.strategies.on_one_host(model)`, and use what it gives."
)


class RowShards:
    """Which rows of a table this worker holds, and how it reads the others.

    Row `r` is with worker `r % count`, at `r // count`: frequent values have
    low ids, and so every worker gets as many of them. Each holds equally many
    rows, `ceil(V / count)`, of which the last may be nobody's.

    Args:
        number: int. Of this worker. Not its place in the cluster: workers are
            numbered as TensorFlow's collective operations number them.
        count: int. How many workers there are.
    """

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.count = count
        self._tables = itertools.count(1)

    def num_held(self, num_rows: int) -> int:
        """Rows that each worker holds of a table of `num_rows`.

        Example:

        >>> RowShards(0, count=3).num_held(7)
        3
        """
        return -(-num_rows // self.count)

    def held(self, first_row: int, values: Array) -> tuple[Array, Array]:
        """Where this worker holds rows that follow each other, and which.

        Args:
            first_row: int. In the table, that of the first of `values`.
            values: (rows, columns).

        Returns:
            Places in this worker's part, and the values for them.

        Example:

        >>> places, values = RowShards(1, count=3).held(3, np.array([5, 6, 7]))
        >>> places.tolist(), values.tolist()
        ([1], [6])
        """
        skipped = (self.number - first_row) % self.count
        own = values[skipped :: self.count]
        first = (first_row + skipped) // self.count
        return np.arange(first, first + len(own)), own

    def rows_of(self, places: Any) -> Any:
        """The rows of the table that this worker holds at some places."""
        return places * self.count + self.number

    def new_reader(self) -> RowReader:
        """What reads the rows of one more table, wherever they are held.

        All workers must make their tables in the same order.
        """
        return RowReader(self, next(self._tables))


class RowReader:
    """Reads the rows of one table from the workers that hold them.

    What goes from each worker to each other has one size, as collective
    operations want it: the largest that any of them needs in this step, on
    which they agree first. So nothing is ever left out.

    Args:
        shards: which rows this worker holds.
        table: int. Which of all tables it is, the same on all workers.
    """

    def __init__(self, shards: RowShards, table: int) -> None:
        self._shards = shards
        # A thousand keys: for rows, vectors and gradients one of each size,
        # then for the size itself, and for whole blocks.
        first = 1000 * table
        self._keys = first, first + 250, first + 500
        self._size_key = first + 750
        # Of values, and of what is said of rows: one shape each.
        self._block_keys = first + 751, first + 752

        @tf.custom_gradient
        def swap(vectors: Any, kind: Any) -> Any:
            def gradient(upstream: Any) -> Any:
                return self._exchange(upstream, 2, kind), None

            return self._exchange(vectors, 1, kind), gradient

        self._swap = detached(swap)

    def read(self, variable: Any, rows: Any) -> Any:
        """(rows, columns), with the gradient of the rows that are held here.

        Args:
            variable: of the rows that are held here.
            rows: (rows,) of integers. They may name a row several times; -1
                names none, and reads as zeros.
        """
        columns = variable.shape[1]
        if not is_in_replica():
            if tf.executing_eagerly():
                raise UserError(OUTSIDE)
            # Keras asks for shapes before it trains.
            with tf.control_dependencies(
                [tf.debugging.Assert(False, [OUTSIDE])]
            ):
                return tf.zeros([tf.size(rows), columns])
        count = self._shards.count
        table = local_value(variable)
        # Each row is asked for once.
        unique, positions = tf.unique(rows)
        owners = unique % count
        num_wanted = tf.math.bincount(owners, minlength=count, maxlength=count)
        kind, size = self._agree(tf.reduce_max(num_wanted))
        order = tf.argsort(owners)
        owners = tf.gather(owners, order)
        firsts = tf.cumsum(num_wanted, exclusive=True)
        # Where each row stands in (count, size), the buffer that is exchanged.
        cells = tf.cast(owners, tf.int32) * size + (
            tf.range(tf.size(unique)) - tf.gather(firsts, owners)
        )
        # -1 // count is -1, which asks for nothing.
        wanted = tf.tensor_scatter_nd_update(
            tf.fill([count * size], tf.constant(-1, unique.dtype)),
            cells[:, None],
            tf.gather(unique, order) // count,
        )
        wanted = self._exchange(tf.reshape(wanted, [count, size]), 0, kind)
        vectors = tf.reshape(_found(table, wanted), [count, size, columns])
        vectors = self._swap(vectors, kind)
        # Not in the order of the owners, but of `unique`.
        cells = tf.scatter_nd(order[:, None], cells, tf.shape(unique))
        return tf.gather(
            tf.reshape(vectors, [count * size, columns]),
            tf.gather(cells, positions),
        )

    def read_all(
        self,
        variable: Any,
        told: Callable[[Any], Any] = tf.identity,
        kind: int = 0,
    ) -> Iterator[tuple[int, Array]]:
        """First row and values of each block of the table, on all workers.

        All of them must call this, and take all blocks.

        Args:
            variable: of the rows that are held here.
            told: what is made of (rows, columns) before it is sent. Defaults
                to the values themselves.
            kind: 1 for another `told` than for 0.
        """
        strategy = variable.value.distribute_strategy
        count = self._shards.count
        size = min(_BLOCK_ROWS, variable.shape[0])

        def swap(start: Any) -> Any:
            table = local_value(variable)
            part = told(rows_between(table, start, start + size))
            parts = tf.tile(part[None], [count, 1, 1])
            return all_to_all(parts, count, self._block_keys[kind])

        run = tf.function(
            lambda start: strategy.run(swap, (start,)), autograph=False
        )
        for start in range(0, variable.shape[0], size):
            # One shape for all: the last begins within the one before.
            start = min(start, variable.shape[0] - size)
            block = np.asarray(run(tf.constant(start)))
            rows = block.swapaxes(0, 1).reshape(-1, block.shape[-1])
            yield start * count, rows[: variable.num_rows - start * count]

    def _agree(self, num_wanted: Any) -> tuple[Any, Any]:
        """The place in `_SIZES` of a size that does for all, and the size."""
        largest = tf.raw_ops.CollectiveReduceV2(
            input=num_wanted,
            group_size=self._shards.count,
            group_key=_GROUP,
            instance_key=self._size_key,
            ordering_token=[],
            merge_op="Max",
            final_op="Id",
        )
        kind = tf.searchsorted(tf.constant(_SIZES, tf.int32), largest[None])[0]
        return kind, tf.gather(tf.constant(_SIZES, tf.int32), kind)

    def _exchange(self, tensor: Any, purpose: int, kind: Any) -> Any:
        key = self._keys[purpose] + kind
        return all_to_all(tensor, self._shards.count, key)


def _found(table: Any, wanted: Any) -> Any:
    """The rows that others want of this worker; zeros where none is (-1).

    A row for the gaps would get a gradient, and so a step of the optimizer.
    """
    wanted = tf.reshape(wanted, [-1])
    is_row = tf.where(wanted >= 0)
    vectors = tf.gather(table, tf.gather_nd(wanted, is_row))
    shape = tf.stack([tf.size(wanted, tf.int64), vectors.shape[1]])
    return tf.scatter_nd(is_row, vectors, shape)


def all_to_all(tensor: Any, count: int, key: Any) -> Any:
    """(count, ...): part j goes to worker j, and what comes from it is there.

    Args:
        tensor: of one shape on all workers.
        count: int. Workers.
        key: int. The same on all workers, and used once in a step.
    """
    return tf.raw_ops.CollectiveAllToAllV2(
        input=tensor,
        group_size=count,
        group_key=_GROUP,
        instance_key=key,
        ordering_token=[],
    )


def current_row_shards() -> RowShards | None:
    """How a table that is made now is shared out; None where it is not."""
    strategy = tf.distribute.get_strategy()
    shards: RowShards | None = getattr(strategy, "row_shards", None)
    return shards


def is_sharded(variable: Any) -> bool:
    """Whether a variable holds this worker's rows of a table alone."""
    return hasattr(variable, "row_shards")


def is_in_replica() -> bool:
    """Whether this is what a strategy runs on each of its replicas."""
    replica = tf.distribute.get_replica_context()
    return tf.distribute.has_strategy() and replica is not None


@contextlib.contextmanager
def held_apart() -> Iterator[None]:
    """Variables made in this block have other values on each worker."""

    def create(make: Callable[..., Any], **arguments: Any) -> Any:
        return make(
            **arguments
            | {
                "synchronization": tf.VariableSynchronization.ON_READ,
                # Else it could not be read outside of a step.
                "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
            }
        )

    with tf.variable_creator_scope(create):
        yield


def find_row_shards(strategy: Any) -> RowShards:
    """How tables are shared out between the workers of a strategy.

    Args:
        strategy: of several workers, with a `cluster`.

    Raises:
        UserError: a worker has several replicas.
    """
    index, count = strategy.cluster.index, strategy.cluster.num_workers
    num_replicas = strategy.num_replicas_in_sync // count
    if num_replicas > 1:
        raise UserError(
            "Each worker that holds rows of a table must have one GPU at most. "
            f"Received: {num_replicas}. Start a worker for each GPU, and show "
            "it that one with CUDA_VISIBLE_DEVICES."
        )

    def tell() -> Any:
        return all_to_all(tf.fill([count, 1], index), count, 0)

    run = tf.function(lambda: strategy.run(tell), autograph=False)
    # From eleven workers on, TensorFlow counts them in another order: what
    # this one says of itself comes back from its own place.
    heard = np.asarray(run())[:, 0]
    return RowShards(int(np.flatnonzero(heard == index)[0]), count)


def refuse_other_updates(extended: Any) -> None:
    """Let a strategy refuse optimizers that know of no sharded tables.

    Keras's own add up the gradients of all workers, which are of other rows
    on each, and then ask the strategy to update the variable.

    Args:
        extended: `strategy.extended`.
    """
    update = extended.update

    def checked(variable: Any, *arguments: Any, **others: Any) -> Any:
        if variable.synchronization == tf.VariableSynchronization.ON_READ:
            raise UserError(ONLY_LAZY)
        return update(variable, *arguments, **others)

    extended.update = checked
