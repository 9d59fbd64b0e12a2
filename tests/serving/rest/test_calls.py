import json
import re
import time

import pytest
import tensorflow as tf

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.calls import (
    METADATA,
    STATUS,
    RestCalls,
    error_json,
    parse_path,
)
from tests.serving.fake_versions import spec
from tests.serving.toy_model import COLUMNS, ToyModels


@pytest.mark.parametrize(
    ("verb", "path", "method", "expected"),
    [
        ("POST", "toy:predict", "predict", spec("toy")),
        ("POST", "toy/versions/007:regress", "regress", spec("toy", 7)),
        ("POST", "toy/labels/can%20ary:predict", "predict",
         spec("toy", label="can ary")),
        ("POST", "..%2f..%3a:predict", "predict", spec("../..:")),
        ("GET", "toy", STATUS, spec("toy")),
        ("GET", "%ff", STATUS, spec("\N{REPLACEMENT CHARACTER}")),
        ("GET", "%C3%A9", STATUS, spec("é")),
        # The bytes of é as they are, which ASGI's raw_path keeps.
        ("GET", "\u00c3\u00a9", STATUS, spec("é")),
        ("GET", "toy/versions/9223372036854775807", STATUS,
         spec("toy", 2**63 - 1)),
        ("GET", "toy/metadata", METADATA, spec("toy")),
        ("GET", "toy/METADATA", STATUS, spec("toy")),
        ("GET", "toy/labels/stable/metadata", METADATA,
         spec("toy", label="stable")),
    ],
)  # fmt: skip
def test_paths_are_taken_apart(verb, path, method, expected):
    assert parse_path(verb, f"/v1/models/{path}") == (method, expected)
    assert parse_path(verb, f"/V1/Models/{path}") == (method, expected)


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
        ("POST", "/v1/models:predict"),
        ("POST", "/v1/models/toy:predict/metadata"),
        ("GET", "/v1/"),
        ("get", "/v1/models"),
    ],
)
def test_other_paths_are_malformed(verb, path):
    with pytest.raises(
        ServingError, match=re.escape(f"Malformed request: {verb} {path}")
    ) as caught:
        parse_path(verb, path)

    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_a_version_has_64_bits(digits):
    with pytest.raises(ServingError, match="Failed to convert version: 9"):
        parse_path("GET", f"/v1/models/toy/versions/{digits}")


def answer(models, method, document, seconds=10.0, **options):
    calls = RestCalls(models, **options)
    body = json.dumps(document).encode()
    deadline = time.monotonic() + seconds
    return json.loads(calls.answer(method, spec("toy"), body, deadline))


def test_the_version_that_gave_the_signature_answers(toy_models):
    """Another one may become available in between."""
    held = []

    class Models:
        def acquire(self, model_spec):
            held.append(model_spec.name)
            return toy_models.acquire(model_spec)

    found = answer(Models(), "predict", {"inputs": COLUMNS})

    assert len(found["outputs"]) == 3
    assert held == ["toy"]


def test_nothing_runs_after_the_deadline():
    with pytest.raises(ServingError, match="REST timeout") as caught:
        answer(None, "predict", {"inputs": COLUMNS}, seconds=-1)

    assert caught.value.code.name == "DEADLINE_EXCEEDED"


def test_method_names_are_checked_where_asked(toy_models):
    """The toy's signatures are all of predict."""
    document = {"signature_name": "regress", "examples": [{}]}

    with pytest.raises(ServingError, match="method_name"):
        answer(
            toy_models, "regress", document, signature_method_name_check=True
        )


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
def field_models(tmp_path_factory):
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
    yield ToyModels(servable)
    servable.close()


def refusal(models, document):
    with pytest.raises(ServingError) as caught:
        answer(models, "predict", document)
    return caught.value


HINT = (
    " (In this model the field 'marital-status' has the input "
    "'marital_status'; the signature 'fields' lists them.)"
)


def test_rows_that_name_a_field_are_told_its_input(field_models):
    row = {"marital-status": "1", "age": 3.5}

    error = refusal(field_models, {"instances": [row, row]})

    # TensorFlow Serving's own text, and ours behind it.
    assert error.message == (
        "Failed to process element: 0 key: marital-status of 'instances' "
        "list. Error: INVALID_ARGUMENT: JSON object: does not have named "
        f"input: marital-status{HINT}"
    )
    assert error.code.name == "INVALID_ARGUMENT"


def test_columns_that_name_a_field_are_told_its_input(field_models):
    columns = {"marital-status": ["1"], "age": [3.5]}

    error = refusal(field_models, {"inputs": columns})

    assert error.message == (
        f"Missing named input: marital_status in 'inputs' object.{HINT}"
    )


@pytest.mark.parametrize(
    "row",
    [{"other": "1", "age": 3.5}, {"age": 3.5}, {"age": "x"}, [1.5]],
)
def test_other_errors_are_tensorflow_serving_s_own(field_models, row):
    assert "field" not in refusal(field_models, {"instances": [row]}).message


def test_the_names_of_the_inputs_are_right(field_models):
    rows = [{"marital_status": "1", "age": 3.5}]

    found = answer(field_models, "predict", {"instances": rows})

    assert found == {"predictions": [4.5]}


def test_an_error_is_an_object_whatever_it_says():
    body = error_json('\N{SNOWMAN} "\ud800"')

    assert json.loads(body) == {"error": '\N{SNOWMAN} "?"'}
