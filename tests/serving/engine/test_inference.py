"""Classify, Regress and MultiInference where they differ from Predict."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import inference_pb2, regression_pb2

from deepfm_tf.serving.engine import inference
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import ToyModels, save_v1, signature_v1

METHODS = ("tensorflow/serving/classify", "tensorflow/serving/regress")


@pytest.mark.parametrize("method", METHODS)
def test_the_method_name_is_checked_only_when_told(toy_models, method):
    # tf.saved_model.save calls every method "predict".
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name=method)
    task.model_spec.name = "toy"
    task.model_spec.signature_name = method.rpartition("/")[2]
    request.input.example_list.examples.add()

    assert inference.multi_inference(toy_models, request).results
    with pytest.raises(ServingError) as raised:
        inference.multi_inference(
            toy_models, request, signature_method_name_check=True
        )

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.endswith(
        f"method_name to be {method}. Was: tensorflow/serving/predict"
    )


def test_a_task_names_a_model(toy_models):
    request = inference_pb2.MultiInferenceRequest()
    for name in ("toy", ""):
        task = request.tasks.add(method_name=METHODS[1])
        task.model_spec.name = name
        task.model_spec.signature_name = "regress"

    with pytest.raises(ServingError, match="Found ModelSpec with an empty"):
        inference.multi_inference(toy_models, request)


@pytest.mark.filterwarnings("ignore")
def test_all_tasks_are_one_run(tmp_path):
    # Each run draws another number; both signatures answer the same one.
    def build():
        inputs = tf.compat.v1.placeholder(tf.string, [None])
        number = tf.random.uniform(tf.shape(inputs))
        scores = number[:, tf.newaxis]
        regress = signature_v1({"inputs": inputs}, {"outputs": number})
        classify = signature_v1({"inputs": inputs}, {"scores": scores})
        return {"regress": regress, "classify": classify}, None

    save_v1(tmp_path / "1", build)
    servable = Servable(tmp_path / "1")
    request = inference_pb2.MultiInferenceRequest()
    for method in METHODS:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = "toy"
        task.model_spec.signature_name = method.rpartition("/")[2]
    request.input.example_list.examples.add()

    first, second = inference.multi_inference(
        ToyModels(servable), request
    ).results

    score = first.classification_result.classifications[0].classes[0].score
    assert score == second.regression_result.regressions[0].value
    servable.close()


def test_an_answer_takes_no_longer_than_its_timeout(toy_models):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "regress"
    for number in range(20_000):
        feature = request.input.example_list.examples.add().features.feature
        feature["n0"].float_list.value.append(number)

    with pytest.raises(ServingError) as raised:
        inference.regress(toy_models, request, timeout=1e-9)

    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
