"""Integers that pandas wrote as floats: `7.0` for `7`."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

# An integer, or one that pandas wrote from a float column.
WHOLE_PATTERN = r"^-?(0|[1-9][0-9]*)(\.0)?$"
# Minus zero is zero. Arrow and TensorFlow both use this pattern (RE2).
POINT_ZERO_PATTERN = r"^(?:-?(0)|(-?[1-9][0-9]*))\.0$"
POINT_ZERO_REWRITE = r"\1\2"


def are_whole_numbers(texts: pa.Array) -> bool | None:
    """Whether all texts are integers, or such as `7.0`; None if none is."""
    texts = texts.drop_null()
    if not len(texts):
        return None
    # Most columns of names show at once that they are none.
    if not re.match(WHOLE_PATTERN, texts[0].as_py()):
        return False
    matches = pc.match_substring_regex(texts, WHOLE_PATTERN)
    return bool(pc.all(matches).as_py())


def drop_point_zero(texts: pa.Array) -> pa.Array:
    """`7.0`, as pandas writes an integer beside a gap, as `7`."""
    # Rarely is there any, and asking is many times cheaper.
    if not pc.any(pc.ends_with(texts, ".0")).as_py():
        return texts
    return pc.replace_substring_regex(
        texts, POINT_ZERO_PATTERN, POINT_ZERO_REWRITE
    )
