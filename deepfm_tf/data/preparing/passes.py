"""The two maps of a preparation, and the merge of counts between them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any

from deepfm_tf.data.prepared.manifest import (
    CHECKSUMS_FILE,
    VOCABULARY_DIRECTORY,
)
from deepfm_tf.data.prepared.packing import RowLayout
from deepfm_tf.data.prepared.rejected import RejectedWriter
from deepfm_tf.data.preparing.file_counts import FileCounts
from deepfm_tf.data.preparing.inputs import Inputs
from deepfm_tf.data.preparing.maps import Maps
from deepfm_tf.data.preparing.other_parts import OtherParts, with_others
from deepfm_tf.data.preparing.shard_writer import Encoder, shard_tasks
from deepfm_tf.data.reading.out_of_fold import OutOfFold, TrainingRows
from deepfm_tf.data.reading.spill import SpilledBlocks
from deepfm_tf.data.reading.stream import Reading
from deepfm_tf.drift import DataCounts, plain_comparison
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.files.readers import check_headers, list_files
from deepfm_tf.vocabulary import Vocabulary


def write_data(
    directory: Path,
    reading: Reading,
    inputs: Inputs,
    vocabulary: Vocabulary | None,
    extends: Vocabulary | None,
    maps: Maps,
    others: OtherParts | None,
) -> dict[str, Any]:
    """Fill a directory, and say what is in it.

    Args:
        directory: an empty one; what is needed for a while is put beside it.
        reading: Reading of all rows.
        inputs: of the same; learns their digests.
        vocabulary: None if it is to be fitted.
        extends: what the fitted one goes on from, or None.
        maps: Maps.
        others: OtherParts, or None.
    """
    is_counted = vocabulary is None
    taken = None if others is None else others.take(reading, directory)
    if taken is None:
        spilled = SpilledBlocks(directory.with_name("blocks"))
        spilled.directory.mkdir()
        total = _count(
            *(directory, reading, inputs, spilled, is_counted, maps, others)
        )
    else:
        total, spilled = taken
    encodings = folds = None
    if vocabulary is None:
        vocabulary = total.counts.finish()
        days = [[entry["digest"] for entry in inputs.digests()]]
        vocabulary.files_of_days = days
        if extends is not None:
            vocabulary = extends.extended(vocabulary)
        if any(field.encodings for field in reading.schema.fields):
            read = functools.partial(spilled.map_blocks, total.rows)
            encodings = OutOfFold.count(vocabulary, read)
            vocabulary = encodings.vocabulary
            vocabulary.files_of_days = days
            folds = directory.with_name("folds")
            encodings.save(folds)
    elif vocabulary.value_encodings:
        known = TrainingRows(vocabulary)
        for sums in spilled.map_blocks(total.rows, known.count):
            known.add(sums)
        known.refuse()
    num_rows = sum(total.rows.values())
    if total.num_sampled_out and total.num_positives == num_rows:
        raise _no_negatives(
            reading.part, total.num_positives, total.num_sampled_out
        )
    if not num_rows:
        share = f" in the part {reading.part}" if reading.part else ""
        num_rejected = total.num_rejected
        left_out = f"; {num_rejected} rows were rejected" * bool(num_rejected)
        name = ", ".join(list_files(reading.source) or ["the data"])
        raise UserError(
            f"The data must have at least one row{share}. Received: none in "
            f"{name}{left_out}."
        )
    vocabulary.save(directory / VOCABULARY_DIRECTORY, with_seen=is_counted)
    if is_counted:
        vocabulary.seen = None  # on the disk, no longer in memory
    counts = DataCounts(vocabulary, reading.negative_sampling)
    encoder = Encoder(vocabulary, encodings)
    tasks = shard_tasks(total.rows, spilled, directory, folds)
    sizes = {}
    with open(directory / CHECKSUMS_FILE, "wb") as checksums:
        shards = maps.write(tasks, encoder, num_rows)
        for task, shard in zip(tasks, shards, strict=True):
            sizes[shard.name] = shard.size
            checksums.write(shard.checksums)
            counts.add(shard.counts)
            for piece in task.pieces:
                if piece.stop == total.rows[piece.block]:
                    spilled.path(piece.block).unlink()
    return {
        "num_rows": num_rows,
        "num_positives": total.num_positives,
        "num_rejected": total.num_rejected,
        "shards": sizes,
        "layout": dataclasses.asdict(RowLayout.of(vocabulary.schema)),
        **plain_comparison(counts),
    }


def _count(
    directory: Path,
    reading: Reading,
    inputs: Inputs,
    spilled: SpilledBlocks,
    is_counted: bool,
    maps: Maps,
    others: OtherParts | None,
) -> FileCounts:
    """All that the inputs hold; rows that cannot be read are written."""
    if list_files(reading.source) is not None:
        # Of all of them: the last may be hours away.
        check_headers(reading.source, reading.columns, reading.text_format)
    places = {} if others is None else others.places(reading)
    tasks = [
        with_others(task, places) for task in inputs.tasks(spilled, is_counted)
    ]
    total, digests = FileCounts.of(tasks[0]), []
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(RejectedWriter(place))
            for place in (directory, *places.values())
        ]
        for found in maps.count(tasks, reading):
            parts = [found, *found.others]
            for part, rejected in zip(parts, writers, strict=True):
                rejected.write(part.rejected)
                part.rejected = []  # on the disk; there may be very many
            digests.append(found.digest)
            total.merge(found)
    inputs.add_digests(digests)
    if others is not None:
        others.keep(inputs, places, total.others)
    return total


def _no_negatives(
    part: Any, num_positives: int, num_negatives: int
) -> UserError:
    share = min(num_positives / num_negatives, 1.0)
    advice = ""
    if share:
        advice = f"{share:.2g} keeps about as many as there are positives; "
    return UserError(
        Argument("negative_sampling"),
        " must leave at least one row whose label is 0. Received: ",
        Argument("negative_sampling", part.negative_sampling),
        f", which keeps none of {num_negatives:,}, beside {num_positives:,} "
        f"rows whose label is 1. Pass a larger share: {advice}1 keeps all.",
        argument="negative_sampling",
    )
