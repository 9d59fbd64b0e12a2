"""What a copy of a model knows of the one that was trained."""

import keras
import numpy as np
import pytest

from deepfm_tf import copies
from deepfm_tf.copies import touched_rows


@pytest.mark.parametrize("block", [2, 100])
def test_rows_with_any_state_are_touched(block, monkeypatch):
    monkeypatch.setattr(copies, "BLOCK_ROWS", block)
    state = keras.Variable([[0.0, 0], [0, 1], [0, 0], [-2, 0], [0, 1e-30]])

    found = touched_rows(state)

    np.testing.assert_array_equal(found, [False, True, False, True, True])
