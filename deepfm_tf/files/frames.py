"""Frames, tables, dicts of arrays and other columns, as Arrow arrays."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.files.bad_row import BadRow
from deepfm_tf.raw_values import cell_text, from_elements, shown

# Some rows of a column, from one number to another, as an Arrow array.
Slice = Callable[[int, int], pa.Array]

# Types of objects that Arrow takes as they are, where a column has no others.
_PLAIN: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
}
_MISSING_TYPES = (type(None), type(pd.NA), type(pd.NaT))


def to_arrow(values: Any, name: str) -> pa.Array:
    """A column as an Arrow array, from which its texts can be read.

    Columns of one type keep it. Objects of several types are converted one by
    one, to the type `raw_values.ELEMENTS`, so that a value never depends on
    those beside it.

    Args:
        values: array, list, Series, or Arrow array.
        name: str. The column, for messages.

    Raises:
        UserTypeError: no value of such an array has a text.

    Example:

    >>> to_arrow([7.0, None], "device").type
    DataType(double)
    """
    return slicer(values, name)(0, len(values))


def slicer(values: Any, name: str) -> Slice:
    """What `to_arrow` gives for some of the rows.

    All slices have one type, and are made in the thread that asks for them.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return lambda start, stop: _whole(values[start:stop])
    if isinstance(values, (list, tuple)):
        return _object_slicer(values, name)
    if isinstance(values, (pd.Series, pd.Index)):
        is_numpy = isinstance(values.dtype, np.dtype)
        values = values.to_numpy() if is_numpy else values.array
    if isinstance(values, pd.Categorical):
        return _categorical_slicer(values, name)
    if isinstance(values, pd.api.extensions.ExtensionArray):
        return _extension_slicer(values, name)
    return _numpy_slicer(np.asarray(values), name)


def columns_of(source: Any) -> dict[str, Any]:
    """Column name -> values, of a frame, an Arrow table or a dict of arrays.

    Raises:
        UserError: the columns of a dict differ in length.
    """
    if isinstance(source, pd.DataFrame):
        return {
            str(name): source.iloc[:, number]
            for number, name in enumerate(source.columns)
        }
    if isinstance(source, pa.Table):
        return dict(zip(source.column_names, source.columns, strict=True))
    columns = {}
    for name, values in source.items():
        columns[str(name)] = values
        if (
            isinstance(values, (str, bytes, Mapping))
            or getattr(values, "ndim", 1) != 1
            or not hasattr(values, "__len__")
        ):
            raise UserError(
                "A dict of arrays must hold one-dimensional arrays of one "
                f"length. Received for '{name}': {shown(values)}."
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"'{n}' has {k}" for n, k in lengths.items())
        raise UserError(
            "A dict of arrays must hold one-dimensional arrays of one length. "
            f"Received: {listed}."
        )
    return columns


def frame_blocks(
    columns: Mapping[str, Any], names: Sequence[str], num_rows: int
) -> Iterator[FrameBlock]:
    """Blocks of up to `num_rows` rows of the columns called `names`."""
    slices = {name: slicer(columns[name], name) for name in names}
    length = len(next(iter(columns.values()), ()))
    for start in range(0, length, num_rows):
        yield FrameBlock(slices, start, min(length, start + num_rows))


class FrameBlock:
    """Some rows of a DataFrame or a dict of arrays, converted when read."""

    unit = "row"
    source = "the data"

    def __init__(
        self, slices: Mapping[str, Slice], start: int, stop: int
    ) -> None:
        self.size = stop - start
        self._slices = slices
        self._start = start

    def read(self, columns: Sequence[str]) -> tuple[pa.Table, list[BadRow]]:
        """The columns as they are stored."""
        stop = self._start + self.size
        arrays = [self._slices[name](self._start, stop) for name in columns]
        return pa.table(arrays, names=list(columns)), []

    def locate(self, rows: Sequence[int]) -> list[tuple[int, str]]:
        """Numbers, from 1, and texts of some rows."""
        found = []
        for row in rows:
            row += self._start
            cells = {n: part(row, row + 1) for n, part in self._slices.items()}
            found.append((row + 1, row_text(pa.table(cells), 0)))
        return found


def row_text(table: pa.Table, row: int) -> str:
    """A row of a table, for people."""
    return str({n: cell_text(table.column(n)[row]) for n in table.column_names})


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # pyarrow < 17 with no chunk
        chunks = array.chunks
        return pa.concat_arrays(chunks) if chunks else pa.nulls(0, array.type)
    return array


