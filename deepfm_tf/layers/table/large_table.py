"""The first values of a table, which may be too large to be drawn at once.

A Keras initializer takes memory for the whole table three times over, and the
allocator keeps it: with the state of an optimizer, a third of a training's.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

# Rows drawn at once. Smaller tables are what the initializer makes of them.
BLOCK_ROWS = 1_000_000

# Random ones whose values do not depend on the shape.
_SHAPELESS = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
)


class FirstValues:
    """Latent vectors as an initializer draws them, then columns of zeros.

    Args:
        initializer: Keras initializer, or any callable.
        num_columns: int. Of the latent vectors.

    Call arguments:
        shape, dtype: of the table. What comes may be zeros for now, which
            `complete` fills in.
    """

    def __init__(self, initializer: Any, num_columns: int) -> None:
        self._initializer = initializer
        self._num_columns = num_columns
        self._may_be_empty, self._is_empty = True, False

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        num_rows, num_columns = shape
        self._is_empty = self._may_be_empty and must_fill_in_blocks(
            self._initializer, num_rows
        )
        if self._is_empty:
            return ops.zeros(shape, dtype)
        initializer = self._initializer
        if isinstance(initializer, keras.Initializer):
            # Called twice, an unseeded instance draws the same values twice.
            initializer = initializer.clone()
        vectors = initializer((num_rows, self._num_columns), dtype=dtype)
        return ops.pad(vectors, ((0, 0), (0, num_columns - self._num_columns)))

    def complete(self, table: Any) -> None:
        """Fill in the Keras variable that was made of these values."""
        # Keras may put the variable off; then it is drawn at once.
        self._may_be_empty = False
        if self._is_empty:
            strategy = tf.distribute.get_strategy()
            fill_in_blocks(
                strategy.experimental_local_results(table.value),
                self._initializer,
                self._num_columns,
            )


def must_fill_in_blocks(initializer: Any, num_rows: int) -> bool:
    """Whether `fill_in_blocks` is the way to draw a table, here and now.

    Args:
        initializer: Keras initializer, or any callable.
        num_rows: int. Of the table.
    """
    return (
        _goes_in_blocks(initializer, num_rows)
        # A graph writes nothing yet, and a replica knows no other's copy.
        and tf.executing_eagerly()
        and (
            not tf.distribute.has_strategy()
            or tf.distribute.in_cross_replica_context()
        )
    )


def fill_in_blocks(
    copies: Sequence[tf.Variable], initializer: Any, num_columns: int
) -> None:
    """Draw the first columns of a table, block by block of rows.

    The values are distributed as if drawn at once; the random numbers are
    others.

    Args:
        copies: (rows, columns) each, float32: the table, on each replica of
            this worker. Further columns become zero.
        initializer: Keras initializer that `must_fill_in_blocks` found fit.
        num_columns: int.
    """
    num_rows, width = copies[0].shape
    seed = _seed(initializer)
    if seed is None and tf.distribute.has_strategy():
        seed = _common_seed()
    for first_row, block in drawn_blocks(
        initializer, num_rows, num_columns, seed
    ):
        block = tf.pad(block, ((0, 0), (0, width - num_columns)))
        rows = tf.range(first_row, first_row + block.shape[0])
        for copy in copies:
            # In place, where an assignment to a slice may copy the table.
            copy.scatter_update(tf.IndexedSlices(block, rows))


def drawn_blocks(
    initializer: Any, num_rows: int, num_columns: int, seed: int | None = None
) -> Iterator[tuple[int, Any]]:
    """First row and values of each block; one, where that is how to draw it.

    Args:
        initializer: Keras initializer, or any callable.
        num_rows, num_columns: int. Of all blocks.
        seed: int. In place of the initializer's, for several blocks.
    """
    if not _goes_in_blocks(initializer, num_rows):
        if isinstance(initializer, keras.Initializer):
            # Called twice, an unseeded instance draws the same values twice.
            initializer = initializer.clone()
        yield 0, initializer((num_rows, num_columns), dtype="float32")
        return
    seed = _seed(initializer) if seed is None else seed
    for number, start in enumerate(range(0, num_rows, BLOCK_ROWS)):
        size = min(BLOCK_ROWS, num_rows - start)
        config = initializer.get_config()
        if seed is not None:
            config["seed"] = seed + number
        block = type(initializer).from_config(config)((size, num_columns))
        if isinstance(initializer, keras.initializers.VarianceScaling):
            fans = [
                _fan(initializer.mode, n, num_columns) for n in (size, num_rows)
            ]
            block *= (fans[0] / fans[1]) ** 0.5
        yield start, block


def _goes_in_blocks(initializer: Any, num_rows: int) -> bool:
    return (
        num_rows > BLOCK_ROWS
        and isinstance(
            initializer, (keras.initializers.VarianceScaling, *_SHAPELESS)
        )
        and isinstance(_seed(initializer), (int, type(None)))
    )


def _seed(initializer: Any) -> Any:
    return initializer.get_config()["seed"]


def _common_seed() -> int:
    """A seed that all workers have: a variable starts as the chief's does.

    As a float, which all devices exchange; each whole number up to 2^24 is one.
    """
    chosen = tf.Variable(float(random.randrange(2**24)), trainable=False)
    return int(chosen.numpy())


def _fan(mode: str, num_rows: int, num_columns: int) -> float:
    """What Keras divides the variance by, for a matrix."""
    fans = {"fan_in": num_rows, "fan_out": num_columns}
    return fans.get(mode, (num_rows + num_columns) / 2)
