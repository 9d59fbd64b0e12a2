"""The vocabulary: what training froze of each field's values."""

from deepfm_tf.vocabulary.vocabulary import (
    MISSING_ID,
    NEGATIVES,
    NO_ID,
    OOV_ID,
    WHOLE_NUMBERS,
    Columns,
    Vocabulary,
    take_rows,
)

__all__ = [
    "Columns",
    "MISSING_ID",
    "NEGATIVES",
    "NO_ID",
    "OOV_ID",
    "Vocabulary",
    "WHOLE_NUMBERS",
    "take_rows",
]
