"""Many texts as one Arrow array: without a Python object for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from deepfm_tf.arrays import Array

# Texts that are hashed, or written, at a time.
_SLICE = 2**20
# Longer ones are hashed one by one.
_LONGEST = 128
_WORD = 8
_NEW_LINE = 10
_FACTORS = tuple(
    np.uint64(factor)
    for factor in (
        0x9E3779B97F4A7C15,
        0xBF58476D1CE4E5B9,
        0x94D049BB133111EB,
    )
)


class PythonTexts(Mapping[str, Array]):
    """Name -> an array of Python texts, made each time it is asked for.

    A text takes some sixty bytes as a Python object, beside a dozen in Arrow.

    Args:
        texts: name -> text array.
    """

    def __init__(self, texts: Mapping[str, pa.Array]) -> None:
        self._texts = texts

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self._texts[name].to_numpy(zero_copy_only=False))

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


def as_texts(values: Any) -> pa.LargeStringArray:
    """One array of texts, which may exceed 2 GB together.

    Args:
        values: texts, in a list, an array, or an Arrow array of any layout.

    Example:

    >>> as_texts(["a", "b"]).type
    DataType(large_string)
    """
    if isinstance(values, pa.ChunkedArray):
        # One chunk would be copied.
        is_one = values.num_chunks == 1
        values = values.chunk(0) if is_one else values.combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # pyarrow < 17 with no chunk
        values = pa.concat_arrays(values.chunks)
    if isinstance(values, pa.Array):
        return pc.cast(values, pa.large_string())
    # An array of numpy's own texts, or one without a value, has no objects.
    return pa.array(np.asarray(values, dtype=object), pa.large_string())


def texts_of_lines(data: bytes) -> pa.LargeStringArray:
    """The lines of some UTF-8, each of which ends with a line feed.

    Nothing else ends a line, as a carriage return does elsewhere.

    Raises:
        UnicodeDecodeError: it is not UTF-8.

    Example:

    >>> texts_of_lines(b"a\\nbc\\n").to_pylist()
    ['a', 'bc']
    """
    everything = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(everything == _NEW_LINE)
    everything = everything[: ends[-1]] if len(ends) else everything[:0]
    # Without its line feed, each text begins one byte earlier than the last.
    offsets = np.concatenate([[0], ends - np.arange(len(ends))])
    texts = pa.LargeStringArray.from_buffers(
        len(ends),
        pa.py_buffer(offsets.astype(np.int64)),
        pa.py_buffer(everything[everything != _NEW_LINE]),
    )
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        data.decode("utf-8")
        raise
    return texts


def joined(
    texts: pa.LargeStringArray, before: str = "", behind: str = ""
) -> Iterator[bytes]:
    """The UTF-8 of all texts one after the other, in large pieces.

    Args:
        texts: text array.
        before, behind: str. What stands before and behind each of them.

    Example:

    >>> list(joined(as_texts(["a", "b"]), behind=";"))
    [b'a;b;']
    """
    for start in range(0, len(texts), _SLICE):
        piece = texts.slice(start, _SLICE)
        if before or behind:
            ends = [pa.scalar(end, texts.type) for end in (before, behind)]
            between = pa.scalar("", texts.type)
            piece = pc.binary_join_element_wise(
                ends[0], piece, ends[1], between
            )
        yield _buffers(piece)[1].tobytes()


def hash_texts(texts: pa.LargeStringArray) -> Array:
    """(texts,) uint64: a number of each text, the same in every process.

    Different texts may share one.
    """
    hashes = np.empty(len(texts), np.uint64)
    for start in range(0, len(texts), _SLICE):
        stop = start + _SLICE
        hashes[start:stop] = _hash_slice(texts.slice(start, _SLICE))
    return hashes


def _hash_slice(texts: pa.LargeStringArray) -> Array:
    offsets, data = _buffers(texts)
    # Words are read from any byte on, so also from the last one.
    data = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words = np.lib.stride_tricks.as_strided(
        data[:_WORD].view("<u8"), (len(data) - _WORD + 1,), (1,)
    )
    starts, lengths = offsets[:-1], np.diff(offsets)
    hashes = lengths.astype(np.uint64) * _FACTORS[0]
    is_short = lengths <= _LONGEST
    rows = np.flatnonzero(is_short & (lengths > 0))
    for begin in range(0, _LONGEST, _WORD):
        if not len(rows):
            break
        left = np.minimum(lengths[rows] - begin, _WORD)
        word = words[starts[rows] + begin]
        # What stands behind the text is shifted out.
        word = word << (64 - 8 * left).astype(np.uint64)
        mixed = (hashes[rows] ^ word) * _FACTORS[1]
        hashes[rows] = mixed ^ (mixed >> np.uint64(29))
        rows = rows[lengths[rows] > begin + _WORD]
    for row in np.flatnonzero(~is_short):
        text = data[starts[row] : starts[row] + lengths[row]]
        hashes[row] = xxhash.xxh3_64_intdigest(text)
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _FACTORS[2]
    return np.asarray(hashes ^ (hashes >> np.uint64(31)))


def _buffers(texts: pa.LargeStringArray) -> tuple[Array, Array]:
    """Where each text begins, and the last ends, in bytes; and these."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(len(texts) + 1, np.int64), np.empty(0, np.uint8)
    begin, stop = texts.offset, texts.offset + len(texts) + 1
    places = np.frombuffer(offsets, np.int64)[begin:stop]
    first, last = int(places[0]), int(places[-1])
    return places - first, np.frombuffer(data, np.uint8)[first:last]
