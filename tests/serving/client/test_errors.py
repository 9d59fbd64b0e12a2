"""What went wrong is said in words, and gRPC's are kept."""

import pickle

import grpc
import pytest

from deepfm_tf.serving.client.errors import (
    PredictError,
    predict_error,
    shown,
)


class Failed(grpc.RpcError):
    def __init__(self, code, details):
        self._code, self._details = code, details

    def code(self):
        return self._code

    def details(self):
        return self._details


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("UNAVAILABLE", "No server answers at host:1.*deepfm-tf serve --po"),
        ("DEADLINE_EXCEEDED", "host:1 did not answer within 3 seconds"),
        ("NOT_FOUND", "host:1 does not have the model 'toy'"),
        ("INVALID_ARGUMENT", "host:1 refused the request"),
        ("RESOURCE_EXHAUSTED", "too large, or host:1 is overloaded"),
        ("UNIMPLEMENTED", "does not speak TensorFlow Serving's gRPC API"),
        ("INTERNAL", "host:1 failed"),
    ],
)
def test_each_code_has_words(code, words):
    code = grpc.StatusCode[code]

    error = predict_error(Failed(code, "the reason"), "host:1", "toy", 3)

    with pytest.raises(PredictError, match=words):
        raise error
    assert "the reason" in str(error) and code.name in str(error)
    assert (error.code, error.details) == (code, "the reason")
    assert error.target == "host:1"


def test_errors_cross_processes():
    error = PredictError("No.", grpc.StatusCode.NOT_FOUND, "why", "host:1")

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.code, again.details, again.target) == (
        "No.",
        grpc.StatusCode.NOT_FOUND,
        "why",
        "host:1",
    )


def test_long_lists_are_cut():
    assert shown([]) == "none"
    assert shown(["a", "b", "c"], limit=2) == "'a', 'b' and 1 more"
