"""From raw files to prepared data: the schema, and the three parts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

import deepfm_tf
from deepfm_tf.backend import import_tensorflow
from deepfm_tf.experiment.command_line import words_of
from deepfm_tf.experiment.dask import dask_executor
from deepfm_tf.experiment.fitting import trained_files
from deepfm_tf.experiment.fitting.training import user_errors
from deepfm_tf.experiment.inputs import (
    FirstRows,
    check_columns,
    check_headers,
    check_targets,
    derived_files,
    load_schema,
    opening,
    say_shared_rows,
)
from deepfm_tf.experiment.options.config import write_config
from deepfm_tf.experiment.report import summary
from deepfm_tf.experiment.run_folder.files import writing

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from deepfm_tf.experiment.options.data_settings import DataSettings

_SCHEMA_FILE = "schema.json"
# Where --split-by-time cut, beside the parts that it made.
_CUTS_FILE = "cuts.json"
_REUSED = "reused"
_PREPARED_AGAIN = (
    "prepared again: the existing data had other options or inputs, or "
    "was damaged"
)
# Rows that are kept in memory, some tens of megabytes, while they are needed.
_FEW_ROWS = 2**17


def read_schema(
    settings: DataSettings, first_rows: FirstRows
) -> deepfm_tf.Schema:
    """The recipe's schema, that of `--schema`, or the inferred one.

    Args:
        settings: the options.
        first_rows: of its files.

    Raises:
        UserError: options contradict it; the data have no such schema; or
            the labels cannot be read.
    """
    check_targets(settings, first_rows)
    if settings.fixed_schema is not None:
        return settings.fixed_schema
    if settings.schema_file is not None:
        schema = load_schema(settings.schema_file)
        _check_inference_options(settings, schema)
        if schema.label != settings.label:
            raise deepfm_tf.UserError(
                f"The label of {settings.schema_file} is '{schema.label}', "
                f"but --label is '{settings.label}'. Make them agree."
            )
        if settings.example_weight not in (None, schema.example_weight):
            raise deepfm_tf.UserError(
                f"--example-weight is '{settings.example_weight}', but "
                f"{settings.schema_file} does not say so. Make them agree."
            )
        return settings.encode(schema)
    schema = deepfm_tf.infer_schema(
        first_rows.take_training(),
        settings.label,
        positive_labels=settings.positive_label,
        negative_labels=settings.negative_label,
        missing_values=settings.missing,
        example_weight=settings.example_weight,
        categorical=settings.categorical,
        ignore=settings.ignore,
    )
    schema = settings.encode(schema)
    settings.run.mkdir(parents=True, exist_ok=True)
    schema.save(settings.run / _SCHEMA_FILE)
    return schema


def _check_inference_options(
    settings: DataSettings, schema: deepfm_tf.Schema
) -> None:
    """Raise UserError for options that a schema file would overrule."""
    for option, given, written in (
        ("--categorical", settings.categorical, ()),
        ("--ignore", settings.ignore, ()),
        ("--missing", settings.missing, schema.missing_values),
        ("--positive-label", settings.positive_label, schema.positive_labels),
        ("--negative-label", settings.negative_label, schema.negative_labels),
    ):
        if given and set(given) != set(written):
            raise deepfm_tf.UserError(
                f"{option} only affects an inferred schema. Leave it out "
                f"with --schema {settings.schema_file}, or edit that file."
            )


def prepare_and_say(settings: DataSettings) -> dict[str, Any]:
    """Prepare the data for trainings to come, and say what to type next.

    Args:
        settings: the options.
    """
    with user_errors():
        check_headers(settings)
        first_rows = FirstRows(settings)
        import_tensorflow()
        schema = read_schema(settings, first_rows)
        check_columns(settings, schema)
        write_config(settings)
        data = prepare(settings, schema)
    folder = settings.prepared_folder
    words = words_of(settings, prepared=folder, run=None, dask=None)
    command = deepfm_tf.shell.command_line(
        *settings.recipe.command_words, *words
    )
    print(
        f"Prepared in {folder}: from Python, "
        f"deepfm_tf.PreparedData.load({str(folder / 'train')!r}).\n"
        f"Next, train on it:\n    {command}"
    )
    return data


def notes(prepared: deepfm_tf.PreparedData, name: str) -> list[str]:
    """What to say of a part's unseen values, beside what is warned of."""
    if name == "train":
        return []
    return deepfm_tf.drift.expected_notes(prepared.shares, prepared.drift, name)


