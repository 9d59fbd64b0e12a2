"""How many rows of validation or test data were trained on."""

from __future__ import annotations

import dataclasses

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.data.prepared.dataset import PreparedData
from deepfm_tf.vocabulary import OOV_ID

# Rows are compared by 64 random bits, and about this many of each data set:
# a row is in the sample if its bits are, in both sets alike.
SAMPLE_ROWS = 500_000
_MAX_ROWS = 20_000_000
# Rows that are read together: they fit a processor's cache.
_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Rows that stand in the training data too, label included.

    Args:
        shared: int. Rows of the sample that do, of those without a value
            out of the vocabulary.
        rows: int. Rows of the sample.
        by_chance: float. The share of the training rows of which there is
            another one in the training data: about as many rows of other
            data drawn alike would be shared.
    """

    shared: int
    rows: int
    by_chance: float

    @property
    def share(self) -> float:
        """The share of the rows that are shared."""
        return self.shared / max(1, self.rows)


def shared_rows(train: PreparedData, other: PreparedData) -> Overlap:
    """How much of other data the training data holds.

    Args:
        train: the training data.
        other: data prepared with its vocabulary.
    """
    modulus = max(1, train.num_rows // SAMPLE_ROWS)
    known = np.sort(_hashes(train, modulus)[0])
    rows, is_known = _hashes(other, modulus)
    place = np.searchsorted(known, rows)
    found = known[np.minimum(place, len(known) - 1)] == rows
    found &= is_known
    repeated = np.zeros(len(known), dtype=bool)
    same = known[1:] == known[:-1]
    repeated[1:] |= same
    repeated[:-1] |= same
    by_chance = float(repeated.mean()) if len(known) else 0.0
    return Overlap(int(found.sum()) if len(known) else 0, len(rows), by_chance)


def _hashes(data: PreparedData, modulus: int) -> tuple[Array, Array]:
    """uint64 of each row in the sample; whether all its values are known.

    Rows with an unseen value look alike whatever that value is.
    """
    chosen, known = [np.empty(0, np.uint64)], [np.empty(0, bool)]
    layout = data.files.layout
    columns = layout.columns()
    factors = np.random.default_rng(layout.width).integers(
        0, 2**64, layout.width, np.uint64
    ) | np.uint64(1)
    # A training row's `encodings` are not those of the same row elsewhere.
    num_values = sum(field.is_numeric for field in data.schema.fields)
    factors[columns.get("values", slice(1, 1))][num_values:] = 0
    if layout.num_example_weights:
        factors[-1] = 0
    ids = columns.get("ids", slice(0))
    for rows in data.files.rows(min(data.num_rows, _MAX_ROWS), _AT_ONCE):
        # Multilinear, with odd factors, modulo 2^64; the upper bits are mixed.
        hashes = rows.view("<u4").astype(np.uint64) @ factors
        hashes ^= hashes >> np.uint64(32)
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
        is_chosen = hashes % np.uint64(modulus) == 0
        chosen.append(hashes[is_chosen])
        known.append((rows[is_chosen, ids] != OOV_ID).all(axis=1))
    return np.concatenate(chosen), np.concatenate(known)
