"""`deepfm-tf build-kernels`: the optional kernels, for this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from deepfm_tf.backend import notices_kept_back
from deepfm_tf.errors import UserError
from deepfm_tf.native.build import build_kernels
from deepfm_tf.options import Parser

_DESCRIPTION = """\
Compile the package's own kernels for embedding tables, once for each
TensorFlow: a training step on a CPU then takes less time, and computes the
same. It needs a C++ compiler and half a minute. What is built goes into the
user's cache folder and is taken from there by all later trainings; the
environment variable DEEPFM_TF_KERNELS=off switches it off.
"""


def main(
    arguments: Sequence[str] | None = None,
    command: str = "deepfm-tf build-kernels",
) -> int:
    """Build the kernels; returns the exit status."""
    Parser(prog=command, description=_DESCRIPTION).parse_args(arguments)
    start = time.monotonic()
    try:
        with notices_kept_back():
            path = build_kernels()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Kernels: {path} ({time.monotonic() - start:.0f} s)")
    return 0
