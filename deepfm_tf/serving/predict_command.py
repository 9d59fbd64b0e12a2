"""`python -m deepfm_tf.serving predict`: score the rows of a file."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tqdm

from deepfm_tf.serving.client import PredictClient
from deepfm_tf.serving.client_errors import PredictError, shown
from deepfm_tf.serving.row_files import (
    FORMATS,
    format_of,
    num_rows,
    read_rows,
    row_writer,
)

# Shorter runs need no progress bar.
_QUIET_SECONDS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Score a file as the command line says.

    Args:
        argv: sequence of str. Without the command's name; None takes
            `sys.argv`.

    Returns:
        Exit status: 0, or 1 with a message on standard error. A wrong
        command line exits with 2.
    """
    options = _parser().parse_args(argv)
    try:
        _score(options)
    except (ValueError, TypeError, OSError, PredictError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output has seen enough, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
        prog="python -m deepfm_tf.serving predict",
        description="Ask a server for the predictions of all rows of a file "
        "and print them, or write them, behind the rows' own columns.",
    )
    parser.add_argument(
        "--input", required=True, help=f"{FORMATS}; .gz for text is fine"
    )
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
        type=Path,
        metavar="FILE",
        help="assets.extra/model_card.json of the version: the columns of the "
        "signature explain are then called by fields, contributions_site, not "
        "by numbers, contributions_0",
    )
    parser.add_argument(
        "--max_rows",
        type=int,
        default=65_536,
        help="rows of a request at most; fewer where a row takes long, as in "
        "the signature explain (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model_version", type=int, help="default: the newest")
    which.add_argument("--version_label", help="a version by its label")
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        help="seconds for each request (default: %(default)s)",
    )
    parser.add_argument(
        "--ssl_root_certificates", help="PEM file; makes the channel TLS"
    )
    return parser


def _score(options: argparse.Namespace) -> None:
    kind = format_of(options.output) if options.output else "csv"
    names = _column_names(options.model_card)
    blocks = read_rows(options.input)
    client = PredictClient(
        options.address,
        options.model_name,
        timeout=options.timeout,
        ssl=options.ssl_root_certificates or False,
        max_rows=options.max_rows,
    )
    progress = tqdm.tqdm(
        total=num_rows(options.input),
        unit=" rows",
        delay=_QUIET_SECONDS,
        file=sys.stderr,
    )
    which = {"version": options.model_version, "label": options.version_label}
    with client, progress, row_writer(options.output, kind) as write:
        metadata = client.metadata(**which)
        outputs = options.outputs or list(
            metadata.signature(options.signature).outputs
        )
        first = 1
        for block in blocks:
            try:
                result = client.predict(
                    block,
                    signature=options.signature,
                    outputs=options.outputs,
                    **which,
                )
            except ValueError as error:
                last = first + block.num_rows - 1
                raise ValueError(
                    f"{options.input}, rows {first} to {last}: {error}"
                ) from error
            if not isinstance(result, Mapping):
                result = {outputs[0]: result}
            write(_append(block, result, names))
            first += block.num_rows
            progress.update(block.num_rows)
        version = client.metadata(**which).version
    sys.stdout.flush()
    if version != metadata.version:
        print(
            f"warning: the server went from version {metadata.version} to "
            f"{version} meanwhile. For rows of one version alone, run again "
            f"with --model_version={version}.",
            file=sys.stderr,
        )
    if options.output:
        print(f"{first - 1} rows scored: {options.output}", file=sys.stderr)


def _column_names(model_card: Path | None) -> dict[str, list[str]]:
    """Output -> what its columns are called, as the card has it."""
    if model_card is None:
        return {}
    card = json.loads(model_card.read_text(encoding="utf-8"))
    named = card.get("explain") if isinstance(card, dict) else None
    if not named:
        raise ValueError(
            "--model_card must be the card of a version with the signature "
            f"'explain'. Received: {model_card}, which names no columns of it."
        )
    fields = named["fields"]
    return dict.fromkeys(("contributions", "first_order", "deep"), fields) | {
        "pairs": [f"{left} × {right}" for left, right in named["pairs"]]
    }


def _append(
    block: pa.Table,
    outputs: Mapping[str, Any],
    names: Mapping[str, Sequence[str]],
) -> pa.Table:
    for name, values in _columns(outputs, names).items():
        if name in block.column_names:
            raise ValueError(
                f"The data must not have a column '{name}' already, as the "
                "model's output is called so. Rename it, or leave it out. "
                f"Received: the columns {shown(block.column_names)}."
            )
        block = block.append_column(name, pa.array(values))
    return block


def _columns(
    outputs: Mapping[str, np.ndarray], names: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """A column for each output, or for each of its values in a row."""
    columns = {}
    for name, array in outputs.items():
        flat = array.reshape(len(array), math.prod(array.shape[1:]))
        if array.dtype == object:
            flat = np.vectorize(_text, otypes=[object])(flat)
        if name not in names and flat.shape[1] == 1:
            columns[name] = flat[:, 0]
            continue
        suffixes = names.get(name, range(flat.shape[1]))
        if len(suffixes) != flat.shape[1]:
            raise ValueError(
                "--model_card must be the card of the version that answers. "
                f"Received: one that names {len(suffixes)} columns of "
                f"'{name}', which has {flat.shape[1]}."
            )
        for suffix, column in zip(suffixes, flat.T, strict=True):
            columns[f"{name}_{suffix}"] = column
    return columns


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="replace")
