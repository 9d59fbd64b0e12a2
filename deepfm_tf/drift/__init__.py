"""Whether data are like the training data: missing and unseen values."""

from deepfm_tf.drift.blanks import warn_of_blanks
from deepfm_tf.drift.comparison import (
    Drift,
    DriftEntry,
    FieldShares,
    compare_counts,
    expected_notes,
    field_shares,
    plain_comparison,
    warn_of_drift,
)
from deepfm_tf.drift.counts import DataCounts, FieldCounts
from deepfm_tf.drift.expected import expected_unseen, training_counts

__all__ = [
    "DataCounts",
    "Drift",
    "DriftEntry",
    "FieldCounts",
    "FieldShares",
    "compare_counts",
    "plain_comparison",
    "expected_notes",
    "expected_unseen",
    "field_shares",
    "training_counts",
    "warn_of_blanks",
    "warn_of_drift",
]
