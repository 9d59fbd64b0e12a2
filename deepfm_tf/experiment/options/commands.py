"""The commands that read data: what each takes, checks and runs."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deepfm_tf.experiment.options.arguments import (
    names_among,
    path,
    positive_int,
    share,
    values_of,
    whole_number,
)
from deepfm_tf.experiment.options.continue_settings import CONTINUE
from deepfm_tf.experiment.options.data_settings import GROUPS, DataSettings
from deepfm_tf.experiment.options.export_settings import ExportSettings
from deepfm_tf.experiment.options.settings import ACTIVATIONS, MODELS, Settings
from deepfm_tf.experiment.options.structures import SHAPES
from deepfm_tf.options import Option, option, options_of

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.recipe import Recipe

# Simple ones first: the order of tables and plots.
ORDER = ("logistic_regression", "fm", "nfm", "wide_and_deep", "deepfm")
# What the lists say in a sweep.
SWEPT = ("hidden_units", "activation", "dropout", "embedding_dim")
# Which data set, where there are several: it decides what else there is.
RECIPE = Option(
    "read the data as this recipe does, with its options and defaults",
    "data",
    name="recipe",
    flag="--recipe",
    default="tabular",
)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that reads data.

    Args:
        name: str.
        settings: what holds its options.
        check, run: `"module:function"`, called with the settings. What is
            known before numpy is imported is checked first.
        description: str or None. As of a Recipe, whose own is the default.
        defaults: of options, over those of the recipe.
        hidden: options that `--help` keeps silent about.
    """

    name: str
    settings: type[DataSettings]
    check: str
    run: str
    description: str | None = None
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    def check_and_run(self, settings: DataSettings) -> None:
        """Do what the command does."""
        for function in (self.check, self.run):
            module, _, name = function.partition(":")
            found = importlib.import_module(f"deepfm_tf.experiment.{module}")
            getattr(found, name)(settings)

    def folder(self, recipe: Recipe) -> Path:
        """Where a run is kept, unless `--run` names another place."""
        return Path("runs") / (self.name if self.description else recipe.name)

    def rank(self, declared: Option) -> int:
        """Where an option's heading stands."""
        return GROUPS.index(declared.group)


def options_for(command: Command, recipe: Recipe) -> dict[str, Option]:
    """The options of a command, for a data set."""
    return {
        name: declared
        for name, declared in options_of(command.settings).items()
        if recipe.offers(declared)
    }


def _several(text: str) -> int:
    try:
        return whole_number(2)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{error}: one run does not show seed-to-seed variation"
        ) from None


def _factor(default: str, parse: Callable[[str], Any], text: str) -> Any:
    """The values of a factor, the base's first."""
    return option(
        parse(default),
        f"{text}, the base's first",
        parse,
        "A,B",
        group="sweep",
        decides="results",
    )


@dataclasses.dataclass(kw_only=True)
class ManySettings(Settings):
    """The options of a command that trains many models."""

    report_is_folder: ClassVar[bool] = True
    report: Path | None = option(
        None,
        "folder for the page, table, JSON and plots",
        path,
        "DIR",
        group="results",
        default_text="RUN/report",
    )

    def __post_init__(self) -> None:
        self.report = self.report or self.run / "report"


@dataclasses.dataclass(kw_only=True)
class CompareSettings(ManySettings):
    """The options of a comparison."""

    seeds: int = option(
        5,
        "runs of each model, with the seeds --seed, --seed + 1, ...; only "
        "--seed decides the split of the data",
        positive_int,
        "N",
        group="comparison",
    )
    curve_every: int | None = option(
        None,
        "training steps between two points of the learning curves; the end "
        "of each epoch is also a point",
        positive_int,
        "STEPS",
        group="comparison",
        default_text="5 points an epoch, but at least 10 steps",
        decides="results",
    )


@dataclasses.dataclass(kw_only=True)
class SweepSettings(ManySettings):
    """The options of a sweep."""

    model: tuple[str, ...] = option(
        ("deepfm",),
        f"one of {', '.join(MODELS)}",
        names_among(tuple(MODELS), "model"),
        "NAME",
        group="model",
        decides="results",
    )
    trials: int = option(
        20,
        (
            "number of structures that the search tries after the single "
            "changes; 0 for no search"
        ),
        whole_number(0),
        "N",
        group="sweep",
    )
    seeds: int = option(
        5,
        "runs of the base, and at the end of the best structure, with the "
        "seeds --seed, --seed + 1, ...; they show the seed-to-seed variation",
        _several,
        "N",
        group="sweep",
    )
    depths: tuple[int, ...] = _factor(
        "3,1,2,4", values_of(positive_int), "numbers of hidden layers"
    )
    widths: tuple[int, ...] = _factor(
        "128,32,400",
        values_of(positive_int),
        "mean widths of the hidden layers",
    )
    shapes: tuple[str, ...] = _factor(
        ",".join(SHAPES),
        values_of(str, SHAPES),
        f"shapes, of {', '.join(SHAPES)}",
    )
    activations: tuple[str, ...] = _factor(
        "relu,tanh",
        values_of(str, ACTIVATIONS),
        f"activations, of {', '.join(ACTIVATIONS)}",
    )
    dropouts: tuple[float, ...] = _factor(
        "0.1,0,0.3,0.5", values_of(share), "drop probabilities"
    )
    embedding_dims: tuple[int, ...] = _factor(
        "10,4,20", values_of(positive_int), "embedding dimensions"
    )


# What training many models always does, and never.
_MANY = {"resume": True, "export": None}
_NOT_FOR_MANY = ("resume", "auto", *CONTINUE, *options_of(ExportSettings))
COMMANDS = {
    command.name: command
    for command in (
        Command("train", Settings, "checks:check", "run:run"),
        Command(
            "compare",
            CompareSettings,
            "checks:check_comparison",
            "studies.compare:compare",
            """\
Train models with several seeds on the same data, and compare them: a table of
means and standard deviations, learning curves, differences with intervals.

    {command} --train clicks.csv --label clicked --seeds 5

Finished runs are kept: after Ctrl-C, the same command continues. With more
--seeds or other models, it trains only the missing runs.
""",
            _MANY | {"model": ORDER},
            _NOT_FOR_MANY,
        ),
        Command(
            "sweep",
            SweepSettings,
            "checks:check_sweep",
            "studies.sweep:sweep",
            """\
Compare structures of the hidden layers: first change each factor alone (depth,
width, shape, activation, dropout, embedding dimension) and compare the effect
with the seed-to-seed variation; then search over all factors (Optuna).

    {command} --train clicks.csv --label clicked --trials 20

The first value of each list is the base. All shapes have the same number of
units: with 3 layers of mean width 200, constant is 200-200-200, pyramid
300-200-100, inverted 100-200-300 and diamond 150-300-150 (Guo et al., 2017,
section 3.3).
The validation data decide; only the base and the best are measured on the test
data.
Finished trials are kept: after Ctrl-C, the same command continues.
""",
            # Known, so that they can be refused with what to say instead.
            _MANY | {"model": ("deepfm",)} | dict.fromkeys(SWEPT),
            (*_NOT_FOR_MANY, *SWEPT),
        ),
        Command(
            "prepare",
            DataSettings,
            "checks:check_data",
            "data:prepare_and_say",
            """\
Read the data, count their values and turn them into ids once. Each training
on them then starts without delay.

    {command} --train clicks.csv --label clicked --prepared data/clicks
""",
        ),
    )
}
