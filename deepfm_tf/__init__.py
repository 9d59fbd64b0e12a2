"""DeepFM and its baselines for click-through rates, from raw logs to serving.

The public names stand in `__init__.pyi`. Each is imported when it is first
used: the package itself imports neither TensorFlow nor Keras.
"""

import importlib
import sys
import warnings
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

# Room -> what stood here until 0.4, and goes with 0.7.
_MOVED = {
    "calibration": "Calibration fit_calibration",
    "callbacks": "LearningCurve",
    "evaluation": "evaluate_stream predict_with_labels predict_with_weights",
    "explain": "export_embeddings field_report field_strengths "
    "permutation_importance plot_field_strengths plot_waterfall "
    "top_feature_pairs",
    "metrics": "Comparison NamedIds StreamingMetrics binary_metrics "
    "bootstrap_intervals compare_models grouped_auc reliability_curve "
    "slice_metrics",
    "report": "html_report markdown_table plot_learning_curves "
    "plot_reliability report_figures results_table structure_table "
    "summarize_runs",
    "training": "OPTIMIZERS",
}

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    room = _room_of(name)
    if room is None and name not in __all__:
        raise AttributeError(
            f"deepfm_tf has no public name {name}",
            name=name,
            obj=sys.modules[__name__],
        )
    try:
        if room is None:
            value = _public(name)
        else:
            place = f"deepfm_tf.{room}"
            warnings.warn(
                f"deepfm_tf.{name} is now {place}.{name}. The old name goes "
                "with 0.7.",
                DeprecationWarning,
                stacklevel=2,
            )
            value = getattr(importlib.import_module(place), name)
    except ImportError:
        require_tensorflow_keras()  # says so, if that is what is wrong
        raise
    if "keras" in sys.modules:
        require_tensorflow_keras()
        _register()
    return value


def _room_of(name: str) -> str | None:
    """Where a name is that stood here until 0.4."""
    for room, names in _MOVED.items():
        if name in names.split():
            return room
    return None


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
