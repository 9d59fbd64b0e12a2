"""Files that come again, in Python: what the command says of them."""

import hashlib

import pytest

import deepfm_tf
from deepfm_tf.data.trained_files import TrainedAlreadyWarning

SCHEMA = deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "click")


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """A folder with three days, the first of which is prepared."""
    folder = tmp_path_factory.mktemp("days")
    for number in (1, 2, 3):
        text = f"site,click\nx,1\nx,0\nday {number},1\nday {number},0\n"
        (folder / f"day{number}.csv").write_text(text)
    deepfm_tf.prepare(folder / "day1.csv", folder / "one", schema=SCHEMA)
    return folder


def yesterday(days):
    return deepfm_tf.PreparedData.load(days / "one").vocabulary


def test_a_vocabulary_knows_the_files_of_each_day(days):
    today = deepfm_tf.prepare(
        [days / "day2.csv", days / "day3.csv"],
        days / "two",
        extends=yesterday(days),
    )

    digests = [
        hashlib.blake2b(
            (days / f"day{n}.csv").read_bytes(), digest_size=16
        ).hexdigest()
        for n in (1, 2, 3)
    ]
    expected = [digests[:1], digests[1:]]
    loaded = deepfm_tf.Vocabulary.load(days / "two" / "vocabulary")
    for vocabulary in (today.vocabulary, loaded, loaded.evict(1)):
        assert [list(day) for day in vocabulary.files_of_days] == expected


def test_a_day_that_comes_twice_is_told_before_it_is_prepared(days, tmp_path):
    again = tmp_path / "renamed.csv"
    again.write_bytes((days / "day1.csv").read_bytes())

    # An error in tests, as are all warnings.
    with pytest.raises(TrainedAlreadyWarning, match=r"on .*renamed\.csv alre"):
        deepfm_tf.prepare(again, tmp_path / "day", extends=yesterday(days))

    assert not (tmp_path / "day").exists()


def test_days_that_come_again_with_a_new_one_are_told(days, tmp_path):
    files = [days / "day1.csv", days / "day2.csv"]

    with pytest.warns(UserWarning, match=r"day1\.csv already: these of the 2"):
        deepfm_tf.prepare(files, tmp_path / "day", extends=yesterday(days))


def test_test_rows_of_an_earlier_day_are_told(days, tmp_path):
    today = deepfm_tf.prepare(
        days / "day2.csv", tmp_path / "two", extends=yesterday(days)
    )

    with pytest.warns(UserWarning, match=r"on .*day1\.csv: the metrics meas"):
        deepfm_tf.prepare(
            days / "day1.csv", tmp_path / "test", vocabulary=today.vocabulary
        )
    # Today's own are a matter of how they are split, and new ones of none.
    for name in ("day2", "day3"):
        deepfm_tf.prepare(
            days / f"{name}.csv",
            tmp_path / name,
            vocabulary=today.vocabulary,
        )
