"""The input files: what is known of them early, and columns made of theirs."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import deepfm_tf
from deepfm_tf import shell
from deepfm_tf.cluster import read_cluster
from deepfm_tf.files import readers
from deepfm_tf.files.paths import expanded
from deepfm_tf.files.urls import identity_of, is_url
from deepfm_tf.schema import labels

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.data_settings import DataSettings

Derive = Callable[[pd.DataFrame], pd.DataFrame]
# Of the files that are made: those of another are made anew.
_FORMAT_VERSION = 2
# Far more rows in common than by chance.
_MANY_SHARED = 0.05
_LEAST_SHARED = 10
_CHUNK = 2**22


def load_schema(path: str) -> deepfm_tf.Schema:
    """The schema of `--schema`, with errors that speak of it.

    Args:
        path: the file.
    """
    try:
        return deepfm_tf.Schema.load(path)
    except deepfm_tf.UserError as error:
        # What it is about is in the file, not an option of that name.
        raise deepfm_tf.UserError(f"--schema {error}") from error


def check_headers(settings: DataSettings) -> None:
    """Raise UserError unless each file has the columns that are named.

    Args:
        settings: the options.
    """
    for part, files in _sources(settings).items():
        columns = settings.columns_of(part)
        readers.check_headers(files, columns, settings.text_format)


class FirstRows:
    """The first rows of all files, read while TensorFlow is imported.

    Args:
        settings: the options.
    """

    def __init__(self, settings: DataSettings) -> None:
        self._heads: dict[str, Future[deepfm_tf.data.Head]] = {}
        if settings.fixed_schema is not None or not read_cluster().is_chief:
            return  # nobody asks
        pool = ThreadPoolExecutor(1, thread_name_prefix="deepfm_tf-first-rows")
        text_format = settings.text_format
        for part, files in _sources(settings).items():
            columns = [settings.label]
            if part == "train" and settings.schema_file is None:
                left_out = ("", settings.example_weight, *settings.ignore)
                names = deepfm_tf.data.column_names(files, text_format)
                columns += [name for name in names if name not in left_out]
            self._heads[part] = pool.submit(
                deepfm_tf.data.Head, files, columns, text_format
            )
        pool.shutdown(wait=False)

    def labels(self, label: str) -> list[dict[str, int]]:
        """How often each label stands in each part, "" where it is missing."""
        return [head.result().labels(label) for head in self._heads.values()]

    def take_training(self) -> deepfm_tf.data.Head:
        """Those of the training files, which are not kept any longer."""
        return self._heads.pop("train").result()


def check_targets(settings: DataSettings, first_rows: FirstRows) -> None:
    """Raise UserError unless the labels can be read.

    Also warns where one file is given twice.

    Args:
        settings: the options.
        first_rows: of its files.
    """
    sources = _sources(settings)
    for name in ("valid", "test"):
        if name in sources:
            _say_same_files(sources["train"], sources[name], f"--{name}")
    if settings.fixed_schema is None:
        _check_labels(settings, first_rows)


def check_columns(settings: DataSettings, schema: deepfm_tf.Schema) -> None:
    """Raise UserError unless each file has the columns of the fields.

    Args:
        settings: the options.
        schema: the Schema.
    """
    columns = [field.name for field in schema.fields]
    columns += schema.target_columns
    for files in _sources(settings).values():
        if settings.derive is None:
            readers.check_headers(files, columns, settings.text_format)
        else:
            check_derived(settings, settings.derive, files, columns)


def say_shared_rows(
    train: deepfm_tf.PreparedData, other: deepfm_tf.PreparedData, option: str
) -> None:
    """Warn where far more rows than by chance are training rows.

    Args:
        train: the training data.
        other: the validation or test data.
        option: what gave them.
    """
    overlap = deepfm_tf.data.shared_rows(train, other)
    if (
        overlap.shared >= _LEAST_SHARED
        and overlap.share - overlap.by_chance > _MANY_SHARED
    ):
        warnings.warn(
            f"{overlap.share:.1%} of the rows of {option} are also in "
            "--train, label included; by chance it would be "
            f"{overlap.by_chance:.1%}. The metrics then measure how well the "
            "model remembers rows, not how well it predicts new ones: remove "
            "these rows from one of the two.",
            stacklevel=2,
        )


def _sources(settings: DataSettings) -> dict[str, list[str]]:
    parts = {
        "train": settings.train,
        "valid": settings.valid,
        "test": settings.test,
    }
    return {name: files for name, files in parts.items() if files}


def _check_labels(settings: DataSettings, first_rows: FirstRows) -> None:
    positive, negative = labels.explicit_labels(
        tuple(settings.positive_label or labels.POSITIVE_LABELS),
        tuple(settings.negative_label or labels.NEGATIVE_LABELS),
    )
    where = None
    if settings.schema_file is not None:
        schema = load_schema(settings.schema_file)
        positive, negative = schema.positive_labels, schema.negative_labels
        where = settings.schema_file
    if set(positive) & set(negative):
        return  # the schema will say so
    counts: dict[str, int] = {}
    is_readable = True
    for found in first_rows.labels(settings.label):
        known = [v for v in found if v in positive or v in negative]
        is_readable &= bool(known)
        for value, count in found.items():
            counts[value] = counts.get(value, 0) + count
    chosen = labels.two_labels(counts, positive, negative)
    if chosen is None or (settings.on_error == "skip" and is_readable):
        return
    one, zero = chosen
    how = (
        f"{shell.option('--positive-label', *one)} "
        f"{shell.option('--negative-label', *zero)}"
    )
    if where is not None:
        how = f"positive_labels {one} and negative_labels {zero} in {where}"
    raise deepfm_tf.UserError(
        labels.say_two_labels(settings.label, counts, chosen, how)
    )


def _say_same_files(train: list[str], other: list[str], option: str) -> None:
    for ours in expanded(train):
        for theirs in expanded(other):
            first, second = Path(ours), Path(theirs)
            if is_url(ours) or is_url(theirs):
                if ours != theirs:
                    continue  # they are not fetched for this
                how = f"both name {theirs}"
            elif first.samefile(second):
                how = f"both name {theirs}"
            elif _have_same_content(first, second):
                how = f"have the same rows: {ours} and {theirs} are equal"
            else:
                continue
            warnings.warn(
                f"--train and {option} {how}. The metrics then measure how "
                "well the model remembers rows, not how well it predicts new "
                "ones.",
                stacklevel=2,
            )


def _have_same_content(first: Path, second: Path) -> bool:
    size = first.stat().st_size
    if not size or size != second.stat().st_size:
        return False
    return _digest(first) == _digest(second)


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.digest()


def check_derived(
    settings: DataSettings, derive: Derive, files: list[str], columns: list[str]
) -> None:
    """Raise UserError unless each file will have certain columns.

    Args:
        settings: the options.
        derive: what makes the columns, of a chunk of rows.
        files: of any format.
        columns: names.
    """
    for file in expanded(files):
        _check_file(settings, derive, file, columns)


def _check_file(
    settings: DataSettings, derive: Derive, file: str, columns: list[str]
) -> None:
    names = deepfm_tf.data.column_names([file], settings.text_format)
    try:
        made = derive(pd.DataFrame(columns=names, dtype=str)).columns
        absent = [repr(name) for name in columns if name not in made]
    except KeyError as error:  # one that others are made of
        absent = [str(error)]
    if absent:
        raise deepfm_tf.UserError(
            f"{file} has no column {absent[0]}. Its columns are: "
            f"{', '.join(names)}."
        )


def derived_files(
    settings: DataSettings, derive: Derive, files: list[str]
) -> list[str]:
    """The files with the recipe's own columns, as Parquet in the run.

    Rows that cannot be read or derived are refused or, with `--on-error
    skip`, left out and written to a file.

    Args:
        settings: the options.
        derive: what makes the columns, of a chunk of rows.
        files: of any format. Those that are derived already are not read
            again.
    """
    parts: list[str] = []
    for file in expanded(files):
        directory = (
            settings.run / "derived" / _derived_digest(settings, derive, file)
        )
        if not directory.is_dir():
            temporary = directory.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            deepfm_tf.data.write_derived(
                file,
                temporary,
                derive,
                text_format=settings.text_format,
                on_error=settings.on_error,
            )
            temporary.rename(directory)
        rejected = directory / "rejected.csv"
        if rejected.is_file():
            count = len(pd.read_csv(rejected, usecols=["line"]))
            print(f"{file}: {count:,} rows rejected ({rejected})")
        parts += sorted(str(path) for path in directory.glob("*.parquet"))
    return parts


def _derived_digest(settings: DataSettings, derive: Derive, file: str) -> str:
    """Of all that decides what is made of a file."""
    looks: object
    if is_url(file):
        looks = file, identity_of(file)
    else:
        stat = Path(file).stat()
        # `cp -p` sets the time of the last write, but not that of the change.
        looks = (
            *(str(Path(file).resolve()), stat.st_dev, stat.st_ino),
            *(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns),
        )
    key = repr(
        (
            looks,
            _FORMAT_VERSION,
            settings.text_format,
            settings.on_error,
        )
    )
    # The whole module: what `derive` calls stands there too.
    code = Path(inspect.getfile(derive)).read_bytes()
    return hashlib.blake2b(key.encode() + code, digest_size=8).hexdigest()


def opening(settings: DataSettings) -> str:
    """The first line of a run: on what, how it is split, which models.

    Args:
        settings: the options.
    """
    parts = {name: _shown(files) for name, files in _sources(settings).items()}
    drawn = [name for name in ("valid", "test") if name not in parts]
    if drawn:
        each = "each " * (len(drawn) > 1)
        parts[" and ".join(drawn)] = (
            f"{each}a random tenth of its rows (seed {settings.seed})"
            if settings.split_by_time is None
            else f"{each}the latest tenth by {settings.split_by_time}"
        )
    models = getattr(settings, "model", ())  # not of `prepare`
    if models:
        parts["model" if len(models) == 1 else "models"] = ", ".join(models)
    shown = " · ".join(f"{name}: {text}" for name, text in parts.items())
    return f"deepfm_tf {deepfm_tf.__version__} · {shown}"


def _shown(files: Sequence[str]) -> str:
    """The names, or how many there are; their size if it is known."""
    paths = expanded(files)
    text = ", ".join(Path(path).name for path in paths)
    if len(paths) > 3:
        text = f"{len(paths)} files"
    if any(map(is_url, paths)):
        return text
    size = sum(Path(path).stat().st_size for path in paths)
    return f"{text} ({size / 1e6:,.1f} MB)"
