"""Encodings of rows: of the other folds in training, of all of them later."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import deepfm_tf
from deepfm_tf.data.reading.out_of_fold import folds_of
from deepfm_tf.files import readers

BOTH = ("count", "target_mean")


def make(num_rows=200, seed=0, num_values=80):
    random = np.random.default_rng(seed)
    values = random.integers(0, num_values, num_rows)
    return pd.DataFrame(
        {
            "site": [f"s{v}" if v % 9 else "" for v in values],
            "price": random.normal(size=num_rows).astype("float32"),
            "mass": random.integers(0, 4, num_rows) / 2,
            "click": random.integers(0, 2, num_rows),
        }
    )


def schema_of(**others):
    fields = (
        deepfm_tf.CategoricalField("site", encodings=BOTH, **others),
        deepfm_tf.NumericField("price", scaling="none"),
    )
    return deepfm_tf.Schema(fields, "click")


def values_of(prepared):
    (batch,) = prepared.dataset(10_000).as_numpy_iterator()
    return batch[0]["values"]


def fold(place):
    """SplitMix64 of the place, in Python's whole numbers."""
    x = (place + 1) * 0x9E3779B97F4A7C15 % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return (x ^ x >> 31) % 5


def expected(frame, rows, mass, out_of_fold):
    """A loop over the rows: the numbers of each of `rows`."""
    numbers = []
    sites, clicks = frame["site"].tolist(), frame["click"].tolist()
    total = sum(mass)
    positive = sum(m * c for m, c in zip(mass, clicks, strict=True))
    base = (positive + 0.5) / (total + 1)
    held = {
        site: sum(m for m, s in zip(mass, sites, strict=True) if s == site)
        for site in set(sites)
    }
    logs = [m * math.log(1 + held[s]) for m, s in zip(mass, sites, strict=True)]
    mean = sum(logs) / total
    folds = [fold(place) for place in range(len(sites))]
    for place, site in enumerate(rows):
        n = c = 0
        for other in range(len(sites)):
            if out_of_fold and folds[other] == folds[place]:
                continue
            if sites[other] == site:
                n += mass[other]
                c += mass[other] * clicks[other]
        rate = (c + 10 * base) / (n + 10)
        n *= 5 / 4 if out_of_fold else 1
        numbers.append(
            (
                (math.log(1 + n) - mean) / 6,
                math.log(rate / (1 - rate)) - math.log(base / (1 - base)),
            )
        )
    return numbers


@pytest.mark.parametrize("is_weighted", [False, True])
def test_training_rows_have_the_numbers_of_the_other_folds(
    is_weighted, tmp_path
):
    frame, schema = make(), schema_of()
    mass = frame["mass"].tolist() if is_weighted else [1] * len(frame)
    if is_weighted:
        schema = deepfm_tf.Schema(schema.fields, "click", example_weight="mass")

    prepared = deepfm_tf.prepare(frame, tmp_path / "p", schema=schema)

    numbers = expected(frame, frame["site"], mass, out_of_fold=True)
    np.testing.assert_allclose(
        values_of(prepared)[:, 1:], numbers, rtol=1e-5, atol=1e-6
    )


def test_buckets_of_numbers_have_the_numbers_of_the_other_folds(tmp_path):
    frame = make()
    frame.loc[::7, "price"] = np.nan
    field = deepfm_tf.BucketizedField(
        "price", "boundaries", boundaries=(-1, 0, 0.5), encodings=BOTH
    )

    prepared = deepfm_tf.prepare(
        frame, tmp_path / "p", schema=deepfm_tf.Schema((field,), "click")
    )

    buckets = pd.cut(frame["price"], [-9, -1, 0, 0.5, 9], right=False)
    frame["site"] = buckets.cat.codes
    numbers = expected(frame, frame["site"], [1] * len(frame), out_of_fold=True)
    assert set(frame["site"]) == {-1, 0, 1, 2, 3}
    np.testing.assert_allclose(
        values_of(prepared), numbers, rtol=1e-5, atol=1e-6
    )


