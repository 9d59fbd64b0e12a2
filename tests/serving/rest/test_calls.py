import json
import re
import time

import pytest

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.calls import RestCall, RestCalls, parse_path
from tests.serving.toy_model import COLUMNS


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
