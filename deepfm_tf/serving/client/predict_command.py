"""`deepfm-tf predict`: score the rows of a file."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm_tf.backend import notices_kept_back
from deepfm_tf.errors import UserError
from deepfm_tf.files.formats import FORMATS, check_file, format_of
from deepfm_tf.files.layout import TextLayout
from deepfm_tf.options import Parser, flags_of, options_of

if TYPE_CHECKING:
    from deepfm_tf.arrays import Array

_LAYOUT = options_of(TextLayout)
# What the errors of the client call its arguments.
_FLAGS = {
    "`timeout`": "--timeout",
    "`max_rows`": "--max_rows",
    "`ssl`": "--ssl_root_certificates (and --ssl_client_certificate where it "
    "asks for one)",
    "`status()` lists the versions there are.": "Without --model_version and "
    "--version_label, the newest answers.",
}
# What a signature takes that takes serialized examples.
_OF_EXAMPLES = {"inputs": "string"}
# Shorter runs need no progress bar.
_QUIET_SECONDS = 2
# Text that is read, and scored, at a time.
BLOCK_BYTES = 8 * 2**20


def main(
    argv: Sequence[str] | None = None, command: str = "deepfm-tf predict"
) -> int:
    """Score a file as the command line says.

    The exit status is 0, or 1 with a message on standard error, or 130 after
    Ctrl-C. A wrong command line exits with 2.
    """
    parser = _parser(command)
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
    except BrokenPipeError:
        # The reader of our output has seen enough, as `head` does.
        _drop_output()
    except (UserError, OSError) as error:
        _drop_output()
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = f"; {options.output} is not written" if options.output else ""
        print(f"\nStopped{left}.", file=sys.stderr)
        return 130
    return 0


def _parser(command: str) -> Parser:
    parser = Parser(
        prog=command,
        description="Ask a server for predictions for all rows of a file, and "
        "print or write them after the rows' own columns.",
    )

    def add(flag: str, about: str, default: Any = None, **more: Any) -> None:
        if default:
            about = f"{about} (default: %(default)s)".strip()
        parser.add_argument(flag, help=about, default=default, **more)

    about = f"{FORMATS}; text may be compressed, and have any name"
    add("--input", about, required=True)
    layout = parser.add_argument_group("layout of a text file --input")
    for declared in _LAYOUT.values():  # as in the commands that train
        flag = "--" + declared.flag.lstrip("-").replace("-", "_")
        also = [flag] if "_" in flag else []
        declared.add_to(layout, declared.default, also=also)
    add(
        "--missing",
        "texts that mean missing, such as ?, besides the empty one and those "
        "that the model was trained with",
        [],
        action="extend",
        nargs="+",
        metavar="VALUE",
    )
    add(
        "--output",
        "the file to write, in the format of its name; it appears when all "
        "rows are done (default: standard output, as CSV)",
    )
    add("--address", "host:port of gRPC", "localhost:8500")
    add("--model_name", "", "deepfm")
    add("--signature", "a signature that takes columns", "serving_default")
    add(
        "--outputs",
        "which of the signature's outputs (default: all)",
        type=lambda text: text.split(","),
        metavar="A,B",
    )
    add(
        "--model_card",
        "the model's directory, for its newest version, or the "
        "assets.extra/model_card.json of another one: the columns of the "
        "signature explain are then called by fields, contributions_site, not "
        "by numbers, contributions_0",
        metavar="PATH",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model_version", type=int, help="default: the newest")
    which.add_argument("--version_label", help="a version by its label")
    seconds = _above_zero(float, "seconds, more than 0")
    add("--timeout", "seconds for each request", 60.0, type=seconds)
    add(
        "--max_rows",
        "maximum number of rows per request; fewer if a row takes long, as "
        "with the signature explain",
        65_536,
        type=_above_zero(int, "a positive whole number"),
    )
    add(
        "--ssl_root_certificates",
        "PEM file of the authorities to trust; makes the channel TLS",
    )
    add(
        "--ssl_client_certificate",
        "PEM file to show a server that verifies its clients",
    )
    add("--ssl_client_key", "PEM file of that certificate's private key")
    return parser


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
    kind = format_of(options.output) if options.output else "csv"
    with notices_kept_back():  # of TensorFlow, which the client imports
        import deepfm_tf.serving.client.client  # noqa: F401
        from deepfm_tf.serving.client.channel import PredictError
    try:
        _score(options, kind)
    except PredictError as error:
        text = str(error)
        for argument, flag in _FLAGS.items():
            text = text.replace(argument, flag)
        raise UserError(text) from error


def _score(options: argparse.Namespace, kind: str) -> None:
    """Have all rows of a file predicted, a block at a time, and write them."""
    import tqdm

    from deepfm_tf.files.readers import num_rows, read_rows
    from deepfm_tf.files.writers import row_writer
    from deepfm_tf.serving.client.client import PredictClient
    from deepfm_tf.serving.client.likeness import (
        SAMPLE_ROWS,
        SIGNATURE,
        Likeness,
    )
    from deepfm_tf.serving.connections import client_credentials

    names = names_of_card(options.model_card)
    pem = [options.ssl_root_certificates, options.ssl_client_certificate]
    pem.append(options.ssl_client_key)
    client = PredictClient(
        options.address,
        options.model_name,
        timeout=options.timeout,
        ssl=client_credentials(*pem) if any(pem) else False,
        max_rows=options.max_rows,
        missing_values=options.missing,
    )
    total = num_rows(options.input)
    progress = tqdm.tqdm(
        total=total, unit=" rows", delay=_QUIET_SECONDS, file=sys.stderr
    )
    which = {"version": options.model_version, "label": options.version_label}
    asked = {"signature": options.signature, "outputs": options.outputs}
    with client, progress, row_writer(options.output, kind) as write:
        metadata = client.metadata(**which)
        signature = metadata.signature(options.signature)
        by_columns = [
            f"'{name}'"
            for name, each in metadata.signatures.items()
            if {n: i.dtype for n, i in each.inputs.items()} != _OF_EXAMPLES
        ]
        outputs = options.outputs or list(signature.outputs)
        called: dict[str, str] = {}
        likeness = Likeness(metadata, options.signature)
        first = 1
        for block in read_rows(options.input, options.text_format, BLOCK_BYTES):
            columns = block.column_names
            is_for_columns = f"'{options.signature}'" in by_columns
            if not is_for_columns and "inputs" not in columns:
                raise UserError(
                    "--signature must be one that takes columns. Received: "
                    f"'{options.signature}', which takes serialized "
                    "tf.train.Examples. The model has these: "
                    f"{', '.join(by_columns)}."
                )
            try:
                result = client.predict(block, **asked, **which)
            except ValueError as error:
                last = first + block.num_rows - 1
                raise UserError(
                    f"{options.input}, rows {first} to {last}: {error}"
                ) from error
            if likeness.can_tell:
                sample = block.slice(0, SAMPLE_ROWS)
                told: Any = client.predict(sample, signature=SIGNATURE, **which)
                likeness.add(sample, told)
            if not isinstance(result, Mapping):
                result = {outputs[0]: result}
            scores = output_columns(result, names)
            called = called or free_names(scores, columns)
            for name, values in scores.items():
                if called[name] in columns:  # of JSON lines, a later key
                    raise UserError(
                        f"The first rows must have the key '{called[name]}' "
                        "if later ones have it: the model's output was called "
                        "so. Give it to the first row, as null."
                    )
                block = block.append_column(called[name], [values])
            write(block)
            first += block.num_rows
            progress.update(block.num_rows)
        version = client.metadata(**which).version
    if version != metadata.version:
        print(
            f"warning: the server changed from version {metadata.version} to "
            f"{version} during this run. For predictions of one version "
            f"only, run again with --model_version={version}.",
            file=sys.stderr,
        )
    different = likeness.differences()
    if different:
        print(
            f"warning: The values of {options.input} differ from those of "
            "the training data:",
            *(f"  {text}" for text in different),
            sep="\n",
            file=sys.stderr,
        )
    if options.output:
        print(f"{first - 1} rows scored: {options.output}", file=sys.stderr)


def names_of_card(model_card: str | None) -> dict[str, list[str]]:
    """Output -> what its columns are called, as the (newest) card has it."""
    if model_card is None:
        return {}
    path = Path(model_card)
    if path.is_dir():
        versions = [v for v in path.iterdir() if v.name.isdecimal()]
        if not versions:
            raise UserError(
                "--model_card must be a model_card.json, or the directory of "
                f"the model's versions. Received: {path}, where none is."
            )
        newest = max(versions, key=lambda version: int(version.name))
        path = newest / "assets.extra" / "model_card.json"
    try:
        named = json.loads(path.read_text(encoding="utf-8"))["explain"]
        fields, pairs = named["fields"], named["pairs"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "--model_card must be the model_card.json of a version with the "
            f"signature 'explain'. Received: {path}, which names no columns "
            "of it."
        ) from error
    return dict.fromkeys(("contributions", "first_order", "deep"), fields) | {
        "pairs": [f"{left} × {right}" for left, right in pairs]
    }


def free_names(
    outputs: Iterable[str], taken: Collection[str]
) -> dict[str, str]:
    """What each output's column is called: its name, if that is free.

    Of an output that is called as a field is, it is `predicted_probability`.
    """
    called: dict[str, str] = {}
    for name in outputs:
        free = name
        while free in taken or free in called.values():
            free = f"predicted_{free}"
        called[name] = free
    return called


def output_columns(
    outputs: Mapping[str, Array], names: Mapping[str, Sequence[str]]
) -> dict[str, Array]:
    """A column for each output, or for each of its values in a row.

    They are called as the `names_of_card` say, or numbered.
    """
    columns: dict[str, Any] = {}
    for name, array in outputs.items():
        flat: Any = array.reshape(len(array), math.prod(array.shape[1:])).T
        if array.dtype == object:
            flat = [[v.decode(errors="replace") for v in c] for c in flat]
        if name not in names and len(flat) == 1:
            columns[name] = flat[0]
            continue
        suffixes = names.get(name, range(len(flat)))
        if len(suffixes) != len(flat):
            raise UserError(
                "--model_card must be the card of the version that answers. "
                f"Received: one that names {len(suffixes)} columns of "
                f"'{name}', which has {len(flat)}."
            )
        for suffix, column in zip(suffixes, flat, strict=True):
            columns[f"{name}_{suffix}"] = column
    return columns


def _drop_output() -> None:
    """Forget what cannot be printed: Python would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
