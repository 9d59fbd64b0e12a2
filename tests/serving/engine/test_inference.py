"""Classify, Regress, MultiInference: examples in, results of a form back."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.inference import (
    CLASSIFY,
    METHODS,
    REGRESS,
    classification_result,
    examples_tensor,
    regression_result,
)
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import ToyModels, save_v1, signature_v1


def signature(inputs=("inputs",), outputs=("outputs",), method="predict"):
    """A SignatureDef with these keys."""
    found = meta_graph_pb2.SignatureDef()
    found.method_name = f"tensorflow/serving/{method}"
    for key in inputs:
        found.inputs[key].name = f"{key}:0"
    for key in outputs:
        found.outputs[key].name = f"{key}_out:0"
    return found


def example(**features):
    """A tf.train.Example with a float a feature."""
    found = tf.train.Example()
    for name, value in features.items():
        found.features.feature[name].float_list.value.append(value)
    return found


def test_an_example_wins_over_its_context():
    inputs = input_pb2.Input()
    inputs.example_list_with_context.context.CopyFrom(example(a=1, b=2))
    inputs.example_list_with_context.examples.append(example(b=3))
    inputs.example_list_with_context.examples.append(example(c=4))

    proto = examples_tensor(inputs)

    assert proto.tensor_shape.dim[0].size == 2
    first, second = map(tf.train.Example.FromString, proto.string_val)
    assert first == example(a=1, b=3)
    assert second == example(a=1, b=2, c=4)


@pytest.mark.parametrize("kind", [None, "example_list", "with_context"])
def test_no_examples_are_refused(kind):
    inputs = input_pb2.Input()
    if kind == "example_list":
        inputs.example_list.SetInParent()
    elif kind == "with_context":
        inputs.example_list_with_context.context.CopyFrom(example(a=1))

    with pytest.raises(ServingError, match="^INVALID_.*Input is empty.$"):
        examples_tensor(inputs)


@pytest.mark.parametrize(
    "outputs", [["classes"], ["scores"], ["classes", "scores"]]
)
def test_classify_takes_classes_or_scores_or_both(outputs):
    found = METHODS[CLASSIFY].outputs(signature(outputs=outputs), False)

    assert found == outputs


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"inputs": ("a", "b")}, "Expected one input Tensor."),
        (
            {"outputs": ("classes", "scores", "more")},
            "Expected one or two output Tensors.",
        ),
        ({"inputs": ("x",)}, "No classification inputs found in SignatureDef"),
        (
            {},
            "Expected classification signature outputs to contain at least "
            'one of "classes" or "scores". Signature was: ',
        ),
    ],
)
def test_classify_refuses_other_signatures(parts, text):
    with pytest.raises(ServingError) as raised:
        METHODS[CLASSIFY].outputs(signature(**parts), False)

    assert raised.value.message.startswith(text)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"inputs": ("a", "b")}, "Expected one input Tensor."),
        ({"outputs": ("classes", "scores")}, "Expected one output Tensor."),
        ({"inputs": ("x",)}, "No regression inputs found in SignatureDef"),
        ({"outputs": ("x",)}, "No regression outputs found in SignatureDef"),
    ],
)
def test_regress_refuses_other_signatures(parts, text):
    with pytest.raises(ServingError) as raised:
        METHODS[REGRESS].outputs(signature(**parts), False)

    assert raised.value.message.startswith(text)
    failed = text.startswith("No")
    assert (raised.value.code is grpc.StatusCode.FAILED_PRECONDITION) == failed


def test_the_method_name_counts_only_when_it_is_checked():
    assert METHODS[REGRESS].outputs(signature(method="regress"), True)
    with pytest.raises(ServingError) as raised:
        METHODS[REGRESS].outputs(signature(), True)

    assert raised.value.message == (
        "Expected regression signature method_name to be "
        "tensorflow/serving/regress. Was: tensorflow/serving/predict"
    )


def test_classes_and_scores_are_paired():
    labels = np.array([[b"no", b"yes"], [b"\xff", b"1"]], object)
    scores = np.float32([[0.25, 0.75], [0.5, 0.5]])

    result = classification_result({"classes": labels, "scores": scores}, 2)

    found = [
        [(item.label, item.score) for item in row.classes]
        for row in result.classifications
    ]
    assert found == [
        [("no", 0.25), ("yes", 0.75)],
        [("\N{REPLACEMENT CHARACTER}", 0.5), ("1", 0.5)],
    ]


def test_scores_alone_have_empty_labels():
    result = classification_result({"scores": np.float32([[0.5]])}, 1)

    assert result.classifications[0].classes[0].label == ""
    assert result.classifications[0].classes[0].score == 0.5


LABELS = np.array([[b"0", b"1"]], object)


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (
            {"scores": np.float32([0.5])},
            "Expected Tensor shape: [batch_size num_classes] but got [1]",
        ),
        (
            {"scores": np.float64([[0.5]])},
            "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
        (
            {"classes": np.float32([[0.5]])},
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        (
            {"scores": np.float32([[0.5], [0.5]])},
            "Expected scores batch size of 1. Got: 2",
        ),
        (
            {"classes": LABELS, "scores": np.float32([[0.5]])},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
    ],
)
def test_other_outputs_are_refused_by_classify(arrays, text):
    with pytest.raises(ServingError) as raised:
        classification_result(arrays, 1)

    assert raised.value.message == text


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regress_takes_a_vector_or_a_column(shape):
    array = np.float32([0.25, 4]).reshape(shape)

    result = regression_result({"outputs": array}, 2)

    assert [item.value for item in result.regressions] == [0.25, 4]


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (
            np.float32([[1, 2], [3, 4]]),
            "Expected output Tensor shape to be either [batch_size] or "
            "[batch_size, 1] but got [2,2]",
        ),
        (
            np.float32([1]),
            "Expected output batch size of 2. Got: 1",
        ),
        (
            np.float64([1, 2]),
            "Expected output Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
    ],
)
def test_other_outputs_are_refused_by_regress(array, text):
    with pytest.raises(ServingError) as raised:
        regression_result({"outputs": array}, 2)

    assert raised.value.message == text


@pytest.mark.parametrize("method", METHODS)
def test_the_method_name_is_checked_only_when_told(toy_models, method):
    # tf.saved_model.save calls every method "predict".
    request = inference_pb2.MultiInferenceRequest()
    task = request.tasks.add(method_name=method)
    task.model_spec.name = "toy"
    task.model_spec.signature_name = method.rpartition("/")[2]
    request.input.example_list.examples.add()

    assert handlers.multi_inference(toy_models, request).results
    with pytest.raises(ServingError) as raised:
        handlers.multi_inference(
            toy_models, request, signature_method_name_check=True
        )

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.endswith(
        f"method_name to be {method}. Was: tensorflow/serving/predict"
    )


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

    first, second = handlers.multi_inference(
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
        handlers.regress(toy_models, request, timeout=1e-9)

    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
