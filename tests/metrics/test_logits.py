"""Logits and back."""

import numpy as np
import scipy.special

from deepfm_tf.metrics.logits import LARGEST_LOGIT, logit, sigmoid


def test_both_are_scipys_inside_and_finite_at_the_ends():
    p = np.linspace(0.001, 0.999, 57)
    z = np.linspace(-700, 700, 57)

    np.testing.assert_allclose(logit(p), scipy.special.logit(p), atol=1e-12)
    np.testing.assert_allclose(sigmoid(z), scipy.special.expit(z), rtol=1e-12)
    # Probabilities are kept in [1e-7, 1 - 1e-7].
    ends = scipy.special.logit([1e-7, 1 - 1e-7])
    np.testing.assert_allclose(logit(np.array([0.0, 1.0])), ends)
    assert np.isclose(LARGEST_LOGIT, ends[1])
