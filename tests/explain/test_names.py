"""Ids in words."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.explain.names import FeatureNames
from tests.conftest import make_log


@pytest.fixture(scope="module")
def names(vocabulary):
    return FeatureNames(vocabulary.schema, vocabulary)


def test_a_vocabulary_names_what_encoding_made_of_raw_rows(vocabulary, names):
    log = make_log(2).assign(
        site=["s 1", "new"],
        ad=["", "001"],
        ad2=["", "001"],
        genres=["x|y", ""],
        tags=["a:0.5|c", ""],
        price=[3.5, np.nan],
        age=[40, 41],
        count=[8, 0],
    )
    packed = deepfm_tf.encode(log, vocabulary)

    first, second = names.examples(packed)

    field_names = [f.name for f in vocabulary.schema.embedded_fields]
    first, second = (
        dict(zip(field_names, row, strict=True)) for row in (first, second)
    )
    assert first["site"] == "site=s 1"
    assert second["site"] == "site=(OOV)"
    assert first["ad"] == "ad=(missing)"
    assert second["ad"] == "ad=001"
    assert first["ad2"] == "ad2=(missing)"
    assert second["ad2"] == "ad2=001"
    assert first["genres"] == "genres=x|y"
    assert second["genres"] == "genres=(missing)"
    assert first["tags"] == "tags=a:0.5|c"
    assert second["tags"] == "tags=(missing)"
    assert first["price"] == "price=3.5"
    assert second["price"] == "price=(missing)"
    assert first["user"].startswith("user=bucket ")
    # ln(8)^2 is 4.3: from e^2 to e^sqrt(5).
    assert first["count"] == "count=7.39 to 9.36"


def test_buckets_are_named_by_their_boundaries():
    field = deepfm_tf.BucketizedField(
        "age", "boundaries", boundaries=(18, 40), missing="nothing"
    )
    schema = deepfm_tf.Schema((field,), "y")
    data = pd.DataFrame({"age": [3.0, 18.0, 50.0], "y": [0, 1, 0]})
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    names = FeatureNames(vocabulary.schema, vocabulary)

    labels = names.examples(deepfm_tf.encode(data, vocabulary))

    assert labels == (
        ("age=below 18",),
        ("age=18 to 40",),
        ("age=from 40",),
    )


def test_a_logarithm_is_taken_back():
    field = deepfm_tf.NumericField("n", scaling="log")
    data = pd.DataFrame({"n": [-12.0, 1000.0], "y": [0, 1]})
    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))
    names = FeatureNames(vocabulary.schema, vocabulary)

    labels = names.examples(deepfm_tf.encode(data, vocabulary))

    assert labels == (("n=-12",), ("n=1000",))


def test_a_mapping_names_ids_by_position_and_its_owner_serves_too(vocabulary):
    schema = vocabulary.schema
    names = FeatureNames(schema, {"ad": ["-", "?", "tea", "milk"]})

    assert names.feature(schema.field("ad"), 2) == "ad=tea"
    assert names.feature(schema.field("ad2"), 3) == "ad2=milk"
    assert names.feature(schema.field("ad"), 4) == "ad=#4"
    assert names.feature(schema.field("site"), 1) == "site=#1"


def test_without_names_numbers_stand_as_the_model_sees_them(vocabulary):
    schema = vocabulary.schema
    names = FeatureNames(schema)
    packed = deepfm_tf.encode(make_log(1), vocabulary)

    labels = names.examples(packed)[0]

    assert f"price={packed['values'][0, 0]:.4g}" in labels
    assert names.feature(schema.field("price"), 0) == "price"
    assert names.feature(schema.field("price"), 1) == "price=(missing)"
