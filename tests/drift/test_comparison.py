"""When shares are far above the expected, and why that may be."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import deepfm_tf
from deepfm_tf import CategoricalField, MultiValuedField, NumericField, Schema
from deepfm_tf.data.reading.columns import check_columns
from deepfm_tf.drift import FieldShares, expected_notes, field_shares
from deepfm_tf.drift.counts import DataCounts
from deepfm_tf.shares import percent

# A false alarm is an error.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

ROWS = 600


def fitted(column, field=None):
    """The vocabulary of one column."""
    field = field or CategoricalField("a", min_count=1)
    data = {"a": column, "y": np.arange(len(column)) % 2}
    return deepfm_tf.fit_vocabulary(data, Schema((field,), "y"))


def drift_of(train, other, field=None):
    return deepfm_tf.compare_with_training({"a": other}, fitted(train, field))


def cycle(values):
    return [values[n % len(values)] for n in range(ROWS)]


IDS = [str(10**10 + 1001 * n) for n in range(40)]
LONG = [str(123_456_789 + 1_000_003 * n) for n in range(40)]
DAYS = [f"2024-05-{n:02d}" for n in range(1, 29)]
TIMES = [f"{day} 10:{n:02d}:00" for n, day in enumerate(DAYS)]
UUIDS = [f"123e4567-e89b-12d3-a456-4266141740{n:02d}" for n in range(1, 40)]

# What the texts of each storage would be, had it not one rule: fed directly.
STORAGES = {
    "float64_ids": (IDS, [repr(float(i)) for i in IDS], "type"),
    "float64_ids_short": (IDS, [f"{float(i):g}" for i in IDS[:1]], "type"),
    "float32_ids": (LONG, [str(np.float32(i)) for i in LONG], "type"),
    "float32_digits": (
        LONG,
        [f"{int(float(str(np.float32(i))))}" for i in LONG],
        "type",
    ),
    "booleans": (["True", "False"], ["true", "false"], "type"),
    "booleans_as_numbers": (["True", "False"], ["1", "0"], "type"),
    "nanoseconds": (TIMES, [f"{t}.000000000" for t in TIMES], "type"),
    "days_as_times": (DAYS, [f"{day} 00:00:00" for day in DAYS], "type"),
    "epochs": (
        TIMES,
        [str(pd.Timestamp(t).value // 10**6) for t in TIMES],
        "type",
    ),
    "mixed_column": (
        [str(n) for n in range(40)],
        [f"{n}.0" if n % 4 == 0 else str(n) for n in range(40)],
        "type",
    ),
    "uuid_bytes": (
        UUIDS,
        [bytes.fromhex(u.replace("-", "")).decode("latin-1") for u in UUIDS],
        "type",
    ),
    "uuid_hex": (UUIDS, [u.replace("-", "") for u in UUIDS], "type"),
    "periods": (
        [f"2024-{n:02d}" for n in range(1, 13)],
        [str(54 * 12 + n) for n in range(12)],
        "type",
    ),
    "minus_zero": (
        [str(n) for n in range(10)],
        ["-0", *map(str, range(1, 10))],
        "type",
    ),
    "sparse_floats": (
        [str(n) for n in range(40)],
        [f"{n}.0" for n in range(40)],
        "type",
    ),
    "zero_padding": (
        [f"{n:03d}" for n in range(40)],
        [str(n) for n in range(40)],
        "type",
    ),
    "upper_case": (["de", "fr", "it"], ["DE", "FR", "IT"], "type"),
    "blanks": (["de", "fr", "it"], [" de", " fr", " it"], "type"),
    "dates": (DAYS, [f"{d[8:]}.{d[5:7]}.{d[:4]}" for d in DAYS], "format"),
    "other_dates": (
        DAYS,
        [f"{n:02d}/06/2031" for n in range(1, 29)],
        "format",
    ),
    "a_prefix": (
        [str(n) for n in range(40)],
        [f"D-{n}" for n in range(40)],
        "format",
    ),
    "later_dates": (DAYS, [f"2024-06-{n:02d}" for n in range(1, 29)], "time"),
    "later_ids": (
        [str(5000 + n) for n in range(100)],
        [str(5090 + n) for n in range(100)],
        "time",
    ),
    "later_epochs": (
        [str(1714557600 + 61 * n) for n in range(100)],
        [str(1814557600 + 61 * n) for n in range(100)],
        "time",
    ),
    "missing": (["de", "fr", "it"], ["de", "fr", "it", "N/A"], "missing"),
    "others": (
        [f"user{n}" for n in range(40)],
        [f"user{n}" for n in range(500, 540)],
        "population",
    ),
}


@pytest.mark.parametrize("name", STORAGES)
def test_texts_of_another_storage_are_caught(name):
    train, other, cause = STORAGES[name]

    # With one text that is no number, "7.0" is never read as "7".
    (drift,) = drift_of(cycle([*train, "x"]), cycle(other))

    unseen = [text for text in cycle(other) if text not in train]
    assert (drift.field, drift.measure) == ("a", "unseen")
    assert drift.share == pytest.approx(len(unseen) / ROWS)
    assert drift.cause == cause
    assert set(drift.examples) <= set(unseen)
    assert len(drift.examples) == min(3, len(set(unseen)))
    assert repr(drift.examples[0]) in drift.text


def test_the_sentence_holds_all_that_is_known():
    (drift,) = drift_of(cycle(["7", "8", "x"]), cycle(["7.0", "8"]))

    assert str(drift) == (
        "Field 'a': 50 % of the values are unseen in training, such as "
        "'7.0'; 0 % are expected from the training data. Most likely cause: "
        "another type or spelling: '7.0' stands for training's '7'. Store "
        "the column as in training."
    )


@pytest.mark.parametrize(("min_count", "seed"), [(1, 0), (2, 1), (10, 2)])
def test_rows_of_the_same_population_are_no_drift(min_count, seed):
    # Half of the values are unseen, and must be.
    random = np.random.default_rng(seed)
    train, other = random.zipf(1.2, (2, 4000)).astype(str)
    field = CategoricalField("a", min_count=min_count)

    vocabulary = fitted(train, field)

    assert deepfm_tf.compare_with_training({"a": other}, vocabulary) == []


def test_small_data_are_silent():
    assert drift_of(list("abcab") * 2, list("xyzab")) == []


def test_one_in_fifty_other_spellings_is_told_but_no_other_values():
    train = cycle([*map(str, range(10)), "x"])
    strange = [*train[:588], *["y"] * 12]
    spelt = [*train[:588], *["7.0"] * 12]

    assert drift_of(train, strange) == []
    (drift,) = drift_of(train, spelt)
    assert drift.share == pytest.approx(0.02)


def test_missing_values_are_compared():
    train = cycle(["a", "b", "a", None])
    other = cycle(["a", None, None, "b", None, None])

    (drift,) = drift_of(train, other)

    assert (drift.measure, drift.expected, drift.in_training) == (
        *("missing", 0.25, 0.25),
    )
    assert drift.share == pytest.approx(2 / 3)
    assert (
        "missing in 67 % of the rows, but in training only in 25 %"
        in drift.text
    )
    assert drift_of(other, train) == []


@pytest.mark.parametrize(
    ("factor", "offset", "cause"),
    [(1000, 0, "unit"), (1, 150, "time"), (1, -150, "population")],
)
def test_numbers_outside_the_range_are_told(factor, offset, cause):
    train = np.linspace(-100, 100, ROWS)

    (drift,) = drift_of(train, factor * train + offset, NumericField("a"))

    outside = np.abs(factor * train + offset) > 100
    assert drift.measure == "out_of_range"
    assert drift.share == pytest.approx(outside.mean())
    assert drift.cause == cause
    assert "from -100 to 100" in drift.text


def test_numbers_within_the_range_are_no_drift():
    random = np.random.default_rng(4)
    train, other = random.standard_cauchy((2, ROWS))

    assert drift_of(train, other, NumericField("a")) == []


def test_values_of_lists_are_looked_at_one_by_one():
    field = MultiValuedField("a", min_count=1)

    (drift,) = drift_of(cycle(["7|8", "9"]), cycle(["7.0|8", "9.0"]), field)

    assert drift.share == pytest.approx(2 / 3)
    assert drift.cause == "type"
    assert set(drift.examples) == {"7.0", "9.0"}


def test_many_unseen_that_are_expected_are_a_note():
    random = np.random.default_rng(5)
    train, other = random.integers(0, 1000, (2, 1000)).astype(str)
    vocabulary = fitted(train)
    counts = DataCounts(vocabulary)
    table = pa.table({"a": other})
    columns = check_columns(table, vocabulary.schema, with_label=False).columns
    counts.count(vocabulary.encode(columns), columns)

    (shares,) = field_shares(counts)
    (note,) = expected_notes([shares], [], "test")

    # Of 1,000 draws of 1,000, each value is left out with chance 1 / e.
    assert shares.unseen == pytest.approx(0.368, abs=0.04)
    assert shares.unseen_expected == pytest.approx(0.368, abs=0.04)
    assert shares.unseen_in_training == 0
    assert note.startswith("Field 'a': 3") and "of test are unseen" in note


@pytest.mark.parametrize(
    ("rows", "num_fields", "start"),
    [
        (1, 13, "13 of 13 fields have many values in valid that are unseen"),
        (99, 2, "2 of 2 fields have many values in valid that are unseen"),
        (99, 1, "Field 'f0': 100 % of the values of valid are unseen"),
        (100, 2, "Field 'f0': 100 % of the values of valid are unseen"),
    ],
)
def test_fields_of_few_rows_share_one_note(rows, num_fields, start):
    shares = [
        FieldShares(f"f{n}", rows, 0.0, 0.0, 1.0, 0.0, 1.0)
        for n in range(num_fields)
    ]

    notes = expected_notes(shares, [], "valid")

    assert notes[0].startswith(start)
    assert len(notes) == (1 if rows < 100 else num_fields)


def test_hashed_values_are_never_unseen():
    field = CategoricalField("a", hash_buckets=50)

    assert drift_of(cycle(["7", "8"]), cycle(["x", "y"]), field) == []


def test_a_vocabulary_of_old_is_not_compared():
    vocabulary = fitted(cycle(["7", "8"]))
    for name in ("values", "oov", "oov_expected"):
        del vocabulary.statistics["a"][name]

    other = {"a": cycle(["x", "y"])}
    assert deepfm_tf.compare_with_training(other, vocabulary) == []


def test_a_share_is_never_rounded_to_none_or_all():
    shares = [0.0, 1.0, 0.9999, 0.00002, 0.234, 0.051]

    assert [percent(share) for share in shares] == [
        *("0 %", "100 %", "99.99 %", "0.002 %", "23 %", "5.1 %")
    ]
