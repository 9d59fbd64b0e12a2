"""The one command line of all recipes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deepfm_tf import shell
from deepfm_tf.errors import UserError, wrapped_user_error
from deepfm_tf.experiment import export as exporting, training as learning
from deepfm_tf.experiment.arguments import (
    Collect,
    hidden_units,
    positive_float,
    positive_int,
    separator,
    share,
)
from deepfm_tf.experiment.files import run_folder
from deepfm_tf.experiment.recipe import Recipe
from deepfm_tf.experiment.settings import Settings
from deepfm_tf.experiment.training import MODELS, OPTIMIZERS
from deepfm_tf.experiment.usage import Parser, say_fault, told
from deepfm_tf.files.text_format import TextFormat


def main(
    recipe: Recipe,
    arguments: Sequence[str] | None = None,
    run_with: Callable[[Settings], object] | None = None,
) -> int:
    """Run a recipe from the command line; returns the exit status.

    Args:
        recipe: the Recipe.
        arguments: of the command line; None for those of the process.
        run_with: what is done with the settings. Defaults to `run.run`.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    parser = build_parser(recipe)
    options = parser.parse_args(arguments)
    settings = _settings(recipe, options, arguments, parser)
    try:
        with run_folder(settings.run):
            (run_with or _run)(settings)
    except UserError as error:
        print(f"error: {told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nStopped. Every whole epoch is kept in {settings.run}. Go on "
            f"with:\n    {settings.command(resume=True)}",
            file=sys.stderr,
        )
        return 130
    except Exception as error:
        # TensorFlow tells of what a data set raises in a text of its own.
        wrapped = wrapped_user_error(error)
        if wrapped is None:
            say_fault(settings.command())
            return 1
        print(f"error: {wrapped}", file=sys.stderr)
        return 2
    return 0


def _run(settings: Settings) -> None:
    # Not before the command line is read: it imports arrays and plots.
    from deepfm_tf.experiment.run import run

    run(settings)


