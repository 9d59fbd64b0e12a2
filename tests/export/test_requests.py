"""The rows that exports are checked with."""

import dataclasses

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.export.requests import Rows, make_requests


def test_rows_hold_known_unseen_and_missing_values(vocabulary):
    rows = Rows.make(vocabulary, 100)

    ids = rows.packed["ids"][:, 0]
    assert set(ids) == set(range(6))  # OOV, missing, four sites
    assert np.isnan(rows.packed["values"]).any()
    assert np.isnan(rows.raw["price"]).sum() == 1
    assert "" in rows.raw["tags"]


def test_packed_rows_are_what_preparation_makes(vocabulary):
    rows = Rows.make(vocabulary, 100)

    packed = deepfm_tf.encode(
        {name: list(column) for name, column in rows.raw.items()}, vocabulary
    )

    for name, array in rows.packed.items():
        np.testing.assert_array_equal(array, packed[name])


def test_a_smaller_request_asks_about_the_first_rows(vocabulary):
    rows = Rows.make(vocabulary, 100)

    requests = make_requests(rows, vocabulary.schema, {}, 10)

    assert [r.signature for r in requests] == [
        "serving_default",
        "packed",
        "ids",
        "classify",
        "regress",
    ]
    for request in requests:
        assert all(len(v) == 10 for v in request.rows.packed.values())
    np.testing.assert_array_equal(
        requests[0].inputs["site"], rows.raw["site"][:10]
    )


@pytest.mark.parametrize("defaults", [{}, {"site": "s 1", "price": 2.0}])
def test_a_missing_value_is_sent_only_where_leaving_it_out_means_another(
    defaults, vocabulary
):
    rows = Rows.make(vocabulary, 100)
    missing = rows.raw["site"].tolist().index("")

    requests = make_requests(rows, vocabulary.schema, defaults, 100)

    (examples, *_) = (r.inputs for r in requests if r.signature == "regress")
    features = examples[missing].features.feature
    assert ("site" in features) == bool(defaults)
    assert "ad" in features or rows.raw["ad"][missing] == ""


@pytest.mark.parametrize("missing", [(), ("-1", "?")])
@pytest.mark.filterwarnings("ignore:Field")
def test_markers_of_missing_are_encoded_as_preparation_does(missing):
    schema = deepfm_tf.Schema(
        (
            deepfm_tf.NumericField("n"),
            deepfm_tf.BucketizedField("b", "boundaries", boundaries=(0.0,)),
        ),
        "y",
        missing_values=missing,
    )
    data = {"n": [-1.0, -1.0], "b": [-1.0, -1.0], "y": [0, 1]}
    if missing:
        data["n"][0] = data["b"][0] = 3.0
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    # All numbers drawn lie between the two: at the marker.
    for name in ("n", "b"):
        vocabulary.statistics[name] |= {"minimum": -1.0, "maximum": -1.0}

    rows = Rows.make(vocabulary, 5)

    assert dataclasses.asdict(rows)["raw"]["n"].tolist().count(-1.0) == 4
    is_missing = bool(missing)
    assert np.isnan(rows.packed["values"]).all() == is_missing
    assert (rows.packed["ids"] == 1).all() == is_missing
