"""DeepFM and its baselines for click-through rates, from raw logs to serving.

The public names stand in `__init__.pyi`. Each is imported when it is first
used: the package itself imports neither TensorFlow nor Keras.
"""

import sys
from typing import Any

import lazy_loader

from deepfm_tf.backend import require_tensorflow_keras
from deepfm_tf.version import __version__ as __version__

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        value = _public(name)
    except ImportError:
        require_tensorflow_keras()  # says so, if that is what is wrong
        raise
    if "keras" in sys.modules:
        require_tensorflow_keras()
    return value
