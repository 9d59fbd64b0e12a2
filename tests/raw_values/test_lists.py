"""Lists of values and values with weights, in training and in the graph."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.raw_values import to_texts
from deepfm_tf.serving.client.arrays import to_array
from deepfm_tf.serving.signature import ServedField, TensorInfo


def test_lists_drop_what_is_missing_and_follow_the_rule():
    nan = float("nan")
    columns = {
        "a|b": [["a", None, "b"], ["a", nan, "b"], ("a", "b", "")],
        "7|0.5": [[7.0, 0.5], np.array([7, 0.5]), [7, None, 0.5]],
        "True|False": [[True, False], [np.True_, False], ["True", "False"]],
        "2024-01-01": [[np.datetime64("2024-01-01")]],
    }
    field = deepfm_tf.MultiValuedField("a", min_count=1, max_length=4)
    for joined, rows in columns.items():
        vocabulary = deepfm_tf.fit_vocabulary(
            {"a": [joined, "z"], "y": [0, 1]},
            deepfm_tf.Schema((field,), "y"),
        )
        ids = deepfm_tf.encode({"a": [joined]}, vocabulary)["ids"].tolist()
        assert min(ids[0][: joined.count("|") + 1]) > 0

        got = deepfm_tf.encode({"a": [*rows, None, []]}, vocabulary)["ids"]

        assert got.tolist() == ids * len(rows) + [[-1] * 4] * 2


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float64(), 2),
        pa.list_view(pa.float64()),
        pa.list_(pa.dictionary(pa.int8(), pa.float64())),
    ],
    ids=str,
)
def test_lists_of_every_arrow_type_read_alike(kind):
    values = [[7.0, None], None, [0.5, 7.0]]
    array = pa.array([None, *values], kind).slice(1)

    texts = to_texts(array, "a", {}, "|").to_pylist()

    assert texts == ["7", None, "0.5|7"]


@pytest.mark.parametrize("way", ["frame", "client"])
def test_an_element_that_holds_the_separator_is_refused(way):
    rows = [["z"], ["x|y", "z"]]
    field = deepfm_tf.MultiValuedField("tags", min_count=1)

    with pytest.raises(ValueError, match="'tags'.*'x|y' of a list holds"):
        if way == "frame":
            deepfm_tf.fit_vocabulary(
                {"tags": rows, "y": [0, 1]}, deepfm_tf.Schema((field,), "y")
            )
        served = ServedField("tags", "tags", separator="|")
        to_array("tags", rows, TensorInfo("string", (None,)), served)


def test_the_client_joins_lists_by_the_separator():
    info = TensorInfo("string", (None,))
    field = ServedField("tags", "tags", separator=";")

    sent = to_array("tags", [["a", None, 7.0], [], None], info, field)

    assert sent.tolist() == [b"a;7", b"", b""]


@pytest.mark.parametrize("weight", ["nan", "inf", "0x10", "", "1e39", "1,5"])
def test_a_weight_that_is_no_number_is_an_error_everywhere(tmp_path, weight):
    field = deepfm_tf.MultiValuedField(
        "tags", min_count=1, weight_separator=":"
    )
    schema = deepfm_tf.Schema((field,), "y", missing_values=("?",))
    vocabulary = deepfm_tf.fit_vocabulary(
        {"tags": ["a:1", "b: 0.1 "], "y": [0, 1]}, schema
    )
    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")

    with pytest.raises(ValueError, match="'tags'.*not a finite number"):
        deepfm_tf.encode({"tags": [f"a:{weight}"]}, vocabulary)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a finite n"):
        lookup({"tags": tf.constant([f"a:{weight}|b:1"])})
    # Values that are dropped may weigh anything.
    good = f":{weight}|?:{weight}|b: 0.1 "
    packed = deepfm_tf.encode({"tags": [good]}, vocabulary)
    served = lookup({"tags": tf.constant([good])})
    assert served["ids"].numpy().tolist() == packed["ids"].tolist()
    assert served["weights"].numpy().tolist() == packed["weights"].tolist()
    assert packed["weights"][0, 0] == np.float32(0.1)
