"""Refuses a Keras that the package cannot run on, before it is imported."""

from __future__ import annotations

import os


def require_tensorflow_keras() -> None:
    """Raise ImportError unless Keras 3 runs on TensorFlow.

    Raises:
        ImportError: says which setting to change.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise ImportError(
            "deepfm_tf needs Keras on TensorFlow, but KERAS_BACKEND is "
            f"'{backend}'. Unset it, or set KERAS_BACKEND=tensorflow."
        )
    # The values that TensorFlow itself takes for yes.
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):
        raise ImportError(
            "deepfm_tf needs Keras 3, but TF_USE_LEGACY_KERAS asks for legacy "
            "Keras. Unset TF_USE_LEGACY_KERAS."
        )
    hint = (
        'deepfm_tf needs Keras 3 on TensorFlow. Set "backend" to '
        '"tensorflow" in ~/.keras/keras.json, or set KERAS_BACKEND=tensorflow.'
    )
    try:
        import keras
    except ModuleNotFoundError as error:
        raise ImportError(hint) from error
    if not keras.__version__.startswith("3."):
        raise ImportError(
            f"deepfm_tf needs Keras 3, but Keras {keras.__version__} is "
            "installed. Run: pip install 'keras>=3.10'"
        )
    if keras.config.backend() != "tensorflow":
        raise ImportError(f"{hint} Received: {keras.config.backend()}.")
