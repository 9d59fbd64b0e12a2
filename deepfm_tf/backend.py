"""Refuses a Keras that the package cannot run on, before it is imported."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def require_tensorflow_keras(quiet: bool = False) -> None:
    """Raise ImportError unless Keras 3 runs on TensorFlow.

    Args:
        quiet: bool. Import it without TensorFlow's notices, and have it
            write errors alone from then on.

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
        with _notices_kept_back() if quiet else contextlib.nullcontext():
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


@contextlib.contextmanager
def _notices_kept_back() -> Iterator[None]:
    """Nothing reaches stderr, unless the block fails.

    While it is imported, TensorFlow's C++ side writes some lines there
    whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
