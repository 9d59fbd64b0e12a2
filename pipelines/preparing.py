"""From raw files to prepared data: the schema, and the three parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import deepfm_tf
from pipelines.deriving import derived_files
from pipelines.outputs import writing
from pipelines.report import summary

if TYPE_CHECKING:
    from pipelines.experiment import Settings


def read_schema(settings: Settings) -> deepfm_tf.Schema:
    """The recipe's schema, that of `--schema`, or the inferred one.

    Args:
        settings: the options.

    Raises:
        UserError: options contradict it; or the data have no such schema.
    """
    if settings.fixed_schema is not None:
        return settings.fixed_schema
    if settings.schema_file is not None:
        if settings.categorical:
            raise deepfm_tf.UserError(
                "--categorical is for a schema that is inferred. Leave it out "
                f"beside --schema {settings.schema_file}, or edit that file."
            )
        try:
            schema = deepfm_tf.Schema.load(settings.schema_file)
        except deepfm_tf.UserError as error:
            # What it is about is in the file, not an option of that name.
            raise deepfm_tf.UserError(f"--schema {error}") from error
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
        return schema
    schema = deepfm_tf.Schema.infer(
        settings.train,
        settings.label,
        text_format=settings.text_format,
        positive_labels=settings.positive_label,
        negative_labels=settings.negative_label,
        missing_values=settings.missing,
        example_weight=settings.example_weight,
        categorical=settings.categorical,
    )
    settings.run.mkdir(parents=True, exist_ok=True)
    path = settings.run / "schema.json"
    schema.save(path)
    print(f"Schema: {summary(schema)}, inferred.")
    for note in schema.notes:
        print(f"  {note}")
    print(f"  Written to {path}: edit it and give it back with --schema.")
    return schema


def prepare(
    settings: Settings, schema: deepfm_tf.Schema
) -> dict[str, deepfm_tf.PreparedData]:
    """The data by part, prepared unless they are already; and said so.

    Args:
        settings: the options.
        schema: the Schema.
    """
    sources = {
        "train": settings.train,
        "valid": settings.valid,
        "test": settings.test,
    }
    drawn = [name for name in ("valid", "test") if not sources[name]]
    start = round(1.0 - 0.1 * len(drawn), 1)
    share = settings.negative_sampling
    parts = {"train": deepfm_tf.Part(0.0, start, settings.seed, share)}
    for name in drawn:
        stop = round(start + 0.1, 1)
        parts[name] = deepfm_tf.Part(start, stop, settings.seed)
        start = stop
    if drawn:
        print(
            f"No --{' and no --'.join(drawn)} given: a tenth of the rows of "
            f"--train {'each ' * (len(drawn) > 1)}is drawn at random instead "
            f"(seed {settings.seed})."
        )
    directory = settings.prepared or settings.run / "prepared"
    data: dict[str, deepfm_tf.PreparedData] = {}
    for name, files in sources.items():
        fitted = data["train"].vocabulary if data else None
        source = files or settings.train
        if settings.derive is not None:
            source = derived_files(settings, settings.derive, source)
        with writing(
            directory / name, "Or keep prepared data elsewhere: --prepared DIR."
        ):
            data[name] = deepfm_tf.prepare(
                source,
                directory / name,
                schema=None if fitted else schema,
                vocabulary=fitted,
                text_format=settings.text_format,
                part=parts.get(name) if drawn or share < 1 else None,
                on_error=settings.on_error,
            )
        prepared = data[name]
        positive = prepared.num_positives / prepared.num_rows
        line = f"{name}: {prepared.num_rows:,} rows, {positive:.1%} positive"
        if prepared.negative_sampling < 1:
            line += f", {prepared.negative_sampling:.3g} of the negatives"
        if prepared.num_rejected:
            rejected = prepared.directory / "rejected.csv"
            line += f", {prepared.num_rejected:,} rejected ({rejected})"
        print(line)
    sizes = data["train"].schema.vocabulary_sizes
    print(f"{summary(schema)}, {sum(sizes):,} rows in the shared table")
    if schema.example_weight is not None:
        print(f"Rows count by {schema.example_weight}, in all metrics too.")
    return data
