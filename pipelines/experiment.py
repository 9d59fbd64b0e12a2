"""One experiment: prepare, train each model, compare, export, report."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import deepfm_tf
from pipelines import learning
from pipelines.exporting import check_options, export
from pipelines.learning import UserError
from pipelines.report import summary, write_report

TABLE = (
    "model",
    "parameters",
    "seconds",
    "epochs",
    "test AUC",
    "test log loss",
)

# Rows that are derived at a time.
_CHUNK_ROWS = 500_000


@dataclasses.dataclass
class Settings:
    """What the command line said; see there."""

    name: str
    arguments: tuple[str, ...]
    text_format: deepfm_tf.TextFormat
    fixed_schema: deepfm_tf.Schema | None
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None
    train: list[str]
    valid: list[str] | None
    test: list[str] | None
    label: str
    positive_label: list[str] | None
    negative_label: list[str] | None
    missing: list[str]
    example_weight: str | None
    schema_file: str | None
    on_error: str
    model: tuple[str, ...]
    embedding_dim: int
    hidden_units: tuple[int, ...]
    dropout: float
    batch_norm: bool
    embedding_init: str
    optimizer: str
    mixed_bfloat16: bool
    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    monitor: str
    embedding_l2: float | None
    l2_mode: str | None
    clip_norm: float | None
    reduce_lr: bool
    negative_sampling: float
    evaluate_every: int | None
    seed: int
    replicas: int | None
    run: Path
    prepared: Path | None
    resume: bool
    tensorboard: bool
    export: Path | None
    context_fields: tuple[str, ...]
    keep_versions: int | None
    table_dtype: str | None
    report: Path | None

    def command(self, resume: bool = False) -> str:
        """The command that was typed, or the one that goes on with it."""
        words = ["python", "-m", f"pipelines.{self.name}", *self.arguments]
        if resume and "--resume" not in words:
            words.append("--resume")
        return shlex.join(words)

    def fingerprint(self, data: dict[str, deepfm_tf.PreparedData]) -> str:
        """A digest of all that decides the course of the training."""
        names = (
            "embedding_dim hidden_units dropout batch_norm optimizer "
            "mixed_bfloat16 learning_rate batch_size patience monitor seed"
        )
        values = [
            str(getattr(self, name))
            for name in (*names.split(), *learning.SETTINGS)
        ]
        values += [part.fingerprint for part in data.values()]
        return hashlib.blake2b(
            "\n".join(values).encode(), digest_size=16
        ).hexdigest()


@dataclasses.dataclass
class Outcome:
    """What an experiment leaves behind."""

    data: dict[str, deepfm_tf.PreparedData]
    results: list[dict[str, Any]]
    models: dict[str, deepfm_tf.CTRModel]
    exported: Path | None
    exported_model: str | None


def run(
    settings: Settings,
    export_model: str | None = None,
    reference: dict[str, Any] | None = None,
) -> Outcome:
    """Run the whole experiment, and say what happens.

    Args:
        settings: the options.
        export_model: the model to export. Defaults to the best on the
            validation data.
        reference: a further row for the table, such as the Bayes optimum.
    """
    deepfm_tf.set_precision(
        "mixed_bfloat16" if settings.mixed_bfloat16 else "float32"
    )
    with _user_errors():
        strategy = deepfm_tf.create_strategy(settings.replicas)
        schema = _schema(settings)
        check_options(settings, schema)
        data = _prepare(settings, schema)
    settings.run.mkdir(parents=True, exist_ok=True)
    results, models = [], {}
    for name in settings.model:
        models[name], result = _train(settings, name, data, strategy)
        results.append(result)
    rows = [_table_row(result) for result in results]
    if reference is not None:
        rows.append(reference)
    print(f"\n{deepfm_tf.comparison_table(TABLE, rows)}\n")
    exported, best = None, export_model or _best(settings, results)
    if settings.export is not None:
        (result,) = (r for r in results if r["model"] == best)
        exported = export(settings, models[best], data, result)
    if settings.report is not None:
        command = settings.command()
        write_report(settings.report, command, settings.seed, data, results)
        print(f"Report: {settings.report}")
    return Outcome(data, results, models, exported, best if exported else None)


@contextlib.contextmanager
def _user_errors() -> Iterator[None]:
    """Errors in the data or the options become one sentence."""
    try:
        yield
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise UserError(str(error)) from error


def _schema(settings: Settings) -> deepfm_tf.Schema:
    if settings.fixed_schema is not None:
        return settings.fixed_schema
    if settings.schema_file is not None:
        schema = deepfm_tf.Schema.load(settings.schema_file)
        if schema.label != settings.label:
            raise ValueError(
                f"The label of {settings.schema_file} is '{schema.label}', "
                f"but --label is '{settings.label}'. Make them agree."
            )
        if settings.example_weight not in (None, schema.example_weight):
            raise ValueError(
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
    )
    settings.run.mkdir(parents=True, exist_ok=True)
    path = settings.run / "schema.json"
    schema.save(path)
    print(f"Schema: {summary(schema)}, inferred.")
    for note in schema.notes:
        print(f"  {note}")
    print(f"  Written to {path}: edit it and give it back with --schema.")
    return schema


def _prepare(
    settings: Settings, schema: deepfm_tf.Schema
) -> dict[str, deepfm_tf.PreparedData]:
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
            source = _derived(settings, settings.derive, source)
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
    return data


def _derived(
    settings: Settings,
    derive: Callable[[pd.DataFrame], pd.DataFrame],
    files: list[str],
) -> list[str]:
    """The files with the recipe's own columns, as Parquet in the run."""
    names = settings.text_format.column_names
    parts: list[str] = []
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"There is no file {file}.")
        stat = Path(file).stat()
        key = f"{Path(file).resolve()}/{stat.st_size}/{stat.st_mtime_ns}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        directory = settings.run / "derived" / digest
        if not directory.is_dir():
            temporary = directory.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            chunks = pd.read_csv(
                file,
                dtype=str,
                keep_default_na=False,
                names=names,
                chunksize=_CHUNK_ROWS,
            )
            for number, chunk in enumerate(chunks):
                name = f"{number:05d}.parquet"
                derive(chunk).to_parquet(temporary / name)
            temporary.rename(directory)
        parts += sorted(str(path) for path in directory.glob("*.parquet"))
    return parts


