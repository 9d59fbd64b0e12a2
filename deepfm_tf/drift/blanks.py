"""Blanks around values: seen by nobody, and another value all the same."""

from __future__ import annotations

import warnings

import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.vocabulary import Vocabulary

# Fields that a message names.
_MOST_NAMED = 3


def warn_of_blanks(vocabulary: Vocabulary, stacklevel: int = 2) -> None:
    """Warn of values of training that have blanks around them.

    Reading takes no blank off: `" a"` is another value than `"a"`, in what is
    served too. Said is where both stand in a field, and where each value of it
    begins with a blank, so that what is served without them is unseen.

    Args:
        vocabulary: of the training data.
        stacklevel: int. As for `warnings.warn`.
    """
    led, doubled = [], []
    for field in vocabulary.schema.fields:
        texts = vocabulary.values.get(field.name, ())
        if not field.is_text or field.is_time or not len(texts):
            continue
        values = pa.array(texts, pa.large_string())
        bare = pc.utf8_trim_whitespace(values)
        padded = pc.not_equal(values, bare)
        if not pc.any(padded).as_py():
            continue
        known = pc.and_(padded, pc.is_in(bare, value_set=values))
        if pc.all(pc.starts_with(values, " ")).as_py():
            led.append(field.name)
        elif pc.any(known).as_py():
            count = pc.sum(known).as_py()
            first = values.filter(known)[0].as_py()
            doubled.append(
                f"{count:,} of '{field.name}', such as {first!r} next to "
                f"{first.strip()!r}"
            )
    if led:
        more = len(led) - _MOST_NAMED
        named = ", ".join(led[:_MOST_NAMED]) + f" and {more} more" * (more > 0)
        warnings.warn(
            f"All values of {named} begin with a blank. ' a' and 'a' are "
            "different values, also for the served model. If a text file has "
            "a comma and a blank between its columns, `separator` "
            "(--separator ', ') drops the blanks; otherwise remove them.",
            stacklevel=stacklevel + 1,
        )
    if doubled:
        named = "; ".join(doubled[:_MOST_NAMED])
        warnings.warn(
            "Some values differ from others only by blanks around them, and "
            f"count as different values: {named}. If the blanks mean "
            "nothing, remove them, here and in requests.",
            stacklevel=stacklevel + 1,
        )
