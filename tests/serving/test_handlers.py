"""The answers of `handlers`, against the texts of TensorFlow Serving."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2

from deepfm_tf.serving import handlers
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import COLUMNS, expected_ctr, predict_request


def test_predict_answers_the_formula_in_typed_values(toy_models):
    response = handlers.predict(toy_models, predict_request())

    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    answer = response.outputs["ctr"]
    assert answer.dtype == tf.float32.as_datatype_enum
    assert not answer.tensor_content
    # float32 arithmetic against float64.
    np.testing.assert_allclose(
        answer.float_val, expected_ctr(COLUMNS), rtol=1e-6
    )


def test_predict_packs_numbers_when_asked(toy_models):
    response = handlers.predict(
        toy_models, predict_request(), tensor_content=True
    )

    answer = response.outputs["ctr"]
    values = np.frombuffer(answer.tensor_content, np.float32)
    np.testing.assert_allclose(values, expected_ctr(COLUMNS), rtol=1e-6)


def test_unknown_signature_is_a_failed_precondition(toy_models):
    request = predict_request()
    request.model_spec.signature_name = "nosig"

    with pytest.raises(ServingError) as raised:
        handlers.predict(toy_models, request)

    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.message == 'Serving signature key "nosig" not found.'


def test_metadata_has_every_signature(toy_models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "toy"

    response = handlers.get_model_metadata(toy_models, request)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == [
        "__saved_model_init_op",
        "classify",
        "regress",
        "serving_default",
    ]
    assert not response.model_spec.signature_name