def _train(
    settings: Settings,
    name: str,
    data: dict[str, deepfm_tf.PreparedData],
    strategy: Any,
) -> tuple[deepfm_tf.CTRModel, dict[str, Any]]:
    directory = settings.run / name
    settings_file = directory / "settings.txt"
    fingerprint = settings.fingerprint(data)
    resumes = settings.resume and settings_file.is_file()
    if resumes and settings_file.read_text() != fingerprint:
        raise UserError(
            f"{directory} was trained on other data or with other options "
            "than now. Resume with the very command that was stopped, or "
            "leave out --resume to start afresh."
        )
    print(f"\n{name}, {strategy.num_replicas_in_sync} replica(s)")
    deepfm_tf.set_seed(settings.seed)
    first_epoch = 0
    with strategy.scope():
        if resumes and (directory / "state.json").is_file():
            model, first_epoch = deepfm_tf.load_checkpoint(directory)
            print(f"Resumed after epoch {first_epoch}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
            model = learning.build(settings, name, data["train"])
    directory.mkdir(parents=True, exist_ok=True)
    settings_file.write_text(fingerprint)
    dataset, stretch = learning.training_data(
        settings, data["train"], first_epoch
    )
    callbacks = deepfm_tf.training_callbacks(
        data["valid"].dataset(settings.batch_size),
        directory,
        patience=settings.patience,
        monitor=settings.monitor,
        reduce_lr=settings.reduce_lr,
        tensorboard=settings.tensorboard,
    )
    begin = time.perf_counter()
    model.fit(
        dataset,
        **stretch,
        initial_epoch=first_epoch,
        callbacks=callbacks,
        shuffle=False,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    seconds = time.perf_counter() - begin
    history = json.loads((directory / "state.json").read_text())["history"]
    test = deepfm_tf.evaluate(model, data["test"].dataset(settings.batch_size))
    # The first epoch includes tracing; it counts only if it is alone.
    times = history["train_seconds"][1:] or history["train_seconds"]
    steps = learning.num_steps(settings, data["train"])
    share = stretch.get("steps_per_epoch", steps) / steps
    rate = share * data["train"].num_rows / statistics.median(times)
    return model, {
        "model": name,
        "parameters": model.count_params(),
        "seconds": seconds,
        "examples_per_second": rate,
        "epochs": round(share * len(history["loss"]), 2),
        "history": history,
        "test": test,
    }


def _best(settings: Settings, results: list[dict[str, Any]]) -> str:
    sign = 1 if settings.monitor == "log_loss" else -1
    best = min(
        results,
        key=lambda r: min(
            sign * v for v in r["history"][f"val_{settings.monitor}"]
        ),
    )
    return str(best["model"])


def _table_row(result: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": result["model"],
        "parameters": result["parameters"],
        "seconds": round(result["seconds"], 1),
        "epochs": result["epochs"],
        "test AUC": result["test"]["auc"],
        "test log loss": result["test"]["log_loss"],
    }
