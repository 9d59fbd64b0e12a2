"""The first values of a table, which may be too large to be drawn at once.

A Keras initializer takes memory for the whole table three times over, and the
allocator keeps it: with the state of an optimizer, a third of a training's.
"""

from collections.abc import Iterator
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
            fill_in_blocks(table.value, self._initializer, self._num_columns)


def must_fill_in_blocks(initializer: Any, num_rows: int) -> bool:
    """Whether `fill_in_blocks` is the way to draw a table, here and now.

    Args:
        initializer: Keras initializer, or any callable.
        num_rows: int. Of the table.
    """
    return (
        _goes_in_blocks(initializer, num_rows)
        # A graph writes nothing yet, and replicas have copies.
        and tf.executing_eagerly()
        and not tf.distribute.has_strategy()
    )


def fill_in_blocks(
    table: tf.Variable, initializer: Any, num_columns: int
) -> None:
    """Draw the first columns of a table, block by block of rows.

    The values are distributed as if drawn at once; the random numbers are
    others.

    Args:
        table: (rows, columns), float32. Further columns become zero.
        initializer: Keras initializer that `must_fill_in_blocks` found fit.
        num_columns: int.
    """
    num_rows, padding = table.shape[0], table.shape[1] - num_columns
    for first_row, block in drawn_blocks(initializer, num_rows, num_columns):
        block = tf.pad(block, ((0, 0), (0, padding)))
        rows = tf.range(first_row, first_row + block.shape[0])
        # In place, where an assignment to a slice may copy the table.
        table.scatter_update(tf.IndexedSlices(block, rows))


def drawn_blocks(
    initializer: Any, num_rows: int, num_columns: int
) -> Iterator[tuple[int, Any]]:
    """First row and values of each block; one, where that is how to draw it.

    Args:
        initializer: Keras initializer, or any callable.
        num_rows, num_columns: int. Of all blocks.
    """
    if not _goes_in_blocks(initializer, num_rows):
        if isinstance(initializer, keras.Initializer):
            # Called twice, an unseeded instance draws the same values twice.
            initializer = initializer.clone()
        yield 0, initializer((num_rows, num_columns), dtype="float32")
        return
    seed = _seed(initializer)
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


def _fan(mode: str, num_rows: int, num_columns: int) -> float:
    """What Keras divides the variance by, for a matrix."""
    fans = {"fan_in": num_rows, "fan_out": num_columns}
    return fans.get(mode, (num_rows + num_columns) / 2)
