"""Raw data once into a directory of vocabularies and fixed-width shards."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import itertools
import json
import os
import warnings
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from deepfm_tf.data.prepared.dataset import PreparedData
from deepfm_tf.data.prepared.manifest import is_prepared, write_manifest
from deepfm_tf.data.preparing.inputs import Inputs
from deepfm_tf.data.preparing.maps import Maps
from deepfm_tf.data.preparing.other_parts import OtherParts
from deepfm_tf.data.preparing.passes import write_data
from deepfm_tf.data.preparing.reuse import (
    known_digests,
    load_if_same,
    write_stamps,
)
from deepfm_tf.data.reading.part import Part
from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.data.reading.time_split import TimePart
from deepfm_tf.data.trained_files import warn_of_known_files, warn_of_same_day
from deepfm_tf.drift import warn_of_blanks, warn_of_drift
from deepfm_tf.errors import ExistingFileError, UserError
from deepfm_tf.files.folders import partition_of
from deepfm_tf.files.readers import Source, list_files
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.files.urls import is_url
from deepfm_tf.schema import Schema
from deepfm_tf.storage import sync, sync_tree, unpublished
from deepfm_tf.vocabulary import Vocabulary


def prepare(
    source: Source,
    directory: str | Path,
    *,
    schema: Schema | None = None,
    vocabulary: Vocabulary | None = None,
    extends: Vocabulary | None = None,
    text_format: TextFormat | None = None,
    part: Part | TimePart | None = None,
    on_error: str = "raise",
    executor: Executor | None = None,
) -> PreparedData:
    """Turn raw data into a directory that training reads at full speed.

    Training data is prepared with a `schema`, and a vocabulary is fitted on
    it; any other data with the training data's `vocabulary`. Training data of
    a further day is prepared with the vocabulary that it `extends`: ids stay,
    new values get ids behind them (see `grow_model`). The source is
    streamed, so it may be larger than memory. The directory appears when all
    is done: a killed run leaves nothing that looks complete. Preparing the
    same contents in the same way again does nothing, unless a file of the
    directory is damaged or absent; then a warning names it.

    Args:
        source: file name(s) of CSV, TSV or JSON lines (compressed or not) or
            Parquet, a DataFrame, an Arrow table, or a dict of arrays. A name
            may be a path or a URL (s3, gs, hdfs, abfs, file), of a file, of a
            folder of files, or with `*`. Of folders below that one, or behind
            the first `*`, that are called `day=2024-05-01`, `day` is a column.
        directory: where to put the result. Replaced if it holds prepared
            data; anything else there is left alone and refused.
        schema: the Schema, for training data.
        vocabulary: the Vocabulary of the training data, for other data.
        extends: the Vocabulary of the days before, for training data of a
            further day: see `Vocabulary.extended`.
        text_format: layout of text files. Defaults to a header line, and the
            separator that the file name suggests.
        part: the rows to take: a random share (`Part`) or an interval of time
            (of `split_by_time`). Defaults to all.
        on_error: `"raise"`, or `"skip"` to leave out rows that cannot be
            read; they are counted (`num_rejected`) and written, with the
            reason, to `rejected.csv` in the directory.
        executor: who does the work: any `concurrent.futures.Executor`, such
            as `dask.distributed.Client(...).get_executor()`. Each task takes
            one file, then one shard, and one CPU. The result is the same,
            byte for byte. All of its workers must see the files and the
            directory by the names that they have here. Defaults to threads
            of this process, one for each CPU.

    Returns:
        PreparedData.

    Raises:
        ValueError: a row cannot be read, a column is absent, there are no
            rows, the part keeps none of its negatives, a file changes while
            it is read; the message names file, line, column and value.

    Example:

    >>> import tempfile
    >>> from deepfm_tf import CategoricalField, Schema
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> prepared = prepare(data, tempfile.mkdtemp(), schema=schema)
    >>> prepared.num_rows, prepared.num_positives
    (3, 1)
    """
    return prepare_part(
        source,
        directory,
        schema=schema,
        vocabulary=vocabulary,
        extends=extends,
        text_format=text_format,
        part=part,
        on_error=on_error,
        executor=executor,
    )


def prepare_part(
    source: Source,
    directory: str | Path,
    *,
    schema: Schema | None = None,
    vocabulary: Vocabulary | None = None,
    extends: Vocabulary | None = None,
    text_format: TextFormat | None = None,
    part: Part | TimePart | None = None,
    on_error: str = "raise",
    executor: Executor | None = None,
    others: OtherParts | None = None,
) -> PreparedData:
    """`prepare`, of a source that other parts are prepared of next.

    Args:
        source, directory, schema, vocabulary, extends, text_format, part,
            on_error, executor: as of `prepare`.
        others: read with the first part, and taken from here afterwards.
    """
    given = [each for each in (schema, vocabulary, extends) if each is not None]
    if len(given) != 1:
        raise UserError(
            "Either `schema` (for training data), `vocabulary` (for other "
            "data) or `extends` (for training data of a further day) must be "
            f"given. Received: {('neither', '', 'both', 'all')[len(given)]}."
        )
    known = given[0] if isinstance(given[0], Schema) else given[0].schema
    if extends is not None:
        extends.check_may_change()
    if is_url(directory):
        raise UserError(
            "`directory` must be on a disk of this machine, or mounted here: "
            f"only inputs may be URLs. Received: {directory}. Name a path, "
            "and copy it from there.",
            argument="directory",
        )
    directory = Path(directory)
    # Once: files may come to a folder meanwhile.
    files = list_files(source)
    source = source if files is None else files
    reading = Reading(source, known, text_format, part, on_error)
    _check_replaceable(directory)
    recipe = _recipe(reading, vocabulary, extends)
    maps = Maps(executor)
    inputs = (others.inputs if others else None) or Inputs(
        reading.by_file(maps.is_elsewhere),
        files,
        known_digests(directory),
        maps.run,
    )
    if extends is not None:
        warn_of_same_day(inputs, extends)
    done = load_if_same(directory, recipe, inputs)
    if done is not None:
        _warn(done, schema, vocabulary, part)
        return done
    # The link stays where the directory is one.
    place = directory.resolve()
    try:
        with unpublished(place.parent, f".{place.name}.", ".tmp") as temporary:
            new = temporary / "new"
            new.mkdir()
            manifest = write_data(
                *(new, reading, inputs, vocabulary, extends, maps, others)
            )
            manifest |= {"recipe": recipe, "sources": inputs.digests()}
            inputs.check_unchanged()
            write_manifest(new, manifest)
            write_stamps(new, manifest, inputs)
            _replace(new, place)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(
            errno.ENOSPC,
            f"The disk of {directory.parent} is full; nothing was kept. Make "
            "room, or prepare into another directory",
        ) from error
    prepared = PreparedData.load(directory)
    _warn(prepared, schema, vocabulary, part)
    return prepared


def _recipe(
    reading: Reading,
    vocabulary: Vocabulary | None,
    extends: Vocabulary | None,
) -> dict[str, Any]:
    """Everything but the data that decides what comes out."""
    text_format = reading.text_format or TextFormat()
    part = dataclasses.asdict(reading.part) if reading.part else None
    if part:
        # The name in files: data of versions before 0.5 is used again.
        part["negatives"] = part.pop("negative_sampling")
    recipe: dict[str, Any] = {
        "schema": dataclasses.replace(reading.schema, notes=()).to_dict(),
        "vocabulary": vocabulary.fingerprint() if vocabulary else None,
        "text_format": dataclasses.asdict(text_format),
        "part": part,
        "on_error": reading.on_error,
    }
    if part and len(list_files(reading.source) or ()) > 1:
        # Until 0.6 other rows were drawn of all files but the first.
        recipe["blocks"] = "numbered by file"
    folders = [
        {n: v for n, v in partition_of(path).items() if n in reading.columns}
        for path in list_files(reading.source) or ()
    ]
    if any(folders):  # of which no digest of a file tells
        recipe["folders"] = folders
    if extends is not None:
        recipe["extends"] = extends.fingerprint()
    return dict(json.loads(json.dumps(recipe)))


def _warn(
    prepared: PreparedData,
    schema: Schema | None,
    vocabulary: Vocabulary | None,
    part: Part | TimePart | None,
) -> None:
    """Warn of what no error is, and hardly meant."""
    if vocabulary is None or part is None:
        warn_of_known_files(prepared, vocabulary is None)
    if prepared.num_positives in (0, prepared.num_rows):
        warnings.warn(
            f"Every label is {int(prepared.num_positives > 0)} in the "
            f"{prepared.num_rows:,} rows: there is nothing to tell apart.",
            stacklevel=4,
        )
    if schema is not None:
        warn_of_blanks(prepared.vocabulary, stacklevel=4)
    warn_of_drift(prepared.drift, prepared.directory.name, stacklevel=4)


def _check_replaceable(directory: Path) -> None:
    if directory.is_dir() and (
        is_prepared(directory) or not any(directory.iterdir())
    ):
        return
    if directory.exists():
        raise ExistingFileError(
            f"{directory} exists and does not hold prepared data; nothing in "
            "it was touched. Name another directory, or remove it yourself."
        )


def _replace(new: Path, directory: Path) -> None:
    """Rename a directory to its place, over what is there."""
    sync_tree(new)
    for number in itertools.count():
        old = new.with_name(f"old-{number}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, old)
        try:
            os.rename(new, directory)
            break
        except OSError as error:
            # Another run may have put its own there in between.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                with contextlib.suppress(OSError):
                    os.rename(old, directory)
                raise
    sync(directory.parent)
