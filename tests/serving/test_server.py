"""A server as a whole, over a real channel."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from tests.serving.toy_model import COLUMNS, expected_ctr, predict_request


def test_predict_answers_over_the_official_stub(toy_channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(toy_channel)

    response = stub.Predict(predict_request(), timeout=10)

    np.testing.assert_allclose(
        tf.make_ndarray(response.outputs["ctr"]),
        expected_ctr(COLUMNS),
        rtol=1e-6,
    )
    assert response.model_spec.version.value == 1


def test_status_names_the_available_version(toy_channel):
    stub = model_service_pb2_grpc.ModelServiceStub(toy_channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"

    response = stub.GetModelStatus(request, timeout=10)

    [status] = response.model_version_status
    assert (status.version, status.state) == (1, status.AVAILABLE)
    assert status.status.error_code == 0
