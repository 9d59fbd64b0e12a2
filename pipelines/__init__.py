"""Recipes: one per data set, all with the command line of `tabular`."""

import os
import signal
import sys
from types import FrameType

# Before TensorFlow is imported: errors only, no start-up notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


# What goes to 2 while TensorFlow is imported is kept back; this is not.
_STDERR = os.dup(2)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """What Ctrl-C does until a recipe runs: there is nothing to save yet."""
    os.write(_STDERR, b"\nInterrupted\n")
    os._exit(130)


# TensorFlow takes seconds to import, and a KeyboardInterrupt in there ends in
# a traceback, or in another error. Only for `python -m pipelines.…`, while it
# imports this package; `command_line.main` gives Ctrl-C back.
if sys.argv[:1] == ["-m"] and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, end_at_once)

# Here, while it can tell that a recipe is to be run: the recipe's first words
# should be its own.
import deepfm_tf  # noqa: E402

if deepfm_tf.backend.command().startswith("pipelines."):
    with deepfm_tf.backend.notices_kept_back():
        deepfm_tf.CTRModel  # noqa: B018