def _numpy_slicer(array: Array, name: str) -> Slice:
    kind = array.dtype.kind
    if array.ndim != 1:
        raise UserTypeError(
            f"Column '{name}' must have one dimension. Received: shape "
            f"{array.shape}."
        )
    if kind == "O" or array.dtype == np.longdouble != np.float64:
        return _object_slicer(array.astype(object), name)
    if kind == "M":
        array = _known_unit(array, name)
    elif kind == "T":  # numpy's text of variable width
        return _object_slicer(array.astype(object), name)
    elif kind not in "biufSUm":
        row = f", such as {shown(array[0])}" if len(array) else ""
        raise UserTypeError(
            f"Column '{name}' must hold text or numbers. Received: "
            f"{array.dtype}{row}."
        )
    elif kind == "m" or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return lambda start, stop: _converted(array[start:stop])


def _known_unit(array: Array, name: str) -> Array:
    """Moments in a unit that Arrow has: it lacks years, hours, picoseconds."""
    unit = np.datetime_data(array.dtype)
    if unit[0] in ("s", "ms", "us", "ns", "D") and unit[1] == 1:
        return array
    for wanted in ("s", "ns"):
        with contextlib.suppress(OverflowError):
            converted = array.astype(f"datetime64[{wanted}]")
            if ((converted == array) | np.isnat(array)).all():
                return converted
    row = f", such as {shown(array[0])}" if len(array) else ""
    raise UserTypeError(
        f"Column '{name}' must hold moments in nanoseconds or a larger unit. "
        f"Received: {array.dtype}{row}."
    )


def _extension_slicer(array: Any, name: str) -> Slice:
    dtype = array.dtype
    if isinstance(dtype, pd.SparseDtype):
        return lambda start, stop: to_arrow(np.asarray(array[start:stop]), name)
    if isinstance(dtype, (pd.PeriodDtype, pd.IntervalDtype)):
        return lambda start, stop: from_elements(
            array[start:stop].astype(object)
        )
    if not hasattr(array, "__arrow_array__"):
        return _object_slicer(np.asarray(array, dtype=object), name)
    try:
        _whole(pa.array(array[:0]))
    except (pa.ArrowException, ValueError, TypeError):
        return _object_slicer(np.asarray(array, dtype=object), name)
    return lambda start, stop: _converted(array[start:stop])


def _categorical_slicer(array: pd.Categorical, name: str) -> Slice:
    categories = to_arrow(array.categories, name)
    codes = np.asarray(array.codes)

    def part(start: int, stop: int) -> pa.Array:
        some = codes[start:stop].astype(np.int32)
        indices = pa.array(some, mask=some < 0)
        return pa.DictionaryArray.from_arrays(indices, categories)

    return part


def _object_slicer(array: Any, name: str) -> Slice:
    types = set(map(type, array))
    types.difference_update(_MISSING_TYPES)
    if types and types <= {list, tuple, np.ndarray}:
        return _list_slicer(array, name)
    if len(types) > 1 and float in types and _all_nan(array):
        types.discard(float)
    (kind,) = types if len(types) == 1 else (None,)
    plain = _PLAIN.get(kind) if kind is not None else None
    if not types:
        plain = pa.null()
    if kind is int and not _fits(array):
        plain = None
    if plain is None:
        return lambda start, stop: from_elements(array[start:stop])
    return lambda start, stop: _converted(array[start:stop], plain)


def _converted(part: Any, kind: pa.DataType | None = None) -> pa.Array:
    try:
        return _whole(pa.array(part, kind, from_pandas=True))
    except (pa.ArrowException, UnicodeError):  # half a character
        is_list = isinstance(part, (list, tuple))
        return from_elements(part if is_list else part.astype(object))


def _all_nan(array: Any) -> bool:
    return all(value != value for value in array if type(value) is float)


def _fits(array: Any) -> bool:
    """Whether all integers have 64 bits."""
    return all(
        -(2**63) <= value < 2**63 for value in array if type(value) is int
    )


def _list_slicer(array: Any, name: str) -> Slice:
    lists = [
        None if isinstance(value, _MISSING_TYPES) else value for value in array
    ]
    for value in lists:
        if getattr(value, "ndim", 1) != 1:
            raise UserTypeError(
                f"Column '{name}' must hold lists of values that are no lists "
                f"themselves. Received: {shown(value)}."
            )
    lengths = [0 if value is None else len(value) for value in lists]
    ends = np.cumsum([0, *lengths])
    is_missing = np.array([value is None for value in lists])
    flat = itertools.chain.from_iterable(v for v in lists if v is not None)
    elements = slicer(list(flat), name)

    def part(start: int, stop: int) -> pa.Array:
        some = elements(int(ends[start]), int(ends[stop]))
        offsets = (ends[start : stop + 1] - ends[start]).astype(np.int32)
        mask = np.append(is_missing[start:stop], False)
        return pa.ListArray.from_arrays(pa.array(offsets, mask=mask), some)

    return part
