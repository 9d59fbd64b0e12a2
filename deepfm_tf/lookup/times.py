"""Times in a TensorFlow graph: the ids that `timestamps.time_ids` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.timestamps import (
    EPOCH,
    REWRITES,
    WRITTEN,
    part_starts,
    parts_of_epoch,
    parts_of_written,
)


def look_up_times(
    text: tf.Tensor, parts: Sequence[str], first_id: int, missing: Array
) -> tf.Tensor:
    """(batch, parts) int32 ids of times.

    Args:
        text: (batch,) string. What is no time is missing.
        parts: names of parts.
        first_id: int. The id of the first value of the first part.
        missing: (parts,) int32. The ids of what is missing.
    """
    text = tf.strings.strip(text)
    for pattern, new in REWRITES:
        text = tf.strings.regex_replace(text, pattern, new)
    written = tf.strings.regex_full_match(text, WRITTEN)
    epoch = tf.strings.regex_full_match(text, EPOCH)
    date = tf.where(written, text, "1970-01-01")
    places = ((0, 4), (5, 2), (8, 2), (11, 2))
    # A date alone is at midnight.
    numbers = [_number(date + " 00", *place) for place in places]
    of_written = parts_of_written(*numbers)
    digits = tf.strings.regex_replace(text, r"\..*$", "")
    digits = tf.where(epoch, digits, "100000000")
    length = tf.cast(tf.strings.length(digits), tf.int64)
    # 9 or 10 digits of seconds stand before 0, 3, 6 or 9 of a fraction.
    of_epoch = parts_of_epoch(_number(digits, 0, 9 + length % 3))
    columns = [
        tf.where(written, of_written[part], of_epoch[part]) for part in parts
    ]
    ids = tf.stack(columns, axis=1) + (first_id + part_starts(parts))
    is_time = (written | epoch)[:, None]
    return tf.where(is_time, tf.cast(ids, tf.int32), missing)


def _number(texts: tf.Tensor, start: int, length: Any) -> tf.Tensor:
    # Both have the shape of the texts by an operation. A constant one, where
    # that is one row, is known to a server that reads the graph while the other
    # is not, and is refused.
    zeros = 0 * tf.cast(tf.strings.length(texts), tf.int64)
    part = tf.strings.substr(texts, zeros + start, zeros + length)
    return tf.strings.to_number(part, tf.int64)
