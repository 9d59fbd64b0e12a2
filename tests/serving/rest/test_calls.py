import json
import re
import time

import pytest
import tensorflow as tf

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.calls import (
    RestCall,
    RestCalls,
    error_json,
    parse_path,
)
from tests.serving.toy_model import COLUMNS, ToyModels


@pytest.mark.parametrize(
    ("verb", "path", "expected"),
    [
        ("POST", "/v1/models/toy:predict", RestCall("predict", "toy")),
        ("POST", "/V1/Models/toy:classify", RestCall("classify", "toy")),
        ("POST", "/v1/models/toy/versions/007:regress",
         RestCall("regress", "toy", 7)),
        ("POST", "/v1/models/toy/labels/can%20ary:predict",
         RestCall("predict", "toy", None, "can ary")),
        ("POST", "/v1/models/..%2f..%3a:predict",
         RestCall("predict", "../..:")),
        ("GET", "/v1/models/toy", RestCall("get_model_status", "toy")),
        ("GET", "/v1/models/%ff", RestCall("get_model_status", "�")),
        ("GET", "/v1/models/%C3%A9", RestCall("get_model_status", "é")),
        # The bytes of é as they are, which ASGI's raw_path keeps.
        ("GET", "/v1/models/\u00c3\u00a9", RestCall("get_model_status", "é")),
        ("GET", "/v1/models/toy/versions/9223372036854775807",
         RestCall("get_model_status", "toy", 2**63 - 1)),
        ("GET", "/v1/models/toy/metadata",
         RestCall("get_model_metadata", "toy")),
        ("GET", "/v1/models/toy/METADATA",
         RestCall("get_model_status", "toy")),
        ("GET", "/v1/models/toy/labels/stable/metadata",
         RestCall("get_model_metadata", "toy", None, "stable")),
    ],
)  # fmt: skip
def test_paths_are_taken_apart(verb, path, expected):
    assert parse_path(verb, path) == expected


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/v1/models/toy:frobnicate"),
        ("POST", "/v1/models/toy:PREDICT"),
        ("POST", "/v1/models/toy"),
        ("POST", "/v1/models/toy/versions/-1:predict"),
        ("POST", "/v1/models/toy/versions/1/labels/a:predict"),
        ("POST", "/v1/models/toy/versions/1.5:predict"),
        ("POST", "/v1/models/a/../toy:predict"),
        ("PUT", "/v1/models/toy:predict"),
        ("get", "/v1/models/toy"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/toy:predict"),
        ("GET", "/v1/"),
    ],
)
def test_other_paths_are_malformed(verb, path):
    with pytest.raises(
        ServingError, match=re.escape(f"Malformed request: {verb} {path}")
    ) as caught:
        parse_path(verb, path)

    assert caught.value.code.name == "INVALID_ARGUMENT"


def test_a_model_must_be_named():
    with pytest.raises(ServingError, match="Missing model name in request."):
        parse_path("GET", "/v1/models")


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_a_version_has_64_bits(digits):
    with pytest.raises(ServingError, match="Failed to convert version: 9"):
        parse_path("GET", f"/v1/models/toy/versions/{digits}")


def test_the_version_that_gave_the_signature_answers(toy_models):
    """Another one may become available in between."""
    held = []

    class Models:
        def acquire(self, model_spec):
            held.append(model_spec.name)
            return toy_models.acquire(model_spec)

    calls = RestCalls(Models(), model_status=None)
    body = json.dumps({"inputs": COLUMNS}).encode()

    answer = calls.answer(
        RestCall("predict", "toy"), body, time.monotonic() + 10
    )

    assert len(json.loads(answer)["outputs"]) == 3
    assert held == ["toy"]


@pytest.mark.parametrize("method", ["predict", "classify", "regress"])
def test_nothing_runs_after_the_deadline(toy_models, method):
    calls = RestCalls(toy_models, model_status=None)
    key = "inputs" if method == "predict" else "examples"
    body = json.dumps({key: COLUMNS if key == "inputs" else [{}]}).encode()

    with pytest.raises(ServingError, match="REST timeout") as caught:
        calls.answer(RestCall(method, "toy"), body, time.monotonic() - 1)

    assert caught.value.code.name == "DEADLINE_EXCEEDED"


def test_method_names_are_checked_where_asked(toy_models):
    """The toy's signatures are all of predict."""
    calls = RestCalls(
        toy_models, model_status=None, signature_method_name_check=True
    )
    body = b'{"signature_name": "regress", "examples": [{}]}'

    with pytest.raises(ServingError, match="method_name"):
        calls.answer(RestCall("regress", "toy"), body, time.monotonic() + 10)


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
def field_calls(tmp_path_factory):
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


def test_rows_that_name_a_field_are_told_its_input(field_calls):
    row = {"marital-status": "1", "age": 3.5}

    error = refusal(field_calls, {"instances": [row, row]})

    # TensorFlow Serving's own text, and ours behind it.
    assert error.message == (
        "Failed to process element: 0 key: marital-status of 'instances' "
        "list. Error: INVALID_ARGUMENT: JSON object: does not have named "
        f"input: marital-status{HINT}"
    )
    assert error.code.name == "INVALID_ARGUMENT"


def test_columns_that_name_a_field_are_told_its_input(field_calls):
    columns = {"marital-status": ["1"], "age": [3.5]}

    error = refusal(field_calls, {"inputs": columns})

    assert error.message == (
        f"Missing named input: marital_status in 'inputs' object.{HINT}"
    )


@pytest.mark.parametrize(
    "row",
    [{"other": "1", "age": 3.5}, {"age": 3.5}, {"age": "x"}, [1.5]],
)
def test_other_errors_are_tensorflow_serving_s_own(field_calls, row):
    assert "field" not in refusal(field_calls, {"instances": [row]}).message


def test_the_names_of_the_inputs_are_right(field_calls):
    body = b'{"instances": [{"marital_status": "1", "age": 3.5}]}'

    answer = field_calls.answer(
        RestCall("predict", "toy"), body, time.monotonic() + 10
    )

    assert json.loads(answer) == {"predictions": [4.5]}


def test_an_error_is_an_object_whatever_it_says():
    body = error_json('\N{SNOWMAN} "\ud800"')

    assert json.loads(body) == {"error": '\N{SNOWMAN} "?"'}
