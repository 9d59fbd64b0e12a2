"""How TensorFlow and Keras are imported: the right ones, or quietly."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator

from deepfm_tf.errors import MissingPackageError


def require_tensorflow_keras() -> None:
    """Raise ImportError unless Keras 3 runs on TensorFlow.

    Raises:
        ImportError: says which setting to change.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise MissingPackageError(
            "deepfm_tf needs Keras on TensorFlow, but KERAS_BACKEND is "
            f"'{backend}'. Unset it, or set KERAS_BACKEND=tensorflow."
        )
    # The values that TensorFlow itself takes for yes.
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):
        raise MissingPackageError(
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
        raise MissingPackageError(hint) from error
    if not keras.__version__.startswith("3."):
        raise MissingPackageError(
            f"deepfm_tf needs Keras 3, but Keras {keras.__version__} is "
            "installed. Run: pip install 'keras>=3.12'"
        )
    if keras.config.backend() != "tensorflow":
        raise MissingPackageError(f"{hint} Received: {keras.config.backend()}.")


@contextlib.contextmanager
def notices_kept_back() -> Iterator[None]:
    """Nothing of this block reaches stderr, unless it fails.

    For a block that imports TensorFlow. Its C++ side writes some lines there
    whatever TF_CPP_MIN_LOG_LEVEL says; later it writes errors alone.
    Meanwhile nobody looks for garbage.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            with _uncollected():
                yield
        except Exception:  # not Ctrl-C, which explains itself
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """What this block imports, if it is TensorFlow, is never called garbage.

    It makes half a million objects, which live to the end. To look through
    them, many times meanwhile and again at the end, takes a third as long as
    the import itself.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


# What Keras imports for its wrappers and plots, where it is installed: more
# than a fourth of the time that importing TensorFlow and Keras takes.
_NOT_NEEDED = ("matplotlib", "sklearn")


@contextlib.contextmanager
def _passed_over(packages: Iterable[str]) -> Iterator[None]:
    """An import of these fails in this block, as if they were not installed."""
    hidden = [name for name in packages if name not in sys.modules]
    try:
        # Python's own way to say so, see `sys.modules` in its reference.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_tensorflow() -> None:
    """Import TensorFlow and Keras, for a command that has said nothing yet.

    Keras's wrappers for scikit-learn and its plots of images say then that
    these packages are not installed; whoever imports them later has them.

    It takes seconds. Ctrl-C ends the process meanwhile, in one line: there is
    nothing to save, and a KeyboardInterrupt in there would end in a
    traceback, or in another error.
    """
    stderr = os.dup(2)  # what goes to 2 itself is kept back

    def end_at_once(*_: object) -> None:
        os.write(stderr, b"\nInterrupted\n")
        os._exit(130)

    # Only the main thread may set a handler.
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    try:
        if is_ours:
            signal.signal(signal.SIGINT, end_at_once)
        with notices_kept_back(), _passed_over(_NOT_NEEDED):
            require_tensorflow_keras()
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.close(stderr)
