"""Synthetic data in the shape of Criteo: 13 numbers, 26 categories.

Needs numpy alone, so that each peer's environment can import it. A category's
value of frequency rank r is drawn in proportion to `r ** -POWER`, and ranks
are scattered over the ids, as they are when ids follow the alphabet.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

NUM_NUMERIC = 13
POWER = 1.05

# Distinct values of C1 to C26 in the Criteo Kaggle data.
CRITEO_SIZES = (
    *(1_460, 583, 10_131_227, 2_202_608, 305, 24, 12_517, 633, 3, 93_145),
    *(5_683, 8_351_593, 3_194, 27, 14_992, 5_461_306, 10, 5_652, 2_173, 4),
    *(7_046_547, 18, 15, 286_181, 105, 142_572),
)
NUM_CATEGORICAL = len(CRITEO_SIZES)

# A prime above every field's size: multiplying by it permutes the ids.
_SCATTER = 2_654_435_761


def field_sizes(vocabulary: int) -> tuple[int, ...]:
    """Sizes of the 26 fields, `vocabulary` in all.

    Criteo's sizes to a common power: small fields stay small, and the order
    of the fields is kept.
    """
    low, high = 0.01, 2.0
    for _ in range(60):
        power = (low + high) / 2
        if _powers(power).sum() > vocabulary:
            high = power
        else:
            low = power
    sizes = _powers(low)
    sizes[np.argmax(sizes)] += vocabulary - sizes.sum()
    return tuple(int(size) for size in sizes)


def make_rows(
    vocabulary: int, num_rows: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with a planted first-order signal.

    Returns:
        ids (rows, 26) int32; values (rows, 13) float32, standard normal;
        label (rows, 1) float32, about one in four of them 1.
    """
    random = np.random.default_rng(seed)
    ids = np.empty((num_rows, NUM_CATEGORICAL), dtype=np.int32)
    logit = np.full(num_rows, -1.4)
    for field, size in enumerate(field_sizes(vocabulary)):
        ids[:, field] = _power_law_ids(random, size, num_rows)
        logit += 0.35 * np.sin(ids[:, field] * 12.9898 + field)
    values = random.standard_normal((num_rows, NUM_NUMERIC), dtype=np.float32)
    logit += values @ np.linspace(-0.3, 0.3, NUM_NUMERIC)
    label = random.random(num_rows) < 1 / (1 + np.exp(-logit))
    return ids, values, label[:, None].astype(np.float32)


def make_batches(
    vocabulary: int, batch_size: int, num_batches: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`make_rows`, reshaped to (num_batches, batch_size, columns)."""
    rows = make_rows(vocabulary, batch_size * num_batches, seed)
    return tuple(
        part.reshape(num_batches, batch_size, part.shape[1]) for part in rows
    )


def write_criteo_text(
    path: Path, vocabulary: int, num_bytes: int, seed: int = 0
) -> int:
    """Write a text file in Criteo's format; returns its number of rows.

    Tab separated, no header: the label, whole numbers (a fifth of them
    missing), and categories as eight hexadecimal digits (one in twenty
    missing).
    """
    num_rows = 0
    with open(path, "wb") as file:
        for chunk in _text_chunks(vocabulary, seed):
            file.write(chunk)
            num_rows += chunk.count(b"\n")
            if file.tell() >= num_bytes:
                return num_rows
    raise AssertionError("The chunks never end.")


def _powers(power: float) -> np.ndarray:
    sizes = np.asarray(CRITEO_SIZES, dtype=np.float64) ** power
    return np.maximum(3, sizes.astype(np.int64))


def _power_law_ids(
    random: np.random.Generator, size: int, num_rows: int
) -> np.ndarray:
    # The inverse of the cumulative distribution, with the sum over ranks
    # taken as an integral: needs no table as long as the vocabulary.
    exponent = 1 - POWER
    uniform = random.random(num_rows)
    top = (size + 1.0) ** exponent
    ranks = (1 - uniform * (1 - top)) ** (1 / exponent)
    ranks = np.minimum(ranks.astype(np.int64) - 1, size - 1)
    return (ranks * _SCATTER) % size


def _text_chunks(vocabulary: int, seed: int) -> Iterator[bytes]:
    for part in itertools.count():
        ids, values, label = make_rows(vocabulary, 50_000, seed + part)
        random = np.random.default_rng([seed, part])
        columns = [label[:, 0].astype(np.int8).astype("S1")]
        for column in values.T:
            counts = np.exp(1.5 * column + 1).astype(np.int64).astype("S8")
            missing = random.random(len(counts)) < 0.2
            columns.append(np.where(missing, b"", counts))
        for field, column in enumerate(ids.T):
            unique, inverse = np.unique(column, return_inverse=True)
            # An odd factor: different ids keep different names.
            hashes = (unique.astype(np.int64) * 2_246_822_519 + field) % 2**32
            names = [f"{value:08x}" for value in hashes.tolist()]
            missing = random.random(len(column)) < 0.05
            texts = np.array(names, dtype="S8")[inverse]
            columns.append(np.where(missing, b"", texts))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        yield b"".join(b"\t".join(row) + b"\n" for row in rows)
