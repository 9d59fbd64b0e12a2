"""The numbers of values in a graph are those that are made outside."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.models import FieldTerms

FIELDS = (
    deepfm_tf.CategoricalField(
        "ad", min_count=3, encodings=("count", "target_mean")
    ),
    deepfm_tf.MultiValuedField("tags", share_with="ad"),
    deepfm_tf.CategoricalField("plain"),
    deepfm_tf.NumericField("price", scaling="none"),
    deepfm_tf.CategoricalField(
        "last", share_with="ad", missing="nothing", encodings=("target_mean",)
    ),
    deepfm_tf.CategoricalField("user", hash_buckets=8, encodings=("count",)),
)


def make(num_rows, seed, num_ads=60):
    random = np.random.default_rng(seed)

    def names(prefix, count):
        values = random.integers(0, count, num_rows)
        return [f"{prefix}{v}" if v else "" for v in values]

    return {
        "ad": names("a", num_ads),
        "tags": [
            f"{a}|{b}"
            for a, b in zip(names("a", 9), names("a", 9), strict=True)
        ],
        "plain": names("p", 5),
        "price": random.random(num_rows).astype("float32"),
        "last": names("a", num_ads),
        "user": names("u", 30),
        "click": random.integers(0, 2, num_rows),
    }


@pytest.fixture(scope="module")
def vocabulary():
    schema = deepfm_tf.Schema(FIELDS, "click")
    return deepfm_tf.fit_vocabulary(make(100, seed=1), schema)


def test_rare_unseen_and_missing_values_come_out_alike(vocabulary, tmp_path):
    rows = make(300, seed=2, num_ads=90)
    rows.pop("click")

    lookup = GraphLookup(vocabulary, tmp_path / "values.txt")
    packed = lookup({name: tf.constant(c) for name, c in rows.items()})

    expected = deepfm_tf.encode(rows, vocabulary)
    assert len(vocabulary.rare["ad"]) > 10
    np.testing.assert_array_equal(packed["ids"], expected["ids"])
    np.testing.assert_array_equal(packed["values"], expected["values"])


def test_numbers_of_buckets_come_out_alike(tmp_path):
    fields = (
        deepfm_tf.BucketizedField(
            "bid", "log_square", min_count=4, encodings=("target_mean",)
        ),
        deepfm_tf.BucketizedField("plain", num_buckets=3),
        deepfm_tf.BucketizedField(
            "age", num_buckets=3, missing="nothing", encodings=("count",)
        ),
        deepfm_tf.CategoricalField("user", encodings=("count",)),
    )

    def draw(seed, spread):
        random = np.random.default_rng(seed)
        numbers = np.exp(spread * random.normal(size=(3, 200))) - 2
        numbers[random.random((3, 200)) < 0.1] = np.nan
        rows = dict(zip(("bid", "plain", "age"), numbers, strict=True))
        rows["user"] = make(200, seed)["user"]
        return rows

    training = {**draw(1, 1), "click": make(200, 1)["click"]}
    schema = deepfm_tf.Schema(fields, "click")
    deepfm_tf.prepare(training, tmp_path / "prepared", schema=schema)
    prepared = deepfm_tf.PreparedData.load(tmp_path / "prepared")
    vocabulary, rows = prepared.vocabulary, draw(2, 1.5)

    packed = GraphLookup(vocabulary, tmp_path / "values.txt")(
        {
            name: tf.constant(column, None if name == "user" else tf.float32)
            for name, column in rows.items()
        }
    )

    expected = deepfm_tf.encode(rows, vocabulary)
    assert len(vocabulary.rare["bid"]) > 1
    np.testing.assert_array_equal(packed["ids"], expected["ids"])
    np.testing.assert_array_equal(packed["values"], expected["values"])
    # The rare buckets, which have no id, differ in their click rate.
    rates = expected["values"][expected["ids"][:, 0] == 0, 0]
    assert len(np.unique(rates)) > 2


def test_the_terms_of_two_groups_of_fields_give_the_whole(vocabulary):
    rows = make(40, seed=3)
    rows.pop("click")
    packed = deepfm_tf.encode(rows, vocabulary)
    model = deepfm_tf.DeepFM(vocabulary.schema, embedding_dim=3)
    context = ("last", "plain")
    # Columns of `ids`: ad, 8 tags, plain, last, user; of `values`: price, two
    # of ad, one of last, one of user.
    ids, values = np.isin(range(12), (9, 10)), np.isin(range(5), (3,))

    terms = [
        FieldTerms(model, [f.name for f in FIELDS if f.name in names])(
            {"ids": packed["ids"][:, i], "values": packed["values"][:, v]}
        )
        for names, i, v in (
            (context, ids, values),
            ({f.name for f in FIELDS} - {*context}, ~ids, ~values),
        )
    ]

    logits = model.from_terms({n: terms[0][n] + terms[1][n] for n in terms[0]})
    expected = model(packed)["probability"]
    np.testing.assert_allclose(tf.sigmoid(logits), expected, atol=1e-6)


def test_a_number_is_told_in_rows_of_training(vocabulary):
    rows = make(100, seed=1)
    rows.pop("click")
    names = deepfm_tf.explain.names.FeatureNames(vocabulary.schema, vocabulary)

    texts = names.examples(deepfm_tf.encode(rows, vocabulary))

    ad = rows["ad"][0]
    assert f"ad (count)={rows['ad'].count(ad)}" in texts[0]
