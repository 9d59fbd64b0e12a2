"""The buckets that numbers are cut into: their numbers and their names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.fields import BucketizedField
from deepfm_tf.metrics.slices import short_number

_EXACT_THRESHOLDS = np.exp(np.sqrt(np.arange(1.0, 7872.0)))
_ROUNDED = _EXACT_THRESHOLDS.astype(np.float32)
# The least float32 from each threshold e^sqrt(n) on; ln(float32 max)^2 is
# 7871.6, so no float32 lies beyond the last. As thresholds, numpy and the
# exported graph cannot disagree in a last bit of a logarithm.
LOG_SQUARE_THRESHOLDS = np.where(
    _ROUNDED < _EXACT_THRESHOLDS,
    np.nextafter(_ROUNDED, np.float32(np.inf)),
    _ROUNDED,
)
SMALLEST_BUCKET = -(2.0**31)


def bucketize(field: BucketizedField, x: Array, boundaries: Any) -> Array:
    """Bucket numbers (int64) of float32 `x`; NaN gets an arbitrary one."""
    x = np.nan_to_num(x.astype(np.float32), nan=0.0)
    if field.has_boundaries:
        edges = np.asarray(boundaries, dtype=np.float32)
        return np.searchsorted(edges, x, side="right").astype(np.int64)
    large = np.searchsorted(LOG_SQUARE_THRESHOLDS, x, side="right")
    small = np.floor(np.clip(x, SMALLEST_BUCKET, 2.0))
    return np.where(x > 2, large, small).astype(np.int64)


def bucket_texts(field: BucketizedField, x: Array, boundaries: Any) -> pa.Array:
    """Bucket numbers as text, in a dictionary array; null for NaN."""
    numbers = pa.array(x, pa.float32(), mask=np.isnan(x)).dictionary_encode()
    distinct = numbers.dictionary.to_numpy(zero_copy_only=False)
    buckets = bucketize(field, distinct, boundaries)
    texts = pc.cast(pa.array(buckets), pa.string())
    return pa.DictionaryArray.from_arrays(numbers.indices, texts)


def bucket_names(
    field: BucketizedField, values: Iterable[str], boundaries: Sequence[float]
) -> list[str]:
    """What the buckets of a field hold: the upper end is not in them.

    Args:
        field: the field.
        values: the buckets, as the numbers that a Vocabulary holds as text.
        boundaries: ascending; unused by `"log_square"`.

    Example:

    >>> field = BucketizedField("price", "boundaries", boundaries=(2, 4.5))
    >>> bucket_names(field, ["0", "1", "2"], field.boundaries)
    ['below 2', '2 to 4.5', 'from 4.5']
    >>> bucket_names(BucketizedField("n", "log_square"), ["-1", "0", "4"], ())
    ['-1 to 0', '0 to 1 and 2 to 2.72', '7.39 to 9.36']
    """
    numbers = [int(value) for value in values]
    if not field.has_boundaries:
        return [_log_square_name(number) for number in numbers]
    edges = _texts(boundaries)
    names = [
        f"below {edges[0]}" if edges else "any number",
        *(
            f"{low} to {high}"
            for low, high in zip(edges, edges[1:], strict=False)
        ),
        f"from {edges[-1]}" if edges else "",
    ]
    return [names[number] for number in numbers]


def _log_square_name(number: int) -> str:
    """Above 2, where floor(ln(x)^2) is `number`; else where floor(x) is."""
    parts = []
    if number <= 2:
        parts = [f"{number} to {number + 1}" if number < 2 else "2"]
    if number >= 0:
        ends = [math.exp(math.sqrt(n)) for n in (number, number + 1)]
        low, high = (short_number(max(2.0, end)) for end in ends)
        parts.append(f"{low} to {high}")
    return " and ".join(parts)


def _texts(numbers: Sequence[float]) -> list[str]:
    """With as few digits as keep them apart."""
    texts: list[str] = []
    for digits in range(3, 18):
        texts = [short_number(number, digits) for number in numbers]
        if len(set(texts)) == len(texts):
            break
    return texts
