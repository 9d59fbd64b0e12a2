"""Raw data compared with the training data, without preparing them."""

from __future__ import annotations

from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.drift import DataCounts, Drift, compare_counts
from deepfm_tf.files.readers import Source
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.vocabulary import Vocabulary


def compare_with_training(
    source: Source,
    vocabulary: Vocabulary,
    *,
    text_format: TextFormat | None = None,
) -> list[Drift]:
    """Fields whose values are not what the training data lead one to expect.

    For data about to be scored: a column that is stored as another type, is
    written in another way, comes from another time or is not filled is seen
    as unseen (OOV) or missing values, which a model takes without a word.
    `prepare`, `dataset_from_memory`, `dataset_from_text` and `encode` warn of
    the same. `deepfm_tf.drift.compare_counts` states the rule.

    Args:
        source: file name(s), DataFrame, Arrow table or dict of arrays, with
            or without labels. Rows that cannot be read are left out.
        vocabulary: of the training data.
        text_format: layout of text files.

    Returns:
        A Drift for each field that is far above the expected share of
        unseen, or of missing, values, or whose times are written otherwise:
        share, examples and likeliest cause.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> data = {"hour": list(range(24)) * 50, "click": [0, 1, 0] * 400}
    >>> schema = Schema((CategoricalField("hour"),), "click")
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> new = {"hour": [f"{hour:02d}" for hour in data["hour"]]}
    >>> (drift,) = compare_with_training(new, vocabulary)
    >>> drift.field, round(drift.share, 2), drift.cause, drift.examples
    ('hour', 0.42, 'type', ('00', '01', '02'))
    """
    reading = Reading(
        source, vocabulary.schema, text_format, None, "skip", with_label=False
    )
    counts = DataCounts(vocabulary)
    for _, own in reading.map_blocks(
        lambda block: DataCounts.encode(vocabulary, block.columns)
    ):
        counts.merge(own)
    return compare_counts(counts)
