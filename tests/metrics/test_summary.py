"""All metrics at once."""

import numpy as np
import sklearn.metrics

import deepfm_tf
from tests.metrics.rows import make_rows

KEYS = {
    "auc",
    "log_loss",
    "normalized_entropy",
    "calibration_ratio",
    "expected_calibration_error",
    "mean_label",
    "rows",
}


def test_groups_and_confidence_add_what_they_say():
    label, p = make_rows(500)
    groups = np.arange(500) % 20

    plain = deepfm_tf.metrics.binary_metrics(label, p)
    full = deepfm_tf.metrics.binary_metrics(
        label, p, groups=groups, confidence=0.9
    )

    assert set(plain) == KEYS
    assert set(full) == KEYS | {"grouped_auc", "grouped_share", "intervals"}
    assert {key: full[key] for key in plain} == plain
    for name, (low, high) in full["intervals"].items():
        assert low < full[name] < high


def test_weights_reach_every_metric():
    label, p = make_rows(500)
    weight = np.where(np.arange(500) < 200, 3.0, 0.0)

    weighted = deepfm_tf.metrics.binary_metrics(label, p, weight)
    expected = deepfm_tf.metrics.binary_metrics(label[:200], p[:200])

    assert weighted["auc"] == sklearn.metrics.roc_auc_score(
        label, p, sample_weight=weight
    )
    for name in KEYS - {"rows"}:
        np.testing.assert_allclose(weighted[name], expected[name], rtol=1e-12)
