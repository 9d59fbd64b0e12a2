"""Encodings of training rows, without what the rows say of themselves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.fields import Field
from deepfm_tf.vocabulary import Vocabulary
from deepfm_tf.vocabulary.encodings import (
    ABSENT_PLACE,
    FIRST_PLACE,
    MISSING_PLACE,
)

if TYPE_CHECKING:
    from deepfm_tf.data.reading.stream import CheckedBlock

NUM_FOLDS = 5
# Sums of weights may differ by so much, by the order of the rows.
_ROUNDED = 1e-4
# Values that must be expected to be unseen, if none is to be no chance.
_SURELY_UNSEEN = 20
# Field -> places of its values; their rows and clicks, by fold.
_Sums = dict[str, tuple[Array, Array]]


class OutOfFold:
    """Rows and clicks of each value, by fold of the training data.

    Were a training row's own label among its inputs, the model would learn
    from them what no other row tells. So a row's numbers are those of the
    other folds, where a value that occurs once is as absent as it will be
    later. Leaving out the one row alone would tell its label: a value's
    click rate is then the lower, the higher the label. The rows of the other
    folds count 5/4 times in `count`.

    A row's fold is a hash of its place among the rows that are kept, so it
    does not depend on how the rows are cut into blocks, nor on the workers.

    Args:
        vocabulary: of all training rows, with their counts.
        sums: for each field with `encodings`, (places, folds, 2): rows and
            clicks.
    """

    def __init__(
        self, vocabulary: Vocabulary, sums: Mapping[str, Array]
    ) -> None:
        self.vocabulary = vocabulary
        self._sums = sums

    @classmethod
    def count(
        cls,
        vocabulary: Vocabulary,
        map_blocks: Callable[[Callable[[Any], Any]], Iterator[Any]],
    ) -> OutOfFold:
        """Count all training rows.

        Args:
            vocabulary: of them, without counts.
            map_blocks: calls what it is given with each of their blocks. Only
                those that were spilled know their rows' places; of others
                only the `vocabulary` is right.
        """
        fields = _encoded_fields(vocabulary)
        # Float32 counts exactly up to 2^24 rows of a value in a fold.
        totals = {
            f.name: np.zeros((vocabulary.num_places(f), NUM_FOLDS, 2), "<f4")
            for f in fields
        }
        for sums in map_blocks(functools.partial(_sums_of, vocabulary)):
            for name, (places, found) in sums.items():
                totals[name][places] += found
        counts = {n: s.sum(axis=1, dtype=np.float64) for n, s in totals.items()}
        return cls(vocabulary.with_counts(counts), totals)

    def save(self, directory: Path) -> None:
        """Write what `load` needs beside the vocabulary."""
        directory.mkdir()
        for number, sums in enumerate(self._sums.values()):
            np.save(directory / f"{number:03d}.npy", sums)

    @classmethod
    def load(cls, directory: Path, vocabulary: Vocabulary) -> OutOfFold:
        """What `save` wrote, for rows that another process encodes."""
        names = [field.name for field in _encoded_fields(vocabulary)]
        return cls(
            vocabulary,
            {
                name: np.load(directory / f"{number:03d}.npy", mmap_mode="r")
                for number, name in enumerate(names)
            },
        )

    def encoder(self, block: CheckedBlock) -> Any:
        """What `Vocabulary.encode` takes for the rows of a block."""
        scale = NUM_FOLDS / (NUM_FOLDS - 1)

        def encode(field: Field, places: Array) -> Array:
            folds = folds_of(block.first_row, len(places))
            encodings = self.vocabulary.value_encodings[field.name]
            # Float64 adds up float32 without a rounding that would show.
            own = self._sums[field.name][places, folds]
            counts = encodings.counts[places] - own
            numbers = encodings.encode(counts, field.encodings, scale)
            if field.missing == "nothing":
                numbers[places == MISSING_PLACE] = np.nan
            return numbers

        return encode


class TrainingRows:
    """Notices that rows are those that `encodings` were counted on.

    Their numbers, of all training rows, hold their own labels: a model that
    learns from them trusts what no other row tells, and one that is measured
    on them seems better than it is. They are taken for the training rows
    where each value has the same rows and clicks; and for a part of these
    where no value has more of either, and none is unseen although 20 are to be
    expected (of n values n s, where s is the share of training's that occur
    once; by chance alone there is none in one of 10^8 cases).

    A part without rare values, or together with other rows, cannot be told.

    Args:
        vocabulary: of the training data.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._counts = {
            name: np.zeros_like(encodings.counts)
            for name, encodings in vocabulary.value_encodings.items()
        }
        # Without any encodings, nothing is told.
        self.is_possible = bool(self._counts)

    def count(self, block: CheckedBlock) -> _Sums:
        """What `add` takes; may be called from several threads."""
        return _sums_of(self._vocabulary, block) if self._counts else {}

    def add(self, sums: _Sums) -> None:
        """Add the counts of a block."""
        for name, (places, found) in sums.items():
            own = self._counts[name]
            own[places] += found.sum(axis=1)
            most = self._vocabulary.value_encodings[name].counts[places]
            if (own[places] > most + _ROUNDED * (1 + most)).any():
                self.is_possible = False  # some are of other rows

    def refuse(self) -> None:
        """Raise UserError if all blocks together are training rows."""
        if not self.is_possible:
            return
        encodings = self._vocabulary.value_encodings
        if all(
            np.allclose(self._counts[name], known.counts, _ROUNDED, _ROUNDED)
            for name, known in encodings.items()
        ):
            name = next(iter(encodings))
            raise _training_rows(
                f"the rows on which the encodings of '{name}' were counted"
            )
        for name, known in encodings.items():
            told, own = known.counts[FIRST_PLACE:, 0], self._counts[name]
            once = told[told == 1].sum() / max(1, told.sum())
            expected = once * own[FIRST_PLACE:, 0].sum()
            if expected >= _SURELY_UNSEEN and not own[ABSENT_PLACE, 0]:
                raise _training_rows(
                    f"some of the rows on which the encodings of '{name}' were "
                    "counted, because none of its values is new, where about "
                    f"{expected:.0f} new ones are expected"
                )


