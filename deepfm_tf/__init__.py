"""DeepFM and its baselines for click-through rates, from raw logs to serving.

The public names stand in `__init__.pyi`. Each is imported when it is first
used: the package itself imports neither TensorFlow nor Keras.
"""

import importlib
import sys
from typing import Any

import lazy_loader
import wrapt

from deepfm_tf.backend import require_tensorflow_keras
from deepfm_tf.version import __version__ as __version__

# Where the classes are that Keras finds by name in a model's file.
_REGISTERED = ("layers", "models", "optimizers", "losses")
# What else begins with importing Keras.
_OTHERS = ("callbacks", "evaluation", "explain", "export", "growth", "training")
_BELOW = ("kernels", "keras_internals")
_KERAS_ROOMS = (*_REGISTERED, *_OTHERS, *_BELOW)

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(
            f"deepfm_tf has no public name {name}",
            name=name,
            obj=sys.modules[__name__],
        )
    try:
        value = _public(name)
    except ImportError:
        require_tensorflow_keras()  # says so, if that is what is wrong
        raise
    if "keras" in sys.modules:
        require_tensorflow_keras()
        _register()
    return value


def _register() -> None:
    for room in _REGISTERED:
        importlib.import_module(f"deepfm_tf.{room}")


@wrapt.when_imported("keras")
def _register_with(keras: Any) -> None:
    """So that `keras.saving.load_model` knows our classes without our help."""
    # It may be one of our rooms that imports Keras, and is not ready yet.
    is_ours = any(f"deepfm_tf.{r}" in sys.modules for r in _KERAS_ROOMS)
    if not is_ours and keras.config.backend() == "tensorflow":
        _register()


for _room in _REGISTERED:
    # One of our rooms is ready: let the others follow.
    wrapt.register_post_import_hook(lambda _: _register(), f"deepfm_tf.{_room}")
