"""What is checked before any work: options, extras, files, folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepfm_tf import seeds
from deepfm_tf.cluster import read_cluster
from deepfm_tf.experiment import continuation, export as exporting
from deepfm_tf.experiment.fitting import training as learning, workers
from deepfm_tf.experiment.fitting.training import UserError, user_errors
from deepfm_tf.experiment.options.arguments import split_field_file
from deepfm_tf.experiment.options.commands import SWEPT
from deepfm_tf.experiment.options.settings import WITH_PYRAMID
from deepfm_tf.experiment.options.structures import Space
from deepfm_tf.experiment.report import check_extra, check_plots, check_report
from deepfm_tf.experiment.run_folder.files import check_file, check_folder
from deepfm_tf.files.content import is_parquet
from deepfm_tf.files.header import check_plain_headers
from deepfm_tf.files.paths import expanded
from deepfm_tf.files.urls import open_binary
from deepfm_tf.presets import CANDIDATES

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.commands import (
        CompareSettings,
        SweepSettings,
    )
    from deepfm_tf.experiment.options.data_settings import DataSettings
    from deepfm_tf.experiment.options.settings import Settings


def check(settings: Settings) -> None:
    """Raise UserError for all that can be known before the data are read.

    Args:
        settings: the options.
    """
    continuation.check(settings)
    learning.check(settings)
    workers.check(settings, read_cluster())
    if settings.auto and settings.preset != "default":
        raise UserError(
            f"--auto tries the presets {', '.join(CANDIDATES)}. Leave out "
            f"--preset {settings.preset}, or --auto (--no-auto where a file "
            "of --config has it)."
        )
    if settings.auto and settings.embeddings and not settings.embedding_dim:
        raise UserError(
            "--auto tries vectors of several lengths, but those of "
            "--embeddings have one length. Give it with --embedding-dim."
        )
    with user_errors():
        exporting.check_options(settings)
        check_report(settings)
        if settings.tensorboard:
            check_extra("--tensorboard writes its files", "tensorboard")
    check_data(settings)
    _check_vectors(settings)
    if read_cluster().is_chief:
        _check_outputs(settings)


def _check_outputs(settings: Settings) -> None:
    if settings.export is not None:
        check_folder("--export", settings.export)
    report = settings.report
    if report is None:
        return
    if settings.report_is_folder:
        check_folder("--report", report)
        return
    check_file("--report", report, (".html", ".json"))
    if report.suffix == ".html":  # its numbers stand beside it
        check_file("--report", report.with_suffix(".json"), (".json",))


def check_comparison(settings: CompareSettings) -> None:
    """The same, of a comparison.

    Args:
        settings: the options.
    """
    _refuse_export(settings, "a comparison")
    _check_seeds(settings)
    check_plots("A comparison")
    check(settings)


def check_sweep(settings: SweepSettings) -> None:
    """The same, of a sweep.

    Args:
        settings: the options.
    """
    for name in SWEPT:
        if getattr(settings, name) is not None:
            option = settings.options[name].flag
            lists = f"{option}s"
            if name == "hidden_units":
                lists = "--depths, --widths and --shapes"
            raise UserError(
                f"{option} cannot be combined with a sweep, which changes "
                f"it. Give the values to try with {lists}."
            )
    _refuse_export(settings, "a sweep")
    _check_seeds(settings)
    if len(settings.model) > 1 or settings.model[0] not in WITH_PYRAMID:
        raise UserError(
            "A sweep changes the hidden layers of one model. Received: "
            f"--model {','.join(settings.model)}. Give a model with hidden "
            "layers, such as deepfm."
        )
    if settings.trials:
        check_extra("A sweep searches", "tune")
    check_plots("A sweep")
    Space.of(settings)
    check(settings)


def _check_vectors(settings: Settings) -> None:
    for each in settings.embeddings:
        file = split_field_file(each)[1]
        try:
            open(file, "rb").close()
        except OSError as error:
            reason = f"{file}: {error.strerror}."
            raise UserError(f"--embeddings: {reason}") from error
        if not is_parquet(file):
            raise UserError(
                f"--embeddings: {file} must be a Parquet file with the columns "
                "`value` and `vector`."
            )


def check_data(settings: DataSettings) -> None:
    """The same, of the options about the data alone.

    Args:
        settings: the options.
    """
    if settings.split_by_time and settings.valid and settings.test:
        raise UserError(
            "--split-by-time sets aside rows of --train, for which both "
            "--valid and --test are given. Leave out one of the three."
        )
    if settings.dask is not None:
        check_extra("--dask prepares data on a Dask cluster", "dask")
    if read_cluster().is_chief:
        check_folder("--run", settings.run)
        if settings.prepared is not None:
            check_folder("--prepared", settings.prepared)
    if settings.encoded_fields and not settings.encodings:
        raise UserError(
            "--encoded-fields must come with --encodings. Give --encodings "
            "too, such as count,target_mean."
        )
    _check_inputs(settings)


def _refuse_export(settings: Settings, what: str) -> None:
    if settings.auto:
        raise UserError(
            f"--auto cannot be combined with {what}, whose models keep their "
            "options. Use it with deepfm-tf train, or give --preset."
        )
    if settings.continue_from is not None:
        raise UserError(
            f"--continue-from cannot be combined with {what}, whose models "
            "start from scratch. Use it with deepfm-tf train."
        )
    given = exporting.given_options(settings)
    if given:
        raise UserError(
            f"{', '.join(given)} cannot be combined with {what}, which keeps "
            "no models. It ends with a command that trains and exports the "
            "best one: give the option there."
        )


def _check_seeds(settings: CompareSettings | SweepSettings) -> None:
    """Each of the runs has a seed of its own."""
    last = settings.seed + settings.seeds - 1
    if last > seeds.MAX_SEED:
        raise UserError(
            f"--seed {settings.seed} with --seeds {settings.seeds} takes "
            f"seeds up to {last}, but the largest is {seeds.MAX_SEED}. Give a "
            "smaller --seed."
        )


def _check_inputs(settings: DataSettings) -> None:
    """Preparing the first of them may take an hour."""
    for name in ("train", "valid", "test"):
        source = getattr(settings, name)
        if source is None:
            continue
        try:
            files = expanded(source)
            for file in files:
                open_binary(file).close()
            check_plain_headers(
                files, settings.columns_of(name), settings.text_format
            )
        except OSError as error:
            raise UserError(f"--{name}: {error}") from error
    if settings.schema_file is not None:
        try:
            Path(settings.schema_file).read_bytes()
        except OSError as error:
            raise UserError(f"--schema: {error}") from error
