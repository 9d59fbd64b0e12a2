"""The files of a vocabulary, and whether they are as they were written."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.errors import MissingFileError, UserError, damaged
from deepfm_tf.schema import Schema
from deepfm_tf.text_arrays import joined, texts_of_lines
from deepfm_tf.vocabulary.seen_values import SUFFIX, SeenValues, remove_files

SCHEMA_FILE = "schema.json"
STATISTICS_FILE = "statistics.json"
# Of the other files; what an older version wrote has none.
DIGESTS_FILE = "digests.json"
# Digests of the files of each day.
DAYS_FILE = "days.json"
# Of a SavedModel.
EXPORTED_FILE = "assets.extra/vocabulary.json"
_CARD_FILE = "assets.extra/model_card.json"
_GRAPH_FILE = "saved_model.pb"


def write_vocabulary(
    directory: Path,
    schema: Schema,
    statistics: Mapping[str, Any],
    values: Mapping[str, pa.Array],
    rare: Mapping[str, pa.Array],
    counts: Mapping[str, Array],
) -> None:
    """Write what a Vocabulary consists of.

    Args:
        directory: made if it is not there.
        schema: with vocabulary sizes.
        statistics, values, rare, counts: as of `Vocabulary`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Last written, first removed: it speaks of whole files alone.
    (directory / DIGESTS_FILE).unlink(missing_ok=True)
    schema.save(directory / SCHEMA_FILE)
    text = json.dumps(statistics, indent=1, ensure_ascii=False)
    (directory / STATISTICS_FILE).write_text(text, encoding="utf-8")
    texts = {name: values[field] for field, name in value_files(schema).items()}
    texts |= {name: rare[field] for field, name in rare_files(schema).items()}
    for name, lines in texts.items():
        with open(directory / name, "wb") as file:
            file.writelines(joined(lines, behind="\n"))
    arrays = count_files(schema)
    for field, name in arrays.items():
        np.save(directory / name, counts[field].astype("<f8"))
    digests = {
        name: _digest((directory / name).read_bytes())
        for name in (SCHEMA_FILE, STATISTICS_FILE, *texts, *arrays.values())
    }
    text = json.dumps(digests, indent=1)
    (directory / DIGESTS_FILE).write_text(text, encoding="utf-8")


def read_vocabulary(
    directory: Path,
) -> tuple[
    Schema,
    dict[str, pa.Array],
    dict[str, Any],
    dict[str, pa.Array],
    dict[str, Array],
]:
    """What `write_vocabulary` wrote: the schema, values, statistics, ...

    Or what an exported version has of it.

    Raises:
        ValueError: a file is absent, or is not as it was written.
    """
    if (directory / _GRAPH_FILE).is_file():
        return *_read_exported(directory), {}, {}
    if not (directory / SCHEMA_FILE).is_file():
        raise MissingFileError(
            f"{directory} holds no vocabulary ({SCHEMA_FILE} is not there)."
        )
    digests = _read_digests(directory / DIGESTS_FILE)

    def read_bytes(name: str) -> bytes:
        path = directory / name
        if not path.is_file():
            raise damaged(path, "is not there")
        data = path.read_bytes()
        if digests is not None and digests.get(name) != _digest(data):
            raise damaged(path, "was changed after it was written")
        return data

    def decode(name: str, decoded: Callable[[bytes], Any]) -> Any:
        try:
            return decoded(read_bytes(name))
        except UnicodeDecodeError as error:
            raise damaged(directory / name, "is not UTF-8") from error

    def read(name: str) -> str:
        return str(decode(name, bytes.decode))

    def read_lines(name: str) -> pa.Array:
        return decode(name, texts_of_lines)

    text = read(SCHEMA_FILE)
    try:
        schema = Schema.from_json(text)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        what = f"is no schema ({str(error).rstrip('.')})"
        raise damaged(directory / SCHEMA_FILE, what) from error
    statistics = _parse_statistics(
        read(STATISTICS_FILE), directory / STATISTICS_FILE
    )
    values = {f: read_lines(name) for f, name in value_files(schema).items()}
    rare = {f: read_lines(name) for f, name in rare_files(schema).items()}
    counts = {
        f: np.load(io.BytesIO(read_bytes(name)), allow_pickle=False)
        for f, name in count_files(schema).items()
    }
    if digests is None:
        _check_statistics(schema, statistics, directory / STATISTICS_FILE)
        for field, name in value_files(schema).items():
            _check_values(values[field], directory / name)
    return schema, values, statistics, rare, counts


