"""The options that say what is read, prepared and kept: declared here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deepfm_tf import shell
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.options.arguments import (
    names_among,
    path,
    positive_int,
    seed as seed_of_text,
    share_kept,
    split_field_file,
)
from deepfm_tf.fields.encoding import ENCODINGS
from deepfm_tf.files.layout import TextLayout, names_of_text
from deepfm_tf.options import Option, option, options_of

if TYPE_CHECKING:
    import pandas as pd

    from deepfm_tf import Schema, TextFormat, Vocabulary
    from deepfm_tf.experiment.options.recipe import Recipe

# The headings of `--help`, in their order.
GROUPS = ("data", "model", "training", "results", "comparison", "sweep")
REQUIRED = dataclasses.MISSING
_SET_ASIDE = (
    " (default: a random tenth of --train, see --split-by-time and --seed)"
)


_data = functools.partial(option, group="data")
_files = functools.partial(_data, metavar="FILE", takes_many=True)
# Of data that no recipe describes.
_own = functools.partial(_data, fixed_by="label")
_values = functools.partial(_own, metavar="VALUE", takes_many=True)
_results = functools.partial(option, group="results")


@dataclasses.dataclass(kw_only=True)
class Columns:
    """Which files and columns are read."""

    train: list[str] = _files(
        REQUIRED,
        "CSV, TSV or JSON lines (compressed or not) or Parquet files to learn "
        "from: paths or URLs of files, of folders, or with *",
    )
    valid: list[str] | None = _files(
        None, f"validation files, which decide when training stops{_SET_ASIDE}"
    )
    test: list[str] | None = _files(
        None, f"test files, for the final results{_SET_ASIDE}"
    )
    label: str = _own(
        REQUIRED,
        "column with the outcome, such as clicked or not",
        str,
        "COLUMN",
    )
    positive_label: list[str] | None = _values(
        None,
        "label values that mean 1",
        default_text="1, true, t, yes, y",
        argument="positive_labels",
    )
    negative_label: list[str] | None = _values(
        None,
        "label values that mean 0",
        default_text="0, false, f, no, n",
        argument="negative_labels",
    )
    example_weight: str | None = _own(
        None,
        "column with the weight of each row in the loss and the metrics",
        metavar="COLUMN",
        argument="example_weight",
    )
    missing: Sequence[str] = _values(
        (),
        "values that mean missing, such as ?; empty always does",
        argument="missing_values",
    )
    categorical: tuple[str, ...] = _own(
        (),
        "columns to treat as categorical, even if they hold numbers, such as "
        "ids",
        names_of_text,
        "A,B,C",
        argument="categorical",
    )
    ignore: tuple[str, ...] = _own(
        (), "columns to leave out", names_of_text, "A,B,C", argument="ignore"
    )
    schema_file: str | None = _own(
        None,
        "the fields, as JSON; by default they are inferred and written to "
        "RUN/schema.json, which you can edit and give back here",
        metavar="FILE",
        flag="--schema",
    )
    min_count: int = _data(
        2,
        "values seen less often than this share one id",
        positive_int,
        "N",
        needs="schema",
    )
    encodings: tuple[str, ...] = _data(
        (),
        "also give the model these numbers for each category or bucket: "
        f"{', '.join(ENCODINGS)} (its rows in --train, its click rate)",
        names_among(ENCODINGS, "number of a category"),
        "NAME[,NAME]",
        argument="encodings",
    )
    encoded_fields: tuple[str, ...] = _data(
        (),
        "fields that get --encodings",
        names_of_text,
        "A,B,C",
        default_text="all categorical and bucketized ones",
        argument="names",
    )


@dataclasses.dataclass(kw_only=True)
class DataSettings(TextLayout, Columns):
    """What decides the prepared data, and where they are.

    Args:
        recipe: the data set, and how it is read.
        command_name: the command, in `COMMANDS`.
        command_words: what the user typed before the options.
        recipe_name: what `--recipe` named, where there is that option.
        arguments: the options as they were typed.
    """

    # Whether `--report` names a folder.
    report_is_folder: ClassVar[bool] = False
    # The options that name fields.
    field_options: ClassVar[tuple[str, ...]] = ("encoded_fields",)
    recipe: Recipe
    command_words: tuple[str, ...] = ()
    command_name: str = "train"
    recipe_name: str | None = None
    arguments: tuple[str, ...] = ()
    # What groups the test rows: for metrics alone.
    group_by: str | None = None
    split_by_time: str | None = _data(
        None,
        "without --valid or --test, set aside the latest tenths of --train "
        "by this time column, instead of random ones",
        metavar="COLUMN",
    )
    on_error: str = _data(
        "raise",
        "rows that cannot be read: raise stops with an error; skip leaves "
        "them out and writes them to rejected.csv",
        choices=("raise", "skip"),
        argument="on_error",
    )
    dask: str | None = _data(
        None,
        "prepare the data on the workers of this Dask scheduler, such as "
        "tcp://10.0.0.1:8786; all workers must see the files, and RUN, under "
        "the same names",
        metavar="ADDRESS",
        is_kept=False,
    )
    negative_sampling: float = option(
        1.0,
        "train on this share of the negatives, chosen at random; the "
        "predicted probabilities are corrected for it",
        share_kept,
        "W",
        group="training",
        default_text="1, all of them",
        decides="training",
        argument="negative_sampling",
    )
    seed: int = option(
        1,
        "random seed, for the rows set aside, the initial weights and the "
        "order of examples",
        seed_of_text,
        "N",
        group="training",
        decides="training",
    )
    run: Path = _results(
        REQUIRED, "folder for checkpoints, logs and prepared data", path, "DIR"
    )
    prepared: Path | None = _results(
        None,
        "folder that keeps the prepared data for the next run",
        path,
        "DIR",
        default_text="RUN/prepared",
    )
    config: Path | None = _results(
        None,
        "file of options by name, .toml or .json, such as RUN/run.toml, "
        "which every run writes; options that you type take precedence",
        path,
        "FILE",
        is_kept=False,
    )

    @property
    def options(self) -> Mapping[str, Option]:
        """The options that there are."""
        return options_of(type(self))

    @property
    def text_format(self) -> TextFormat:
        """How text files are laid out."""
        return self.recipe.text_format or self.to_text_format()

    def columns_of(self, part: str) -> dict[str, str]:
        """The columns that options name in the files of a part.

        Args:
            part: str. `"train"`, `"valid"` or `"test"`.

        Returns:
            Column -> the option, empty where a recipe decides.
        """
        named = self._named("label", "example_weight")
        is_raw = self.derive is None
        if part == "train" and is_raw:
            named |= self._named("split_by_time")
            if self.schema_file is None and self.recipe.schema is None:
                named |= self._named("categorical", "ignore")
                named |= self.named_fields
        if is_raw and part == ("test" if self.test else "train"):
            named |= self._named("group_by")
        return named

    @property
    def named_fields(self) -> dict[str, str]:
        """The fields that options name -> the option.

        They are columns, if the schema is inferred.
        """
        return self._named(*self.field_options)

    def check_fields(self, schema: Schema) -> None:
        """Raise UserError for fields that options name, and there are not."""
        for field, flag in self.named_fields.items():
            try:
                schema.field(field)  # says what there is, if not this
            except UserError as error:
                raise UserError(f"{flag}: {error}") from error

    def _named(self, *attributes: str) -> dict[str, str]:
        """What options name -> the flag, empty where a recipe decides."""
        named: dict[str, str] = {}
        for attribute in attributes:
            value = getattr(self, attribute)
            declared = self.options.get(attribute)
            is_typed = declared is not None and self.recipe.offers(declared)
            flag = declared.flag if declared and is_typed else ""
            many = isinstance(value, (tuple, list))
            for name in value if many else [value]:
                if attribute == "embeddings":
                    name, _ = split_field_file(name)
                if name is not None:
                    named[name] = flag
        return named

    @property
    def fixed_schema(self) -> Schema | None:
        """The Schema, where the data set has one."""
        make = self.recipe.schema
        return None if make is None else self.encode(make(self.min_count))

    @property
    def extends(self) -> Vocabulary | None:
        """The vocabulary that the training data extend, if there is one."""
        return None

    def encode(self, schema: Schema) -> Schema:
        """A Schema with the `--encodings` that are asked for.

        Raises:
            UserError: an option names a field that it does not have.
        """
        self.check_fields(schema)
        if not self.encodings:
            return schema
        return schema.with_encodings(self.encodings, self.encoded_fields)

    @property
    def derive(self) -> Callable[[pd.DataFrame], pd.DataFrame] | None:
        """What makes the columns of the data set, where it has own ones."""
        return self.recipe.derive

    @property
    def prepared_folder(self) -> Path:
        """Where the prepared data are."""
        return self.prepared or self.run / "prepared"

    @property
    def kept(self) -> str:
        """What a stopped run leaves behind, in words."""
        return f"Each complete part is kept in {self.prepared_folder}"

    def command(self, resume: bool = False) -> str:
        """The command that was typed, or the one that goes on with it."""
        words = [*self.command_words, *self.arguments]
        if resume and not getattr(self, "resume", True):
            words.append("--resume")
        return shell.command_line(*words)
