"""What an epoch leaves of a model's variables, in files."""

from __future__ import annotations

import io
import math
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.callbacks.shard_files import (
    BLOCK_ROWS,
    HINT,
    blocks_of,
    numpy_header,
    read_shards,
    shard_name,
    write_shard,
)
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.kernels import has_equal_copies, local_value
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


def small_values(model: keras.Model) -> list[bytes]:
    """The values of all variables but tables, to compare them later."""
    return [
        variable.numpy().tobytes()
        for variable in variables_of(model)
        if not is_sharded(variable) and not _is_large(variable)
    ]


def write_values(
    path: Path,
    model: keras.Model,
    weights: Sequence[Array] = (),
    stopped: threading.Event | None = None,
) -> None:
    """Write all variables but those that the workers have shared out.

    As `np.savez` would, but of a table only some rows are in memory twice.

    Args:
        path: of the file.
        model: the model.
        weights: in the place of the model's own. Optional.
        stopped: once it is set, the rest is not written. Optional.
    """
    stopped = stopped or threading.Event()
    with zipfile.ZipFile(path, "w") as archive:
        for number, variable in enumerate(variables_of(model)):
            if is_sharded(variable):
                continue
            with archive.open(f"{number}.npy", "w", force_zip64=True) as file:
                if number < len(weights):
                    values = weights[number]
                elif has_equal_copies(variable):
                    values = local_value(variable)
                else:
                    values = variable.numpy()
                for data in _written(values):
                    if stopped.is_set():
                        return
                    file.write(data)


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
        targets: of the first variables: themselves, arrays like them, or None
            for one that is only to be checked.

    Raises:
        UserError: a file is missing, or damaged.
    """
    numbers = shared["variables"] if shared else []
    variables = variables_of(model)
    others = [n for n in range(len(variables)) if n not in numbers]
    for place, shape, first_row, values in _stored(path, len(others)):
        number = others[place]
        if number >= len(targets):
            break
        target, variable = targets[number], variables[number]
        if target is None:
            continue
        # Numpy writes what it does not know, bfloat16, as mere bytes.
        values = values.view(target.dtype)
        if is_sharded(variable):  # by workers that shared nothing
            _put(target, *variable.row_shards.held(first_row, values))
        elif shape != tuple(target.shape):
            raise UserError(
                f"{path} must hold the values of this model. Received: shape "
                f"{shape} for a variable of shape {tuple(target.shape)}."
            )
        elif values.shape != shape:
            places = np.arange(first_row, first_row + len(values))
            _put(target, places, values)
        elif isinstance(target, np.ndarray):
            target[...] = values
        else:
            target.assign(values)
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
            if number < len(targets) and targets[number] is not None:
                _put(targets[number], places, part)


def _is_large(values: Any) -> bool:
    shape = tuple(values.shape)
    return bool(shape) and shape[0] > BLOCK_ROWS


def _written(values: Any) -> Iterator[bytes]:
    """What `np.save` would write, without a copy of all of it."""
    if not _is_large(values):
        file = io.BytesIO()
        is_array = isinstance(values, np.ndarray)
        np.save(file, values if is_array else values.numpy())
        yield file.getvalue()
        return
    for number, block in enumerate(blocks_of(values)):
        if not number:
            yield numpy_header(tuple(values.shape), block.dtype)
        yield block.tobytes()


def _stored(
    path: Path, count: int
) -> Iterator[tuple[int, tuple[int, ...], int, Array]]:
    """Place, shape, first row and some rows of each array in a file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != count:
                raise zipfile.BadZipFile(
                    f"{len(names)} arrays in place of {count}"
                )
            for place, name in enumerate(names):
                with archive.open(name) as file:
                    for shape, first_row, values in _rows_of(file):
                        yield place, shape, first_row, values
    except FileNotFoundError as error:
        raise MissingFileError(
            f"{path} is missing. It holds the weights of an epoch. {HINT}"
        ) from error
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise UserError(
            f"{path} must hold what was written after an epoch. Received: "
            f"other bytes, so the file is damaged ({error}). {HINT}"
        ) from error


def _rows_of(
    file: IO[bytes],
) -> Iterator[tuple[tuple[int, ...], int, Array]]:
    np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
    if not shape:
        yield shape, 0, np.frombuffer(file.read(), dtype).reshape(shape)
        return
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    # At least one read, which finds out at its end whether the sum is right.
    for start in range(0, max(1, shape[0]), BLOCK_ROWS):
        num_rows = min(BLOCK_ROWS, shape[0] - start)
        values = np.frombuffer(file.read(num_rows * row_bytes), dtype)
        yield shape, start, values.reshape(num_rows, *shape[1:])


def _put(target: Any, places: Array, values: Array) -> None:
    if isinstance(target, np.ndarray):
        target[places] = values
    else:
        write_rows(target, places, values)