def prepare(
    settings: DataSettings, schema: deepfm_tf.Schema
) -> dict[str, deepfm_tf.PreparedData]:
    """The data by part, prepared unless they are already; and said so.

    Args:
        settings: the options.
        schema: the Schema.
    """
    with dask_executor(settings.dask) as executor:
        return _prepare(settings, schema, executor)


def _prepare(
    settings: DataSettings,
    schema: deepfm_tf.Schema,
    executor: Executor | None,
) -> dict[str, deepfm_tf.PreparedData]:
    print(f"{opening(settings)} · {summary(schema)}")
    if settings.fixed_schema is None and settings.schema_file is None:
        print(textwrap.indent(schema.summary(), "  "))
        path = settings.run / _SCHEMA_FILE
        print(f"  Written to {path}: edit it and give it back with --schema.")
    sources = {
        "train": settings.train,
        "valid": settings.valid,
        "test": settings.test,
    }
    drawn = [name for name in ("valid", "test") if not sources[name]]
    train_source: Any = settings.train
    if settings.derive is not None:
        train_source = derived_files(settings, settings.derive, settings.train)
    parts = _parts(settings, drawn, train_source, schema)
    _say_parts(settings, drawn, parts, schema)
    directory = settings.prepared_folder
    data: dict[str, deepfm_tf.PreparedData] = {}
    groups = None
    if settings.group_by is not None:  # first, as it may be mistyped
        source = sources["test"] or settings.train
        if settings.derive is not None:
            source = derived_files(settings, settings.derive, source)
        groups = deepfm_tf.data.raw_column(
            source,
            settings.group_by,
            schema,
            text_format=settings.text_format,
            part=parts.get("test"),
            on_error=settings.on_error,
        )
    # Those that are drawn of the training files are read with these.
    in_train = [parts[name] for name in drawn]
    with deepfm_tf.data.OtherParts(directory, in_train) as others:
        for name, files in sources.items():
            fitted = data["train"].vocabulary if data else None
            extends = None if fitted else settings.extends
            source = train_source
            own_files = None if name == "train" else files
            if own_files:
                source = own_files
                if settings.derive is not None:
                    source = derived_files(settings, settings.derive, own_files)
            before = _identity(directory / name)
            with contextlib.ExitStack() as stack:
                if extends is not None:
                    own: Any = settings  # none but a Settings extends any
                    stack.enter_context(trained_files.refusing_same_day(own))
                hint = "Or keep prepared data elsewhere: --prepared DIR."
                stack.enter_context(writing(directory / name, hint))
                data[name] = deepfm_tf.data.prepare_part(
                    source,
                    directory / name,
                    schema=None if fitted or extends else schema,
                    vocabulary=fitted,
                    extends=extends,
                    text_format=settings.text_format,
                    part=parts.get(name),
                    on_error=settings.on_error,
                    executor=executor,
                    others=None if own_files else others,
                )
            _say_prepared(name, data[name], before)
            if own_files:
                say_shared_rows(data["train"], data[name], f"--{name}")
            for note in notes(data[name], name):
                print(f"  {note}")
    data["test"].groups = groups
    sizes = data["train"].schema.vocabulary_sizes
    print(f"{sum(sizes):,} rows in the shared table")
    for line in _encodings(data["train"].schema):
        print(line)
    if schema.example_weight is not None:
        print(
            f"Rows are weighted by {schema.example_weight}, also in all "
            "metrics."
        )
    return data