def build_parser(recipe: Recipe) -> argparse.ArgumentParser:
    """The options, with the recipe's defaults."""
    models: Any = recipe.defaults.get("model", ("deepfm",))
    command = shell.command_line(*recipe.command_words)
    parser = Parser(
        prog=" ".join(recipe.command_words),
        description=recipe.description.format(command=command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--train",
        action=Collect,
        nargs="+",
        required="train" not in recipe.defaults,
        metavar="FILE",
        help="CSV, TSV or JSON lines (compressed or not) or Parquet files to "
        "learn from",
    )
    for name, use in (("valid", "when to stop"), ("test", "the final table")):
        data.add_argument(
            f"--{name}",
            action=Collect,
            nargs="+",
            metavar="FILE",
            help=f"files that decide {use}; without them a tenth of --train, "
            "drawn by --seed, is set aside",
        )
    if recipe.label is None:
        data.add_argument(
            "--label",
            required=True,
            metavar="COLUMN",
            help="the column that says whether there was a click",
        )
        words = ("1, true, t, yes, y", "0, false, f, no, n")
        for kind, usual in zip(("positive", "negative"), words, strict=True):
            data.add_argument(
                f"--{kind}-label",
                action=Collect,
                nargs="+",
                metavar="VALUE",
                help=f"label values that mean {usual[0]} (default: {usual})",
            )
        data.add_argument(
            "--example-weight",
            metavar="COLUMN",
            help="how much each row counts in the loss and the metrics",
        )
        data.add_argument(
            "--missing",
            action=Collect,
            nargs="+",
            metavar="VALUE",
            default=[],
            help="values that mean missing, besides the empty one (such as ?)",
        )
        data.add_argument(
            "--categorical",
            type=lambda text: tuple(text.split(",")),
            default=(),
            metavar="A,B,C",
            help="columns that are categories whatever they look like, such "
            "as numbers that name things",
        )
        data.add_argument(
            "--ignore",
            type=lambda text: tuple(text.split(",")),
            default=(),
            metavar="A,B,C",
            help="columns to leave out",
        )
        data.add_argument(
            "--schema",
            metavar="FILE",
            help="the fields, as JSON; without it they are inferred and "
            "written to RUN/schema.json, to be edited and given back here",
        )
    else:
        data.add_argument(
            "--min-count",
            type=positive_int,
            default=2,
            metavar="N",
            help="values seen less often than this share one id",
        )
    if recipe.text_format is None:
        data.add_argument(
            "--separator",
            type=separator,
            metavar="CHAR",
            help="what stands between columns: , or \\t or ', ' (a comma, "
            "then blanks that are dropped); default: by the file's name",
        )
        data.add_argument(
            "--no-header",
            action="store_true",
            help="the first line is data; name the columns with --columns",
        )
        data.add_argument(
            "--columns",
            type=lambda text: tuple(text.split(",")),
            metavar="A,B,C",
            help="names of all columns of a file without a header",
        )
        data.add_argument(
            "--no-quoting",
            action="store_true",
            help='a " is a character like any other',
        )
    data.add_argument(
        "--split-by-time",
        metavar="COLUMN",
        help="without --valid or --test, set aside the latest tenths of "
        "--train by this column, not random ones",
    )
    data.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="skip leaves out rows that cannot be read, and writes them to "
        "rejected.csv (default: raise)",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model",
        type=_models,
        default=("deepfm",),
        metavar="NAME[,NAME]",
        help=f"one or more of {', '.join(MODELS)} (default: "
        f"{', '.join(models)})",
    )
    model.add_argument(
        "--embedding-dim", type=positive_int, default=10, metavar="K"
    )
    model.add_argument(
        "--hidden-units",
        type=hidden_units,
        default=(30, 20, 10),
        metavar="N,N,N",
        help="widths of the hidden layers (default: 30,20,10)",
    )
    model.add_argument(
        "--dropout",
        type=share,
        default=0.1,
        metavar="P",
        help="drop probability after each hidden layer (default: 0.1)",
    )
    model.add_argument("--batch-norm", action="store_true")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default="lazy_adam",
        help="the lazy ones update only the rows of the table that a batch "
        "touches (default: lazy_adam)",
    )
    training.add_argument(
        "--mixed-bfloat16",
        action="store_true",
        help="matrix products in bfloat16: faster with wide hidden layers, "
        "where the hardware has it",
    )
    training.add_argument(
        "--learning-rate", type=positive_float, default=0.01, metavar="RATE"
    )
    training.add_argument(
        "--batch-size",
        type=positive_int,
        default=2048,
        metavar="N",
        help="examples in a step, over all replicas (default: 2048)",
    )
    training.add_argument(
        "--epochs", type=positive_int, default=30, metavar="N"
    )
    training.add_argument(
        "--patience",
        type=positive_int,
        default=2,
        metavar="N",
        help="stop after this many epochs without improvement on the "
        "validation data, and go back to the best (default: 2)",
    )
    training.add_argument(
        "--monitor",
        choices=("log_loss", "auc"),
        default="log_loss",
        help="what must improve (default: log_loss)",
    )
    learning.add_options(model, training)
    training.add_argument(
        "--replicas",
        type=positive_int,
        metavar="N",
        help="default: every GPU, or one replica on a CPU; more than one on "
        "a CPU makes logical devices, to try it out",
    )
    results = parser.add_argument_group("results")
    results.add_argument(
        "--run",
        type=Path,
        default=Path("runs") / recipe.name,
        metavar="DIR",
        help="checkpoints, logs and prepared data (default: %(default)s)",
    )
    results.add_argument(
        "--prepared",
        type=Path,
        metavar="DIR",
        help="where prepared data is kept for the next run (default: "
        "RUN/prepared)",
    )
    results.add_argument(
        "--resume",
        action="store_true",
        help="go on where a stopped run in the same --run left off",
    )
    results.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard's files"
    )
    exporting.add_options(results, hidden=not recipe.exports)
    results.add_argument(
        "--slice-by",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="A,B,C",
        help="report the metrics for each value of these fields too",
    )
    results.add_argument(
        "--group-by",
        metavar="COLUMN",
        help="add GAUC, the AUC within each group of test rows, such as those "
        "of a user: a column of the data, which need not be a field",
    )
    results.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write the results as JSON or, where the name ends in .html, as "
        "a page with plots, and the JSON beside it",
    )
    if recipe.add_options is not None:
        recipe.add_options(parser)
    parser.set_defaults(**recipe.defaults)
    return parser


def _settings(
    recipe: Recipe,
    options: argparse.Namespace,
    arguments: Sequence[str],
    parser: argparse.ArgumentParser,
) -> Settings:
    values = vars(options)
    text_format = recipe.text_format
    if text_format is None:
        if values["no_header"] != (values["columns"] is not None):
            parser.error("--no-header and --columns A,B,C go together")
        try:
            text_format = TextFormat(
                separator=values.pop("separator"),
                column_names=values.pop("columns"),
                quoting=not values.pop("no_quoting"),
            )
        except UserError as error:
            parser.error(told(error))
        values.pop("no_header")
    schema = recipe.schema(values.pop("min_count")) if recipe.schema else None
    if recipe.label is not None:
        values |= {
            "label": recipe.label,
            "schema": None,
            "positive_label": None,
            "negative_label": None,
            "missing": [],
            "categorical": (),
            "ignore": (),
            "example_weight": None,
        }
    values["schema_file"] = values.pop("schema")
    return recipe.settings(
        name=recipe.name,
        command_words=recipe.command_words,
        training_words=recipe.training_words or recipe.command_words,
        arguments=tuple(arguments),
        text_format=text_format,
        fixed_schema=schema,
        derive=recipe.derive,
        **values,
    )


def _models(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a model. Allowed, one or several between "
                f"commas: {', '.join(MODELS)}"
            )
    return names
