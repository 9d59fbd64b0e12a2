"""What is checked before any work: options, extras, files, folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import deepfm_tf
from deepfm_tf.experiment import export as exporting, training as learning
from deepfm_tf.experiment.files import check_file, check_folder
from deepfm_tf.experiment.report import check_extra, check_report
from deepfm_tf.experiment.training import UserError, user_errors
from deepfm_tf.files.readers import list_files

if TYPE_CHECKING:
    from deepfm_tf.experiment.settings import Settings


def check(settings: Settings) -> None:
    """Raise UserError for all that can be known before the data are read.

    Args:
        settings: the options.
    """
    learning.check(settings)
    with user_errors():
        exporting.check_options(settings)
        check_report(settings)
        if settings.tensorboard:
            check_extra("--tensorboard writes its files", "tensorboard")
    if settings.split_by_time and settings.valid and settings.test:
        raise UserError(
            "--split-by-time sets aside rows of --train, for which both "
            "--valid and --test are given. Leave out one of the three."
        )
    _check_outputs(settings)
    _check_inputs(settings)


def check_fields(settings: Settings, schema: deepfm_tf.Schema) -> None:
    """Raise UserError for fields that there are not.

    Args:
        settings: the options.
        schema: the Schema of the data.
    """
    for name in settings.slice_by:
        schema.field(name)  # says what there is, if not this
    exporting.check_context(settings, schema)


def _check_outputs(settings: Settings) -> None:
    folders = {
        "--run": settings.run,
        "--prepared": settings.prepared,
        "--export": settings.export,
    }
    report = settings.report
    if settings.report_is_folder:
        folders["--report"] = report
    for option, folder in folders.items():
        if folder is not None:
            check_folder(option, folder)
    if report is None or settings.report_is_folder:
        return
    check_file("--report", report, (".html", ".json"))
    if report.suffix == ".html":  # its numbers stand beside it
        check_file("--report", report.with_suffix(".json"), (".json",))


def _check_inputs(settings: Settings) -> None:
    """Preparing the first of them may take an hour."""
    for name in ("train", "valid", "test"):
        source = getattr(settings, name)
        if source is None:
            continue
        try:
            for file in list_files(source) or ():
                open(file, "rb").close()
        except OSError as error:
            raise UserError(f"--{name}: {error}") from error
    if settings.schema_file is not None:
        try:
            Path(settings.schema_file).read_bytes()
        except OSError as error:
            raise UserError(f"--schema: {error}") from error
