"""A vocabulary from day to day: ids stay, values come and go."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import (
    BucketizedField,
    CategoricalField,
    MultiValuedField,
    NumericField,
)
from deepfm_tf.vocabulary import Vocabulary

# Days of a few rows.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Field .* it gives the model no information"
)


def day(values, field=None, name="a", **others):
    """The vocabulary of a day that has these values."""
    field = field or CategoricalField(name)
    data = {name: values, "y": [0, 1] * (len(values) // 2 + 1), **others}
    data["y"] = data["y"][: len(values)]
    return deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))


def values_of(vocabulary, name="a"):
    return vocabulary.values[name].tolist()


def test_old_ids_stay_and_new_values_come_behind_by_count():
    monday = day(["b", "b", "a", "a", "b", ""])

    tuesday = monday.extended(day(["d", "d", "c", "c", "c", "a"]))

    # By hand: OOV 0, missing 1.
    assert values_of(tuesday) == ["b", "a", "c", "d"]
    ids = deepfm_tf.encode({"a": ["b", "a", "c", "d", "", "e"]}, tuesday)
    assert ids["ids"][:, 0].tolist() == [2, 3, 4, 5, 1, 0]
    assert tuesday.schema.vocabulary_sizes == (6,)


def test_a_value_seen_once_a_day_gets_an_id_on_the_second_day():
    monday = day(["a", "a", "b"])  # min_count is 2

    tuesday = monday.extended(day(["b", "c", "a"]))

    assert values_of(tuesday) == ["a", "b"]


def test_what_was_counted_loses_its_worth():
    first = day(["a", "a", "b"])
    for _ in range(7):  # 0.9^8 of a count is 0.43, and 1.43 is rounded to 1
        first = first.extended(day(["a", "a"]))

    assert values_of(first.extended(day(["b", "a"]))) == ["a"]
    kept = day(["a", "a", "b"])
    for _ in range(7):
        kept = kept.extended(day(["a", "a"]), decay=1.0)
    assert values_of(kept.extended(day(["b", "a"]), decay=1.0)) == ["a", "b"]


def test_a_full_vocabulary_takes_no_more_until_some_are_evicted():
    field = CategoricalField("a", max_vocabulary_size=4)
    monday = day(["a", "a", "a", "b", "b"], field)
    new = day(["a", "a", "c", "c", "c"], field)

    assert values_of(monday.extended(new)) == ["a", "b"]
    smaller = monday.evict(min_count=3)
    assert values_of(smaller) == ["a"]
    assert values_of(smaller.extended(new)) == ["a", "c"]


def test_values_leave_that_are_rare_or_long_gone():
    vocabulary = day(["a"] * 9 + ["b"] * 2 + ["c"] * 9)
    for _ in range(2):
        vocabulary = vocabulary.extended(day(["a", "a"]))

    # b: 2 x 0.81 = 1.62, rounded 2; c: 7.29, two days ago.
    assert values_of(vocabulary.evict(min_count=2)) == ["a", "c", "b"]
    assert values_of(vocabulary.evict(min_count=3)) == ["a", "c"]
    assert values_of(vocabulary.evict(last_seen=2)) == ["a"]
    assert values_of(vocabulary.evict(last_seen=3)) == ["a", "c", "b"]


def test_an_evicted_value_comes_back_with_what_was_counted_of_it():
    monday = day(["a"] * 9 + ["b"] * 2)
    smaller = monday.evict(min_count=3)

    tuesday = smaller.extended(day(["b", "a"]))

    # 2 x 0.9 + 1
    assert values_of(smaller) == ["a"]
    assert values_of(tuesday) == ["a", "b"]


def test_counts_of_days_are_saved_and_loaded(tmp_path):
    monday = day(["a", "a", "b"])
    monday.save(tmp_path / "monday")
    loaded = Vocabulary.load(tmp_path / "monday")
    tuesday = loaded.extended(day(["c", "a"]))
    tuesday.save(tmp_path / "monday")  # in place of the one it grew from

    wednesday = Vocabulary.load(tmp_path / "monday").extended(day(["c", "b"]))

    # b: 1 x 0.81 + 1, c: 0.9 + 1.
    assert values_of(wednesday) == ["a", "c", "b"]


def test_without_counts_a_day_decides_alone(tmp_path):
    monday = day(["a", "a", "b"])
    monday.save(tmp_path, with_seen=False)
    loaded = Vocabulary.load(tmp_path)

    tuesday = loaded.extended(day(["b", "c", "c"]))

    assert loaded.seen is None
    assert values_of(tuesday) == ["a", "c"]


def test_a_damaged_file_of_counts_is_told(tmp_path):
    day(["a", "a"]).save(tmp_path)
    (path,) = tmp_path.glob("*.seen.parquet")
    data = bytearray(path.read_bytes())
    data[8] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(
        deepfm_tf.UserError, match="was changed after it was written"
    ):
        Vocabulary.load(tmp_path).extended(day(["a"]))


def test_scalings_and_boundaries_stay_and_the_range_widens():
    fields = (
        NumericField("x"),
        BucketizedField("age", num_buckets=2),
    )
    schema = deepfm_tf.Schema(fields, "y")
    frame = pd.DataFrame({"x": [0.0, 2.0], "age": [1.0, 9.0], "y": [0, 1]})
    monday = deepfm_tf.fit_vocabulary(frame, schema)
    later = frame.assign(x=[50.0, 51.0], age=[70.0, 90.0])

    tuesday = monday.extended(deepfm_tf.fit_vocabulary(later, schema))

    rows = pd.concat([frame, later])
    for name, array in deepfm_tf.encode(rows, monday).items():
        other = deepfm_tf.encode(rows, tuesday)[name]
        np.testing.assert_array_equal(array, other)
    found = tuesday.statistics["x"]
    assert (found["mean"], found["minimum"], found["maximum"]) == (1, 0, 51)


def test_a_number_is_read_as_on_the_first_day():
    monday = day(["7", "7", "8"])  # of whole numbers: 7.0 is 7
    tuesday = monday.extended(day(["7.0", "8.0", "8.0", "x", "x"]))

    assert values_of(tuesday) == ["7", "8", "x"]


def test_fields_that_share_a_vocabulary_grow_together():
    fields = (
        CategoricalField("ad"),
        CategoricalField("ad2", share_with="ad"),
        MultiValuedField("seen", share_with="ad", max_length=2),
    )
    schema = deepfm_tf.Schema(fields, "y")
    first = {"ad": ["a", "a"], "ad2": ["b", "b"], "seen": ["a", ""]}
    second = {"ad": ["a", "c"], "ad2": ["a", "d"], "seen": ["c|d", "a"]}
    monday, tuesday = (
        deepfm_tf.fit_vocabulary({**data, "y": [0, 1]}, schema)
        for data in (first, second)
    )

    grown = monday.extended(tuesday)

    assert values_of(grown, "ad") == ["a", "b", "c", "d"]
    assert grown.schema.vocabulary_sizes == (6,)


def test_what_is_unseen_of_a_further_day_is_expected_by_all_days():
    monday = day(["a"] * 5 + ["b"] * 5)

    tuesday = monday.extended(day(["a", "b", "c", "c", "d", "d", "d", "e"]))

    # By hand: of eight values, e is unseen; c would be without one of its
    # two, d would not.
    found = tuesday.statistics["a"]
    assert [found[n] for n in ("values", "oov", "oov_expected")] == [8, 1, 3]


def test_other_fields_are_refused_by_name():
    monday = day(["a", "a"])

    for other, told in (
        (day(["a", "a"], name="b"), "without 'a'; new 'b'"),
        (day(["a"], CategoricalField("a", hash_buckets=3)), "read 'a'"),
    ):
        with pytest.raises(deepfm_tf.UserError, match=told):
            monday.extended(other)


def test_encodings_are_refused():
    field = CategoricalField("a", encodings=("count",))
    monday = day(["a", "a", "b", "b"], field)

    with pytest.raises(deepfm_tf.UserError, match="no field with `encodings`"):
        monday.extended(monday)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"decay": 0.0}, "`decay` must be above 0"),
        ({"min_count": 0}, "`min_count` must be a whole number of at least 1"),
        ({"last_seen": 1.5}, "`last_seen` must be a whole number"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, told):
    monday = day(["a", "a"])

    with pytest.raises(deepfm_tf.UserError, match=told):
        if "decay" in arguments:
            monday.extended(monday, **arguments)
        else:
            monday.evict(**arguments)