def write_exported(
    file: Path, statistics: Mapping[str, Any], values: Mapping[str, Array]
) -> None:
    """Write what an export has not of a vocabulary: see `read_vocabulary`.

    Args:
        file: JSON.
        statistics: as of `Vocabulary`.
        values: those that the graph has not among its texts.
    """
    content = {
        "statistics": statistics,
        "values": {name: list(own) for name, own in values.items()},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _read_exported(
    version: Path,
) -> tuple[Schema, dict[str, Any], dict[str, Any]]:
    """The schema, the values and the statistics that an exported model has.

    Args:
        version: the folder of the version.

    Raises:
        UserError: it does not keep all of them.
    """
    file = version / EXPORTED_FILE
    if not file.is_file():
        raise MissingFileError(
            f"{version} must be an export that keeps its vocabulary "
            f"({EXPORTED_FILE}), as those of 0.7 and later do. Received: one "
            "that does not. Load the vocabulary of the prepared data, or "
            "export the model again."
        )
    card = json.loads((version / _CARD_FILE).read_bytes())
    schema = Schema.from_dict(card["schema"])
    if any(field.encodings for field in schema.fields):
        raise UserError(
            f"{version} must have no field with `encodings`, whose counts an "
            "export does not keep. Load the vocabulary of the prepared data."
        )
    content = json.loads(file.read_bytes())
    values: dict[str, Any] = content["values"]
    assets = version / "assets" / "vocabulary.txt"
    owners = [field.name for field in schema.table_fields]
    counted = [f for f in schema.table_fields if f.is_counted]
    values |= {f.name: [] for f in counted if f.name not in values}
    if assets.is_file():
        for line in assets.read_bytes().decode("utf-8").split("\n")[:-1]:
            number, _, value = line.partition(":")
            values[owners[int(number)]].append(value)
    return schema, values, content["statistics"]


def write_days(
    directory: Path,
    schema: Schema,
    seen: SeenValues | None,
    files: Sequence[Sequence[str]],
) -> None:
    """Write the counts of values over days, and which files these had.

    Args:
        directory: made if it is not there.
        schema: the Schema.
        seen: SeenValues or None; then there is no such file.
        files: digests, day by day; there is no such file if there are none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if seen is None:
        remove_files(directory)
    else:
        seen.save(directory, _seen_files(schema))
    path = directory / DAYS_FILE
    path.unlink(missing_ok=True)
    if files:
        path.write_text(json.dumps(files, indent=1), encoding="utf-8")


def read_days(
    directory: Path, schema: Schema
) -> tuple[SeenValues | None, Sequence[Sequence[str]]]:
    """What `write_days` wrote, or what an export has of it."""
    card = directory / _CARD_FILE
    if card.is_file():
        own = json.loads(card.read_bytes())["training_data"].get("files")
        return None, [own] if own else []
    days, path = [], directory / DAYS_FILE
    if path.is_file():
        try:
            days = json.loads(path.read_bytes())
        except ValueError as error:
            raise damaged(path, "is not as it was written") from error
    files = {f: directory / name for f, name in _seen_files(schema).items()}
    if not files or not all(each.is_file() for each in files.values()):
        return None, days
    return SeenValues.load(files), days


def _seen_files(schema: Schema) -> dict[str, str]:
    """Each field whose values are counted -> the file of the counts."""
    return {
        name: file.replace(".txt", SUFFIX)
        for name, file in value_files(schema).items()
        if schema.field(name).is_counted
    }


def value_files(schema: Schema) -> dict[str, str]:
    """Each field that has values of its own -> the name of their file."""
    return {
        field.name: f"{number:03d}_{_file_name(field.name)}.txt"
        for number, field in enumerate(schema.table_fields)
        if not (field.is_numeric or field.hash_buckets)
    }


def rare_files(schema: Schema) -> dict[str, str]:
    """Each field with values that have counts alone -> their file."""
    return {
        name: file.replace(".txt", ".rare.txt")
        for name, file in value_files(schema).items()
        if schema.keeps_rare(schema.field(name))
    }


def count_files(schema: Schema) -> dict[str, str]:
    """Each field with `encodings` -> the file of the counts."""
    return {
        field.name: f"{number:03d}_{_file_name(field.name)}.counts.npy"
        for number, field in enumerate(schema.fields)
        if field.encodings
    }


def _read_digests(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(path, "was changed after it was written") from error


def _parse_statistics(text: str, path: Path) -> dict[str, Any]:
    try:
        statistics = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"is not valid JSON ({error})") from error
    if not isinstance(statistics, dict) or not all(
        isinstance(entry, dict) for entry in statistics.values()
    ):
        raise damaged(path, "must hold an object for each field")
    return statistics


def _check_statistics(
    schema: Schema, statistics: Mapping[str, Any], path: Path
) -> None:
    """Raise UserError unless there is what encoding will look for."""
    for field in schema.fields:
        wanted = ("rows", "missing", *field.needed_statistics)
        entry = statistics.get(field.name, {})
        numbers: list[Any] = []
        for name in wanted:
            found = entry.get(name)
            is_list = name == "boundaries" and isinstance(found, list)
            numbers += found if is_list else [found]
        if not all(type(number) in (int, float) for number in numbers):
            names = ", ".join(wanted)
            what = f"must hold numbers for {names} of '{field.name}'"
            raise damaged(path, what)


def _check_values(values: pa.Array, path: Path) -> None:
    seen: dict[str, int] = {}
    for number, value in enumerate(values.to_pylist(), 1):
        if value in seen or not value:
            what = f"has nothing in line {number}"
            if value:
                what = f"has {value!r} in lines {seen[value]} and {number}"
            raise damaged(path, what)
        seen[value] = number


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:80]
