"""What a seed may be: the same for numpy, Keras and TensorFlow."""

from __future__ import annotations

import operator
from typing import Any

from deepfm_tf.errors import UserError

# Keras seeds numpy's old generator, which takes 32 bits.
MAX_SEED = 2**32 - 1


def check_seed(seed: Any) -> int:
    """The seed as an `int`.

    Args:
        seed: int, from 0 to `MAX_SEED`; one of numpy's, too.

    Raises:
        ValueError: it is anything else.

    Example:

    >>> check_seed(7)
    7
    """
    try:
        value = -1 if isinstance(seed, bool) else operator.index(seed)
    except TypeError:
        value = -1
    if not 0 <= value <= MAX_SEED:
        raise UserError(
            f"`seed` must be a whole number from 0 to {MAX_SEED}. Received: "
            f"seed={seed!r}.",
            argument="seed",
        )
    return value
