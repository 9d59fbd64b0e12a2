"""For tests of the kernels, which are built or are not."""

import pytest

from deepfm_tf.native.library import library

needs_kernels = pytest.mark.skipif(
    library().operations is None, reason="no kernels: deepfm-tf build-kernels"
)
