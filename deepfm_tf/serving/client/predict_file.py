"""The rows of a file, block by block, to a server and back."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import tqdm

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.files.formats import format_of
from deepfm_tf.files.frames import to_arrow
from deepfm_tf.files.readers import BLOCK_ROWS, num_rows, read_rows
from deepfm_tf.files.writers import row_writer
from deepfm_tf.raw_values import (
    Bad,
    is_list,
    missing_to_null,
    to_numbers,
    to_texts,
)
from deepfm_tf.serving.client.client import PredictClient
from deepfm_tf.serving.client.columns import match_columns
from deepfm_tf.serving.client.errors import shown
from deepfm_tf.serving.client.signature import ModelMetadata, Signature
from deepfm_tf.serving.served_fields import ServedFields
from deepfm_tf.serving.tls import client_credentials

# Shorter runs need no progress bar.
_QUIET_SECONDS = 2
# Text that is read, and scored, at a time.
BLOCK_BYTES = 8 * 2**20


def predict_file(options: argparse.Namespace) -> None:
    """Have all rows of a file predicted, and write them.

    Args:
        options: argparse.Namespace. The flags of `predict`.

    Raises:
        ValueError: the rows do not fit the model; says which of them.
        OSError: a file cannot be read or written; names it.
        PredictError: the server could not be reached, or refused.
    """
    kind = format_of(options.output) if options.output else "csv"
    names = names_of_card(options.model_card)
    blocks = read_rows(options.input, options.text_format, BLOCK_BYTES)
    client = PredictClient(
        options.address,
        options.model_name,
        timeout=options.timeout,
        ssl=_ssl(options),
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
        signature = metadata.signature(options.signature)
        outputs = options.outputs or list(signature.outputs)
        first = 1
        for block in blocks:
            _check_columns(metadata, options.signature, block.column_names)
            try:
                result = client.predict(
                    without_marks(
                        block, options.missing, signature, metadata.fields
                    ),
                    signature=options.signature,
                    outputs=options.outputs,
                    **which,
                )
            except ValueError as error:
                last = first + block.num_rows - 1
                raise UserError(
                    f"{options.input}, rows {first} to {last}: {error}"
                ) from error
            if not isinstance(result, Mapping):
                result = {outputs[0]: result}
            columns = output_columns(result, names)
            if first == 1:
                called = _free_names(block.column_names, list(columns))
            write(append_columns(block, columns, called))
            first += block.num_rows
            progress.update(block.num_rows)
        version = client.metadata(**which).version
    if version != metadata.version:
        print(
            f"warning: the server went from version {metadata.version} to "
            f"{version} meanwhile. For rows of one version alone, run again "
            f"with --model_version={version}.",
            file=sys.stderr,
        )
    if options.output:
        print(f"{first - 1} rows scored: {options.output}", file=sys.stderr)


def _ssl(options: argparse.Namespace) -> bool | grpc.ChannelCredentials:
    """Of the flags; none of them means a plain channel."""
    paths = (
        options.ssl_root_certificates,
        options.ssl_client_certificate,
        options.ssl_client_key,
    )
    return client_credentials(*paths) if any(paths) else False


def _check_columns(
    metadata: ModelMetadata, name: str, columns: Sequence[str]
) -> None:
    """Refuse a signature that takes serialized examples, not columns."""
    if not _takes_examples(metadata.signatures[name]) or "inputs" in columns:
        return
    others = [
        n for n, s in metadata.signatures.items() if not _takes_examples(s)
    ]
    raise UserError(
        "--signature must be one that takes columns. Received: "
        f"'{name}', which takes serialized tf.train.Examples. The model has "
        f"these: {shown(others)}."
    )


def _takes_examples(signature: Signature) -> bool:
    kinds = {name: info.dtype for name, info in signature.inputs.items()}
    return kinds == {"inputs": "string"}


def names_of_card(model_card: str | Path | None) -> dict[str, list[str]]:
    """Output -> what its columns are called, as the card has it.

    Args:
        model_card: a card, or the directory of a model's versions, for that
            of the newest. None has no names.

    Raises:
        ValueError: there is no card, or it does not name the columns.
    """
    if model_card is None:
        return {}
    path = Path(model_card)
    if path.is_dir():
        path = _newest_card(path)
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


def _newest_card(directory: Path) -> Path:
    """The card of the version that answers where none is asked for."""
    versions = [path for path in directory.iterdir() if path.name.isdecimal()]
    if not versions:
        raise UserError(
            "--model_card must be a model_card.json, or the directory of the "
            f"model's versions. Received: {directory}, where none is."
        )
    newest = max(versions, key=lambda path: int(path.name))
    return newest / "assets.extra" / "model_card.json"


def without_marks(
    block: pa.Table,
    marks: Sequence[str],
    signature: Signature,
    fields: ServedFields,
) -> pa.Table:
    """The rows, with what `marks` stand for missing, as training reads them.

    That depends on what a column is for: around a number blanks do not count,
    and -1.0 is -1; text is as it stands, also the elements of a list.
    """
    if not marks:
        return block
    matches = match_columns(block.column_names, signature.inputs, fields)
    for name, column in matches.items():
        info, place = signature.inputs[name], block.column_names.index(column)
        field = fields.field(name, info.shape)
        separator = field.separator if field else None
        values = to_arrow(block.column(place), column)
        if is_list(values.type) and separator is None:
            continue  # of a matrix, or refused by the client
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        wrong: Bad = {}  # left for the client to refuse
        if info.numpy_dtype.kind == "f":
            is_missing = np.isnan(to_numbers(values, column, wrong, marks))
        else:
            texts = to_texts(values, column, wrong, separator)
            if separator is not None and not wrong:
                texts = values = _without_elements(texts, marks, separator)
            texts = missing_to_null(texts, marks)
            is_missing = texts.is_null().to_numpy(zero_copy_only=False)
        is_missing[list(wrong)] = False
        kept = pa.array(np.arange(len(values)), mask=is_missing)
        block = block.set_column(place, column, values.take(kept))
    return block


def _without_elements(
    texts: pa.Array, marks: Sequence[str], separator: str
) -> pa.Array:
    kept = [
        text
        and separator.join(
            each for each in text.split(separator) if each not in marks
        )
        for text in texts.to_pylist()
    ]
    return pa.array(kept, pa.string())


def _free_names(taken: Sequence[str], names: Sequence[str]) -> list[str]:
    """What each output's column is called: its name, if that is free.

    A field may be called as the output is, such as `probability`; the output
    is then `predicted_probability`.
    """
    called: list[str] = []
    for name in names:
        free, number = name, 1
        while free in taken or free in called:
            end = f"_{number}" if number > 1 else ""
            free, number = f"predicted_{name}{end}", number + 1
        called.append(free)
    return called


def append_columns(
    block: pa.Table, columns: Mapping[str, Any], called: Sequence[str]
) -> pa.Table:
    """The rows of a block with the outputs behind them, called so.

    Raises:
        ValueError: a later block has a column of such a name.
    """
    for name, values in zip(called, columns.values(), strict=True):
        if name in block.column_names:  # of JSON lines, a later key
            raise UserError(
                f"The first {BLOCK_ROWS} rows must have the key '{name}' if "
                "later ones have it: the model's output was called so. Give "
                "it to the first row, as null."
            )
        block = block.append_column(name, pa.array(values))
    return block


def output_columns(
    outputs: Mapping[str, Array], names: Mapping[str, Sequence[str]]
) -> dict[str, Array]:
    """A column for each output, or for each of its values in a row.

    Args:
        outputs: name -> (rows, ...). What the server answered.
        names: output -> what its columns are called, see `names_of_card`;
            those of other outputs are numbered.

    Raises:
        ValueError: an output has not as many values as it has names.
    """
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
            raise UserError(
                "--model_card must be the card of the version that answers. "
                f"Received: one that names {len(suffixes)} columns of "
                f"'{name}', which has {flat.shape[1]}."
            )
        for suffix, column in zip(suffixes, flat.T, strict=True):
            columns[f"{name}_{suffix}"] = column
    return columns


def _text(value: bytes) -> str:
    return value.decode("utf-8", errors="replace")