def test_other_rows_have_the_numbers_of_all_training_rows(tmp_path):
    frame, others = make(), ["s1", "s2", "never seen", "", "s70"]
    prepared = deepfm_tf.prepare(frame, tmp_path / "p", schema=schema_of())
    vocabulary = deepfm_tf.fit_vocabulary(frame, schema_of())
    rows = {"site": others, "price": [0.0] * 5}

    packed = deepfm_tf.encode(rows, prepared.vocabulary)

    numbers = expected(frame, others, [1] * len(frame), out_of_fold=False)
    np.testing.assert_allclose(
        packed["values"][:, 1:], numbers, rtol=1e-5, atol=1e-6
    )
    again = deepfm_tf.encode(rows, vocabulary)
    np.testing.assert_array_equal(again["values"], packed["values"])


def test_blocks_of_any_size_give_the_same_rows(tmp_path, monkeypatch):
    frame = make()
    whole = deepfm_tf.prepare(frame, tmp_path / "whole", schema=schema_of())
    monkeypatch.setattr(readers, "BLOCK_ROWS", 37)

    cut = deepfm_tf.prepare(frame, tmp_path / "cut", schema=schema_of())

    np.testing.assert_array_equal(values_of(cut), values_of(whole))


def test_rare_values_have_numbers_but_no_id(tmp_path):
    sites = ["a"] * 8 + ["b"] * 2
    frame = make(10).assign(site=sites, click=[0] * 8 + [1] * 2)
    schema = schema_of(min_count=3)

    prepared = deepfm_tf.prepare(frame, tmp_path / "p", schema=schema)
    vocabulary = deepfm_tf.PreparedData.load(tmp_path / "p").vocabulary
    rows = {"site": ["a", "b", "c"], "price": [0.0] * 3}
    packed = deepfm_tf.encode(rows, vocabulary)

    assert packed["ids"].tolist() == [[2], [0], [0]]
    assert vocabulary.fingerprint() == prepared.vocabulary.fingerprint()
    low, high, unseen = packed["values"][:, 2]
    assert low < 0 < high
    assert abs(unseen) < 1e-12


@pytest.mark.filterwarnings("error")
def test_values_may_all_be_too_rare_for_an_id():
    schema = schema_of(min_count=10**6)

    vocabulary = deepfm_tf.fit_vocabulary(make(), schema)

    assert vocabulary.schema.field("site").vocabulary_size == 2
    assert len(vocabulary.rare["site"]) > 50


def test_missing_that_contributes_nothing_has_no_numbers(tmp_path):
    frame = make()

    prepared = deepfm_tf.prepare(
        frame, tmp_path / "p", schema=schema_of(missing="nothing")
    )

    is_missing = (frame["site"] == "").to_numpy()
    is_nan = np.isnan(values_of(prepared)[:, 1:])
    np.testing.assert_array_equal(is_nan, np.stack([is_missing] * 2, axis=1))


def test_random_labels_teach_nothing(tmp_path):
    # Each value stands in one to three rows: leaving out a row alone would
    # tell its label, as would leaving out none.
    train, test = (make(6000, seed, num_values=3000) for seed in (1, 2))

    prepared = deepfm_tf.prepare(train, tmp_path / "p", schema=schema_of())
    numbers = values_of(prepared)[:, 1:]
    later = deepfm_tf.encode(test, prepared.vocabulary)["values"][:, 1:]
    model = LogisticRegression().fit(numbers, train["click"])

    # One standard error of the AUC of 6,000 rows is .0075.
    trained = model.predict_proba(numbers)[:, 1]
    assert roc_auc_score(train["click"], trained) < 0.5 + 3 * 0.0075
    tested = model.predict_proba(later)[:, 1]
    assert abs(roc_auc_score(test["click"], tested) - 0.5) < 3 * 0.0075


