"""`deepfm-tf predict`: score the rows of a file."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from deepfm_tf.backend import notices_kept_back
from deepfm_tf.errors import UserError
from deepfm_tf.files.formats import FORMATS, check_file, format_of
from deepfm_tf.files.layout import TextLayout
from deepfm_tf.options import flags_of, options_of
from deepfm_tf.serving.client.errors import PredictError, explanation

_LAYOUT = options_of(TextLayout)
# What the errors of the client call its arguments.
_FLAGS = {
    "timeout": "--timeout",
    "max_rows": "--max_rows",
    "ssl": "--ssl_root_certificates (and --ssl_client_certificate where it "
    "asks for one)",
    "versions": "Without --model_version and --version_label, the newest "
    "answers.",
}


def main(
    argv: Sequence[str] | None = None,
    command: str = "deepfm-tf predict",
) -> int:
    """Score a file as the command line says.

    Args:
        argv: sequence of str. Without the command's name; None takes
            `sys.argv`.
        command: str. What the user typed before them.

    Returns:
        Exit status: 0, or 1 with a message on standard error. A wrong
        command line exits with 2.
    """
    parser = _parser()
    parser.prog = command
    options = parser.parse_args(argv)
    if bool(options.ssl_client_certificate) != bool(options.ssl_client_key):
        parser.error(
            "--ssl_client_certificate and --ssl_client_key must come together"
        )
    if options.no_header != (options.columns is not None):
        parser.error("--no-header and --columns A,B,C must come together")
    try:
        layout = {name: getattr(options, name) for name in _LAYOUT}
        options.text_format = TextLayout(**layout).to_text_format()
    except UserError as error:
        parser.error(error.with_options(flags_of(_LAYOUT.values())))
    try:
        _predict(options)
    except PredictError as error:
        print(f"error: {_in_flags(error, options)}", file=sys.stderr)
        return 1
    except (UserError, OSError) as error:
        _drop_output()
        if isinstance(error, BrokenPipeError):
            # The reader of our output has seen enough, as `head` does.
            return 0
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = f"; {options.output} is not written" if options.output else ""
        print(f"\nStopped{left}.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Ask a server for the predictions of all rows of a file "
        "and print them, or write them, behind the rows' own columns.",
    )
    parser.add_argument(
        "--input",
        required=True,
        help=f"{FORMATS}; text may be compressed, and have any name",
    )
    _add_layout(parser)
    parser.add_argument(
        "--output",
        help="the file to write, in the format that its name says; it appears "
        "when all is done. Without: standard output, as CSV",
    )
    parser.add_argument(
        "--address",
        default="localhost:8500",
        help="host:port of gRPC (default: %(default)s)",
    )
    parser.add_argument(
        "--model_name", default="deepfm", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--signature",
        default="serving_default",
        help="a signature that takes columns (default: %(default)s)",
    )
    parser.add_argument(
        "--outputs",
        type=lambda text: text.split(","),
        metavar="A,B",
        help="which of the signature's outputs (default: all)",
    )
    parser.add_argument(
        "--model_card",
        metavar="PATH",
        help="the model's directory, for its newest version, or the "
        "assets.extra/model_card.json of another one: the columns of the "
        "signature explain are then called by fields, contributions_site, not "
        "by numbers, contributions_0",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model_version", type=int, help="default: the newest")
    which.add_argument("--version_label", help="a version by its label")
    parser.add_argument(
        "--timeout",
        type=_above_zero(float, "seconds, more than 0"),
        default=60.0,
        help="seconds for each request (default: %(default)s)",
    )
    parser.add_argument(
        "--max_rows",
        type=_above_zero(int, "a positive whole number"),
        default=65_536,
        help="rows of a request at most; fewer where a row takes long, as in "
        "the signature explain (default: %(default)s)",
    )
    parser.add_argument(
        "--ssl_root_certificates",
        help="PEM file of the authorities to trust; makes the channel TLS",
    )
    parser.add_argument(
        "--ssl_client_certificate",
        help="PEM file to show a server that verifies its clients",
    )
    parser.add_argument(
        "--ssl_client_key", help="PEM file of that certificate's private key"
    )
    return parser


def _add_layout(parser: argparse.ArgumentParser) -> None:
    """The same options as of the commands that train."""
    layout = parser.add_argument_group("layout of a text file --input")
    for declared in _LAYOUT.values():
        flag = declared.flag.lstrip("-").replace("-", "_")
        also = [f"--{flag}"] if "_" in flag else []
        declared.add_to(layout, declared.default, also=also)
    parser.add_argument(
        "--missing",
        action="extend",
        nargs="+",
        metavar="VALUE",
        default=[],
        help="texts that mean missing, besides the empty one (such as ?) and "
        "those that the model was trained with",
    )


def _above_zero(kind: type, what: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        with contextlib.suppress(ValueError):
            if 0 < kind(text) < math.inf:
                return kind(text)
        raise argparse.ArgumentTypeError(f"must be {what}. Received: {text!r}.")

    return read


def _predict(options: argparse.Namespace) -> None:
    # What can be told of the files is told before TensorFlow is imported,
    # which takes seconds.
    check_file(options.input)
    from deepfm_tf.files.readers import file_columns

    file_columns(options.input, options.text_format)
    if options.output:
        format_of(options.output)
    with notices_kept_back():
        from deepfm_tf.serving.client.predict_file import predict_file

    predict_file(options)


def _in_flags(error: PredictError, options: argparse.Namespace) -> str:
    """The message, for someone who typed flags and no Python."""
    if error.code is None:
        return str(error)
    return explanation(
        error.code,
        error.details,
        error.target,
        options.model_name,
        options.timeout,
        _FLAGS,
    )


def _drop_output() -> None:
    """Forget what cannot be printed: Python would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
