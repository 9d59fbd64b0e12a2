"""`deepfm-tf`: train, compare, serve and more, from the command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from deepfm_tf.errors import did_you_mean
from deepfm_tf.version import __version__

USAGE = """\
Click-through-rate prediction with DeepFM and its baselines.

  deepfm-tf train --help      train models on your own file, export the best
  deepfm-tf compare --help    several models and seeds side by side
  deepfm-tf sweep --help      try several structures of the hidden layers
  deepfm-tf prepare --help    read and encode the data once, for many trainings
  deepfm-tf serve --help      serve exported models as TensorFlow Serving does
  deepfm-tf predict --help    ask a server for predictions for a file
  deepfm-tf config --help     write configuration files for TensorFlow Serving
  deepfm-tf build-kernels --help    compile kernels for faster training on a CPU
"""
EXPERIMENT = "deepfm_tf.experiment.command_line"
COMMANDS = {
    "train": EXPERIMENT,
    "compare": EXPERIMENT,
    "sweep": EXPERIMENT,
    "prepare": EXPERIMENT,
    "serve": "deepfm_tf.serving.__main__",
    "predict": "deepfm_tf.serving.client.predict_command",
    "config": "deepfm_tf.serving.config_command",
    "build-kernels": "deepfm_tf.native.command",
}
EXIT_OK, EXIT_USAGE, EXIT_INTERRUPTED = 0, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that a command line names; returns the exit status.

    Args:
        arguments: without the program's name; None takes `sys.argv`.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return EXIT_OK if argv else EXIT_USAGE
    if argv[0] == "--version":
        print(f"deepfm-tf {__version__}")
        return EXIT_OK
    if argv[0] not in COMMANDS:
        hint = did_you_mean(argv[0], COMMANDS, str)
        print(
            f"error: There is no command {argv[0]}.{hint}\n"
            "See: deepfm-tf --help",
            file=sys.stderr,
        )
        return EXIT_USAGE
    try:
        module = importlib.import_module(COMMANDS[argv[0]])
        if COMMANDS[argv[0]] == EXPERIMENT:
            return int(module.main(arguments=argv[1:], command=argv[0]))
        return module.main(argv[1:], f"deepfm-tf {argv[0]}") or EXIT_OK
    except KeyboardInterrupt:  # before there was anything to save
        print("\nInterrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