def test_folds_are_those_of_the_places_alone():
    expected_folds = [fold(place) for place in range(1000)]

    assert folds_of(0, 1000).tolist() == expected_folds
    assert folds_of(990, 10).tolist() == expected_folds[990:]
    assert min(np.bincount(expected_folds)) > 150


@pytest.mark.parametrize("make_dataset", ["memory", "text"])
def test_rows_of_no_known_fold_are_not_trained_on(make_dataset, tmp_path):
    path = tmp_path / "log.csv"
    make().to_csv(path, index=False)
    vocabulary = deepfm_tf.fit_vocabulary(path, schema_of())
    dataset = getattr(deepfm_tf, f"dataset_from_{make_dataset}")

    with pytest.raises(ValueError, match="must be prepared with `schema`"):
        dataset(path, vocabulary, shuffle=True)


@pytest.mark.parametrize("reader", ["memory", "text", "prepare"])
def test_the_rows_that_were_counted_are_not_read_as_others(reader, tmp_path):
    path, schema = tmp_path / "log.csv", schema_of()
    schema = deepfm_tf.Schema(schema.fields, "click", example_weight="mass")
    make().to_csv(path, index=False)
    vocabulary = deepfm_tf.fit_vocabulary(make(), schema)

    def read(source):
        if reader == "prepare":
            place = tmp_path / "prepared"
            deepfm_tf.prepare(source, place, vocabulary=vocabulary)
        else:
            getattr(deepfm_tf, f"dataset_from_{reader}")(source, vocabulary)

    with pytest.raises(
        ValueError, match="rows on which the encodings of 'site' were"
    ):
        read(path)
    # One label is another's, and they are other rows.
    others = make()
    others.loc[[1, 2], "click"] = others.loc[[2, 1], "click"].to_numpy()
    assert others["click"].tolist() != make()["click"].tolist()
    others.to_csv(path, index=False)
    read(path)


@pytest.mark.parametrize("num_values", [80, 4000])
def test_a_part_of_the_rows_that_were_counted_is_known_by_rare_values(
    num_values, tmp_path
):
    rows, later = make(1000, 1, num_values), make(250, 2, num_values)
    vocabulary = deepfm_tf.fit_vocabulary(rows, schema_of())
    part = rows.sample(250, random_state=1)
    once = (rows["site"].map(rows["site"].value_counts()) == 1).mean()

    def prepare(frame):
        deepfm_tf.prepare(frame, tmp_path / "x", vocabulary=vocabulary)

    prepare(later)  # rows of another day, of the same values
    if once * 250 < 20:
        prepare(part)  # which might be chance
        return
    with pytest.raises(ValueError, match="some of the rows .* of 'site'"):
        prepare(part)


def test_rows_prepared_without_folds_are_not_trained_on(tmp_path):
    train = deepfm_tf.prepare(make(), tmp_path / "train", schema=schema_of())
    other = deepfm_tf.prepare(
        make(seed=1), tmp_path / "other", vocabulary=train.vocabulary
    )

    train.dataset(8, shuffle=True)
    with pytest.raises(ValueError, match="must be prepared with `schema`"):
        other.dataset(8, shuffle=True)
    with pytest.raises(ValueError, match="must be prepared with `schema`"):
        other.distributed(None, 8, shuffle=True)


def test_the_graph_of_text_gives_the_numbers_of_other_rows(tmp_path):
    path = tmp_path / "log.csv"
    make(seed=3).to_csv(path, index=False)
    vocabulary = deepfm_tf.fit_vocabulary(make(), schema_of(min_count=3))

    dataset = deepfm_tf.dataset_from_text(path, vocabulary, 10_000)

    (batch,) = dataset.as_numpy_iterator()
    packed = deepfm_tf.encode(path, vocabulary)
    np.testing.assert_array_equal(batch[0]["ids"], packed["ids"])
    np.testing.assert_array_equal(batch[0]["values"], packed["values"])
