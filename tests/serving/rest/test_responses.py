import json
import re

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.responses import (
    classification_json,
    columns_json,
    error_json,
    metadata_json,
    regression_json,
    rows_json,
    status_json,
)


def outputs(**values):
    return {name: tf.make_tensor_proto(value) for name, value in values.items()}


def typed(values):
    """A float tensor as TensorFlow Serving sends it: in `float_val`."""
    array = np.array(values, np.float32)
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(array.ravel().tolist())
    return proto


def test_a_single_output_goes_without_its_name():
    values = outputs(ctr=[0.25, 0.5])

    assert json.loads(rows_json(values)) == {"predictions": [0.25, 0.5]}
    assert json.loads(columns_json(values)) == {"outputs": [0.25, 0.5]}


@pytest.mark.parametrize("name", ["性別", 'say "x"', "%s", "\N{SNOWMAN}\n", ""])
def test_an_output_may_have_any_name(name):
    values = {name: typed([1, float("nan")]), "n": typed([-0.0, 2])}

    (first, second) = json.loads(rows_json(values))["predictions"]
    columns = json.loads(columns_json(values))["outputs"]

    assert (first[name], second["n"]) == (1.0, 2.0)
    assert second[name] != second[name]
    assert str(first["n"]) == "-0.0"
    assert columns[name][0] == 1.0


def test_several_outputs_are_objects():
    values = {"a": typed([[1, 2], [3, 4]]), "50%": typed([5, 6])}

    assert json.loads(rows_json(values)) == {
        "predictions": [
            {"a": [1.0, 2.0], "50%": 5.0},
            {"a": [3.0, 4.0], "50%": 6.0},
        ]
    }
    assert json.loads(columns_json(values)) == {
        "outputs": {"a": [[1.0, 2.0], [3.0, 4.0]], "50%": [5.0, 6.0]}
    }


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (2, 0, 3), (2, 1, 3)])
def test_any_shape_is_nested_right(shape):
    array = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)

    found = json.loads(rows_json(outputs(x=array)))

    assert found == {"predictions": array.tolist()}


def test_a_scalar_is_an_output_but_no_row():
    values = outputs(x=np.float32(0.5))

    assert json.loads(columns_json(values)) == {"outputs": 0.5}
    with pytest.raises(
        ServingError, match="Tensor name: x has no shape information "
    ):
        rows_json(values)


def test_more_dimensions_than_numpy_has_are_written():
    proto = typed([0.5])
    del proto.tensor_shape.dim[:]
    for _ in range(100):
        proto.tensor_shape.dim.add(size=1)

    text = rows_json({"x": proto}).decode()

    assert "[" * 100 + "0.5" + "]" * 100 in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([2**64 - 1], np.uint64), [2**64 - 1]),
        (np.array([-1], np.int8), [-1]),
        (np.array([True, False]), [True, False]),
        (np.array([1 / 3]), [1 / 3]),
        (["é", 'a"\n'], ["é", 'a"\n']),
    ],
)
def test_types_keep_their_values(value, expected):
    assert json.loads(rows_json(outputs(x=value))) == {"predictions": expected}


def test_named_bytes_are_base64():
    found = json.loads(rows_json(outputs(image_bytes=[b"\x00\xff"])))

    assert found == {"predictions": [{"b64": "AP8="}]}


def test_other_strings_leave_as_they_are():
    assert b'["a\xff"]' in rows_json(outputs(text=[b"a\xff"]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        (outputs(a=[1.0], b=[1.0, 2.0]),
         "Tensor name: b has inconsistent batch size: 2 expecting: 1"),
        (outputs(a=np.array([1], np.float16)),
         "Failed to write JSON value for tensor type: half"),
    ],
)  # fmt: skip
def test_what_has_no_rows_is_refused(values, message):
    with pytest.raises(ServingError, match=re.escape(message)):
        rows_json(values)


def test_classifications_are_pairs():
    result = classification_pb2.ClassificationResult()
    for label, score in (("0", 0.49), ("1", 0.51)):
        row = result.classifications.add()
        row.classes.add(label=label, score=score)
        row.classes.add(label="é", score=1)

    assert json.loads(classification_json(result)) == {
        "results": [
            [["0", 0.49], ["é", 1.0]],
            [["1", 0.51], ["é", 1.0]],
        ]
    }


def test_regressions_are_numbers():
    result = regression_pb2.RegressionResult()
    result.regressions.add(value=0.508)

    assert json.loads(regression_json(result)) == {"results": [0.508]}


def test_no_results_are_an_error():
    with pytest.raises(ServingError, match="empty ClassificationResults"):
        classification_json(classification_pb2.ClassificationResult())
    with pytest.raises(ServingError, match="empty RegressionResults"):
        regression_json(regression_pb2.RegressionResult())


def test_status_has_versions_as_strings():
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=7, state=30).status.SetInParent()

    assert json.loads(status_json(response)) == {
        "model_version_status": [
            {
                "version": "7",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }


def test_metadata_is_unpacked():
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "toy"
    response.model_spec.version.value = 3
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["n0"].name = "n0:0"
    signature.inputs["n0"].dtype = types_pb2.DT_FLOAT
    signature.inputs["n0"].tensor_shape.dim.add(size=-1)
    response.metadata["signature_def"].Pack(signatures)

    found = json.loads(metadata_json(response))

    assert found["model_spec"] == {
        "name": "toy", "version": "3", "signature_name": "",
    }  # fmt: skip
    inner = found["metadata"]["signature_def"]["signature_def"]
    assert inner["serving_default"]["inputs"]["n0"] == {
        "name": "n0:0",
        "dtype": "DT_FLOAT",
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}],
            "unknown_rank": False,
        },
    }


def test_an_error_is_an_object_whatever_it_says():
    body = error_json('é "\ud800"')

    assert json.loads(body) == {"error": 'é "?"'}
