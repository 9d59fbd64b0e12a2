"""The one rule from a raw value, however it is stored, to its text or number.

A value has one text, whatever column holds it (`to_text`):

- a whole number is its decimal digits, exact; a float beyond 2^53 is refused,
  as it may stand for several integers;
- another number is its shortest text that reads back in its own width;
- a boolean is `True` or `False`;
- a date, or a timestamp at midnight without a zone, is `YYYY-MM-DD`; any
  other timestamp is `YYYY-MM-DD HH:MM:SS`, then the fraction without trailing
  zeros, then the zone's offset;
- bytes are UTF-8 text; whatever else is its `str()`; text is text.

`to_texts` and `to_numbers` do the same for whole Arrow arrays of any type.
"""

from deepfm_tf.raw_values.element import NoTextError, shown, to_text
from deepfm_tf.raw_values.lists import split_values
from deepfm_tf.raw_values.numbers import (
    MISSING_NUMBERS,
    NUMBER_PATTERN,
    missing_numbers,
    parse_numbers,
    to_doubles,
    to_numbers,
)
from deepfm_tf.raw_values.objects import (
    ELEMENTS,
    from_elements,
    is_elements,
    may_be_lists,
    shown_elements,
    with_lists,
)
from deepfm_tf.raw_values.texts import (
    Bad,
    cell_text,
    is_list,
    is_text,
    missing_to_null,
    register_types,
    to_texts,
)
from deepfm_tf.raw_values.whole_numbers import (
    POINT_ZERO_PATTERN,
    POINT_ZERO_REWRITE,
    are_whole_numbers,
    drop_point_zero,
)

__all__ = [
    "ELEMENTS",
    "MISSING_NUMBERS",
    "NUMBER_PATTERN",
    "POINT_ZERO_PATTERN",
    "POINT_ZERO_REWRITE",
    "Bad",
    "NoTextError",
    "are_whole_numbers",
    "cell_text",
    "drop_point_zero",
    "from_elements",
    "is_elements",
    "is_list",
    "is_text",
    "may_be_lists",
    "missing_numbers",
    "missing_to_null",
    "parse_numbers",
    "register_types",
    "shown",
    "shown_elements",
    "split_values",
    "to_doubles",
    "to_numbers",
    "to_text",
    "to_texts",
    "with_lists",
]
