"""The model that a request names, and what the answer says of it."""

import pytest
from tensorflow_serving.apis import model_pb2, predict_pb2

from deepfm_tf.serving.engine.models import (
    acquire,
    answered_spec,
    require_model_spec,
)
from deepfm_tf.serving.errors import ServingError


def test_a_request_names_a_model(toy_models):
    with pytest.raises(ServingError, match="^INVALID_.*: Missing ModelSpec$"):
        require_model_spec(predict_pb2.PredictRequest())
    with pytest.raises(ServingError, match="ModelSpec has no name specified."):
        acquire(toy_models, model_pb2.ModelSpec())


def test_the_answer_names_version_and_signature(toy_models):
    with acquire(toy_models, model_pb2.ModelSpec(name="toy")) as loaded:
        default = answered_spec(loaded, "")
        named = answered_spec(loaded, "regress")
        none = answered_spec(loaded, None)

    assert default.signature_name == "serving_default"
    assert named.signature_name == "regress"
    assert none.signature_name == ""
    assert none.version.value == 1
    assert none.name == "toy"