def _training_rows(received: str) -> UserError:
    return UserError(
        "The rows must not be training rows when fields have `encodings`. "
        f"Received: {received}. The encodings of a row would then include "
        "its own label. To train on these rows, or to measure on them, "
        "`prepare` them with `schema`: that leaves out each row's own label."
    )


def check_may_train(vocabulary: Vocabulary) -> None:
    """Raise UserError if training rows, of no known fold, tell their labels."""
    if vocabulary.value_encodings:
        name = next(iter(vocabulary.value_encodings))
        raise UserError(
            "Rows to train on, which are shuffled, must be prepared with "
            "`schema` when fields have `encodings`. Received: shuffle=True, "
            f"and '{name}' has some; the encodings of a training row would "
            "include its own label. Call `prepare(rows, directory, "
            "schema=...)`, and shuffle its `.dataset(batch_size)`.",
            argument="shuffle",
        )


def _encoded_fields(vocabulary: Vocabulary) -> list[Field]:
    return [field for field in vocabulary.schema.fields if field.encodings]


def _sums_of(vocabulary: Vocabulary, block: CheckedBlock) -> _Sums:
    """Rows and clicks of each value in a block, by fold."""
    label = np.asarray(block.label, np.float64)
    mass = np.ones(len(label)) if block.weight is None else block.weight
    folds = folds_of(block.first_row, len(label))
    sums = {}
    for field in _encoded_fields(vocabulary):
        texts = vocabulary.column_texts(field, block.columns[field.name])
        places, rows = vocabulary.places(field, texts)
        # Several texts may be read as one: 7.0 as 7.
        places, merged = np.unique(places, return_inverse=True)
        cells = merged[rows] * NUM_FOLDS + folds
        size = len(places) * NUM_FOLDS
        found = [np.bincount(cells, mass * y, size) for y in (1, label)]
        shape = (-1, NUM_FOLDS, 2)
        sums[field.name] = places, np.stack(found, 1).reshape(shape)
    return sums


def folds_of(first_row: int, num_rows: int) -> Array:
    """(num_rows,): the fold of each of some consecutive rows.

    Neighbours fall into folds at random (by SplitMix64's last steps): rows
    that belong together may come in groups of a fixed size.

    Example:

    >>> folds_of(2, 4).tolist() == folds_of(0, 6).tolist()[2:]
    True
    """
    x: Array = np.arange(
        first_row + 1, first_row + num_rows + 1, dtype=np.uint64
    )
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> np.uint64(31))) % np.uint64(NUM_FOLDS)
    return x.astype(np.int64)
