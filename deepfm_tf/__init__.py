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
_OTHERS = ("callbacks", "evaluation", "explain", "export")
_KERAS_ROOMS = (*_REGISTERED, *_OTHERS, "training")

# Room -> what stood here until 0.4.
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
    if name not in __all__:
        raise AttributeError(
            _no_such(name), name=name, obj=sys.modules[__name__]
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


def _no_such(name: str) -> str:
    for room, names in _MOVED.items():
        if name in names.split():
            return f"deepfm_tf.{name} is now deepfm_tf.{room}.{name}"
    return f"deepfm_tf has no public name {name}"


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