def _say_prepared(
    name: str, prepared: deepfm_tf.PreparedData, before: int | None
) -> None:
    """The line of a part; `before` is the identity of an earlier folder."""
    positive = prepared.num_positives / prepared.num_rows
    line = f"{name}: {prepared.num_rows:,} rows, {positive:.1%} positive"
    if prepared.negative_sampling < 1:
        line += f", {prepared.negative_sampling:.3g} of the negatives"
    if prepared.num_rejected:
        rejected = prepared.directory / "rejected.csv"
        line += f", {prepared.num_rejected:,} rejected ({rejected})"
    if before is not None:
        is_same = before == _identity(prepared.directory)
        line += f", {_REUSED if is_same else _PREPARED_AGAIN}"
    print(line)


def _encodings(schema: deepfm_tf.Schema) -> list[str]:
    """What to say of fields that bring numbers."""
    names: dict[tuple[str, ...], list[str]] = {}
    for field in schema.fields:
        if field.encodings:
            names.setdefault(field.encodings, []).append(field.name)
    return [
        f"Encodings {', '.join(encodings)} of {', '.join(fields)}: numbers "
        "beside their ids"
        for encodings, fields in names.items()
    ]


@functools.lru_cache(maxsize=2)
def evaluation_dataset(part: deepfm_tf.PreparedData, batch_size: int) -> Any:
    """The one data set for all evaluations on a part.

    To make one, and to begin a pass through the files, takes longer than a
    small model needs for a few thousand rows.

    Args:
        part: the validation or the test data.
        batch_size: int.
    """
    dataset = part.dataset(batch_size)
    return dataset.cache() if part.num_rows <= _FEW_ROWS else dataset


def _identity(directory: Path) -> int | None:
    """Of a folder that is there: one that takes its place has another."""
    if not directory.is_dir() or not any(directory.iterdir()):
        return None
    return directory.stat().st_ino


def _parts(
    settings: DataSettings,
    drawn: list[str],
    source: Any,
    schema: deepfm_tf.Schema,
) -> dict[str, deepfm_tf.Part | deepfm_tf.TimePart]:
    """What each part takes of --train; nothing where it is all of it."""
    share = settings.negative_sampling
    starts = [round(1.0 - 0.1 * n, 1) for n in range(len(drawn), 0, -1)]
    if settings.split_by_time is not None:
        train, *rest = deepfm_tf.split_by_time(
            source,
            settings.split_by_time,
            starts,
            text_format=settings.text_format,
            on_error=settings.on_error,
            missing_values=schema.missing_values,
            kept=settings.prepared_folder / _CUTS_FILE,
        )
        train = dataclasses.replace(
            train, seed=settings.seed, negative_sampling=share
        )
        return dict(zip(["train", *drawn], [train, *rest], strict=True))
    if not drawn and share == 1:
        return {}
    ends = [0.0, *starts, 1.0]
    parts = {
        name: deepfm_tf.Part(start, stop, settings.seed)
        for name, start, stop in zip(
            ["train", *drawn], ends, ends[1:], strict=False
        )
    }
    parts["train"] = dataclasses.replace(
        parts["train"], negative_sampling=share
    )
    return {**parts}


def _shown_time(microseconds: int) -> str:
    """As a person writes it: 2024-01-31 23:59:59."""
    text = str(np.datetime64(microseconds, "us"))
    return text.replace("T", " ").removesuffix(".000000")


def _say_parts(
    settings: DataSettings,
    drawn: list[str],
    parts: dict[str, Any],
    schema: deepfm_tf.Schema,
) -> None:
    if not drawn:
        return
    if settings.split_by_time is not None:
        begins = " and ".join(
            f"{name} from {_shown_time(parts[name].start)}" for name in drawn
        )
        print(
            f"--train is split by {settings.split_by_time}: {begins} on (UTC)."
        )
        return
    times = [field.name for field in schema.fields if field.is_time]
    if times and "test" in drawn:
        option = deepfm_tf.shell.option("--split-by-time", times[0])
        print(
            "The rows have times: a model that will serve later rows should "
            f"be tested on the latest ones, not on random ones: {option}"
        )
