"""Requests that name fields are told which inputs these have."""

import json
import time

import pytest
import tensorflow as tf

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.calls import RestCall, RestCalls
from tests.serving.toy_model import ToyModels

# As an export tells it.
FIELDS = json.dumps(
    {
        "format": 1,
        "fields": [
            {"name": "marital-status", "input": "marital_status"},
            {"name": "age", "input": "age"},
        ],
    }
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("fields") / "1")
    text = tf.TensorSpec([None], tf.string, "marital_status")
    number = tf.TensorSpec([None], tf.float32, "age")
    rows = tf.TensorSpec([None], tf.string, "rows")

    @tf.function(input_signature=[text, number], autograph=False)
    def predict(marital_status, age):
        return {"probability": age + tf.strings.to_number(marital_status)}

    @tf.function(input_signature=[rows], autograph=False)
    def fields(rows):
        return {"fields": tf.fill(tf.shape(rows), FIELDS)}

    module = tf.Module()
    signatures = {"serving_default": predict, "fields": fields}
    tf.saved_model.save(module, path, signatures=signatures)
    servable = Servable(path)
    yield RestCalls(ToyModels(servable), model_status=None)
    servable.close()


def refusal(calls, document):
    body = json.dumps(document).encode()
    with pytest.raises(ServingError) as caught:
        calls.answer(RestCall("predict", "toy"), body, time.monotonic() + 10)
    return caught.value


HINT = (
    " (In this model the field 'marital-status' has the input "
    "'marital_status'; the signature 'fields' lists them.)"
)


def test_rows_that_name_a_field_are_told_its_input(calls):
    row = {"marital-status": "1", "age": 3.5}

    error = refusal(calls, {"instances": [row, row]})

    # TensorFlow Serving's own text, and ours behind it.
    assert error.message == (
        "Failed to process element: 0 key: marital-status of 'instances' "
        "list. Error: INVALID_ARGUMENT: JSON object: does not have named "
        f"input: marital-status{HINT}"
    )
    assert error.code.name == "INVALID_ARGUMENT"


def test_columns_that_name_a_field_are_told_its_input(calls):
    columns = {"marital-status": ["1"], "age": [3.5]}

    error = refusal(calls, {"inputs": columns})

    assert error.message == (
        f"Missing named input: marital_status in 'inputs' object.{HINT}"
    )


@pytest.mark.parametrize(
    "row",
    [{"other": "1", "age": 3.5}, {"age": 3.5}, {"age": "x"}, [1.5]],
)
def test_other_errors_are_tensorflow_serving_s_own(calls, row):
    assert "field" not in refusal(calls, {"instances": [row]}).message


def test_the_names_of_the_inputs_are_right(calls):
    body = b'{"instances": [{"marital_status": "1", "age": 3.5}]}'

    answer = calls.answer(
        RestCall("predict", "toy"), body, time.monotonic() + 10
    )

    assert json.loads(answer) == {"predictions": [4.5]}
