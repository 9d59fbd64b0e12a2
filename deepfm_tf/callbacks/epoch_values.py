"""What an epoch leaves of a model's variables, in files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.callbacks.shard_files import (
    read_shards,
    shard_name,
    write_shard,
)
from deepfm_tf.kernels import local_value
from deepfm_tf.layers.table.stored_rows import write_rows
from deepfm_tf.row_shards import RowShards, is_sharded
from deepfm_tf.strategies import exchange

# For JSON: which variables lie in files of rows, rows of the table, and the
# files, with their checksums, by the number of the worker that wrote each.
Shared = Mapping[str, Any]


def variables_of(model: keras.Model) -> list[Any]:
    """What an epoch changes: weights, what dropout draws next, optimizer."""
    weights = model.weights
    known = set(map(id, weights))
    others = [v for v in model.variables if id(v) not in known]
    return [*weights, *others, *model.optimizer.variables]


def write_values(
    path: Path, model: keras.Model, weights: Sequence[Array] = ()
) -> None:
    """Write all variables but those that the workers have shared out.

    As `np.savez`, which would hold all of them in memory at once.

    Args:
        path: of the file.
        model: the model.
        weights: in the place of the model's own. Optional.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for number, variable in enumerate(variables_of(model)):
            if is_sharded(variable):
                continue
            with archive.open(f"{number}.npy", "w", force_zip64=True) as file:
                is_own = number >= len(weights)
                np.save(file, variable.numpy() if is_own else weights[number])


def write_shared(
    directory: Path,
    checkpoint: str,
    model: keras.Model,
    weights: Sequence[Array] = (),
) -> Shared | None:
    """Write this worker's rows, and wait until all have written theirs.

    Args:
        directory: of the checkpoints.
        checkpoint: name of the file of all other variables.
        model: the model.
        weights: in the place of the model's own. Optional.

    Returns:
        What `read_values` needs to read them; None if nothing is shared out.
    """
    variables = variables_of(model)
    numbers = [n for n, v in enumerate(variables) if is_sharded(v)]
    if not numbers:
        return None
    shards: RowShards = variables[numbers[0]].row_shards
    names = [
        shard_name(checkpoint, n, shards.count) for n in range(shards.count)
    ]
    checksum = write_shard(
        directory / names[shards.number],
        [
            weights[number]
            if number < len(weights)
            else local_value(variables[number])
            for number in numbers
        ],
    )
    told = exchange(model.distribute_strategy, f"{shards.number} {checksum}")
    checksums: dict[str, int] = {}
    for each in told:
        number, _, found = each.partition(" ")
        checksums[names[int(number)]] = int(found)
    return {
        "variables": numbers,
        "num_rows": variables[numbers[0]].num_rows,
        "files": {name: checksums[name] for name in names},
    }


def read_values(
    path: Path,
    shared: Shared | None,
    model: keras.Model,
    targets: Sequence[Any],
) -> None:
    """Put the values of an epoch where they belong.

    Args:
        path: what `write_values` wrote.
        shared: what `write_shared` gave. Optional.
        model: of which the files are, on any number of workers.
        targets: of the first variables: themselves, or arrays like them.

    Raises:
        UserError: rows are missing, or damaged.
    """
    numbers = shared["variables"] if shared else []
    variables = variables_of(model)
    others = [n for n in range(len(variables)) if n not in numbers]
    with np.load(path) as file:
        for name, number in zip(file.files, others, strict=True):
            if number >= len(targets):
                break
            target = targets[number]
            # Numpy writes what it does not know, bfloat16, as mere bytes.
            value = file[name].view(target.dtype)
            if is_sharded(variables[number]):  # by workers that shared nothing
                places, value = variables[number].row_shards.held(0, value)
                _put(target, places, value)
            elif isinstance(target, np.ndarray):
                target[...] = value
            else:
                target.assign(value)
    if not shared:
        return
    widths = [variables[number].shape[1] for number in numbers]
    blocks = read_shards(
        path.parent,
        shared["files"],
        sum(widths),
        shared["num_rows"],
        getattr(variables[numbers[0]], "row_shards", RowShards(0, 1)),
    )
    for places, values in blocks:
        parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
        for number, part in zip(numbers, parts, strict=True):
            if number < len(targets):
                _put(targets[number], places, part)


def _put(target: Any, places: Array, values: Array) -> None:
    if isinstance(target, np.ndarray):
        target[places] = values
    else:
        write_rows(target, places, values)
