"""`deepfm-tf train`: models on files of the user's own."""

from __future__ import annotations

from collections.abc import Sequence

from deepfm_tf.experiment import command_line
from deepfm_tf.experiment.recipe import OWN_FILES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; returns the exit status."""
    return command_line.main(OWN_FILES, arguments)
