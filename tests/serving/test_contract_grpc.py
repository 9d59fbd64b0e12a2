"""PredictionService as the real server answers it, row by row.

Every test speaks gRPC. With a `tensorflow_model_server` on PATH the same
tests run against it too.
"""

import re

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.serving.any_server import SERVERS, running_server
from tests.serving.toy_model import (
    COLUMNS,
    expected_ctr,
    predict_request,
)

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module", params=SERVERS)
def stub(request, toy_path):
    """A stub of a server of the toy."""
    flags = ["--model_name=toy", f"--model_base_path={toy_path.parent}"]
    with (
        running_server(request.param, flags) as port,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        made = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        made.Predict(predict_request(), wait_for_ready=True, timeout=60)
        yield made


def refusal(call, request):
    """The name of the code, and the message."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code().name, caught.value.details()


def changed(change):
    """The toy's request, changed in place."""
    request = predict_request()
    change(request)
    return request


def replaced(name, values, dtype=tf.float32):
    """The toy's request with another tensor."""
    request = predict_request()
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtype))
    return request


def without_spec():
    """The toy's inputs for no model."""
    return changed(lambda request: request.ClearField("model_spec"))


def renamed():
    """`n1` under another name."""
    request = predict_request()
    request.inputs["bogus"].CopyFrom(request.inputs["n1"])
    del request.inputs["n1"]
    return request


def set_version(number):
    """The toy's request for one version."""
    return changed(
        lambda request: setattr(request.model_spec.version, "value", number)
    )


def set_spec(**fields):
    """The toy's request with other fields of `model_spec`."""
    request = predict_request()
    for name, value in fields.items():
        setattr(request.model_spec, name, value)
    return request


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (without_spec(), "Missing ModelSpec"),
        (set_spec(name=""), "ModelSpec has no name specified."),
        (set_spec(version_label="canary"),
         "Unrecognized servable version label: canary"),
        (replaced("n0", [1, 2, 3], tf.float64),
         "Expects arg[3] to be float but double is provided"),
        (changed(lambda request: setattr(
            request.inputs["n0"], "tensor_content", b"\0" * 11)),
         "tensor parsing error: n0"),
        (changed(lambda request: request.inputs["n0"].ClearField("dtype")),
         "tensor parsing error: n0"),
        (changed(lambda request: request.output_filter.append("nope")),
         "output tensor alias not found in signature: nope Outputs expected "
         "to be in the set {ctr}."),
        (changed(lambda request: request.output_filter.extend(["ctr"] * 2)),
         "duplicate output tensor alias: ctr"),
    ],
)  # fmt: skip
def test_predict_refuses_arguments(stub, request_, message):
    assert refusal(stub.Predict, request_) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (set_spec(name="nope"), "NOT_FOUND",
         "Servable not found for request: Latest(nope)"),
        *[(set_version(number), "NOT_FOUND",
           f"Servable not found for request: Specific(toy, {number})")
          for number in (99, 0, -1)],
        (set_spec(signature_name="nosig"), "FAILED_PRECONDITION",
         'Serving signature key "nosig" not found.'),
    ],
)  # fmt: skip
def test_predict_refuses(stub, request_, code, message):
    assert refusal(stub.Predict, request_) == (code, message)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (changed(lambda request: request.inputs.pop("n1")),
         "^input size does not match signature: 4!=5.* Sent extra: {}. "
         "Missing but required: {n1}.$"),
        (replaced("bogus", [1.0]),
         "^input size does not match signature: 6!=5.* Sent extra: {bogus}. "
         "Missing but required: {}.$"),
        (renamed(),
         "^Signature input alias: n1.* not found in request and no default "
         "value provided."),
        (replaced("n0", 1.0),
         "slice index 0 of dimension 0 out of bounds.*{{node"),
        (replaced("n0", [1.0, 2.0]),
         "ConcatOp : Dimension 0 in both shapes must be equal.*{{node"),
    ],
)  # fmt: skip
def test_predict_says_what_does_not_fit(stub, request_, text):
    code, message = refusal(stub.Predict, request_)

    assert code == "INVALID_ARGUMENT"
    assert re.search(text, message, re.DOTALL)


def test_predict_answers(stub):
    response = stub.Predict(predict_request(), timeout=30)

    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs) == ["ctr"]
    answer = response.outputs["ctr"]
    assert not answer.tensor_content
    assert [dim.size for dim in answer.tensor_shape.dim] == [3]
    # float32 arithmetic against float64.
    expected = expected_ctr(COLUMNS)
    np.testing.assert_allclose(answer.float_val, expected, rtol=1e-6)


def test_predict_takes_columns_of_one(stub):
    request = replaced("n0", [[0.5], [-1.0], [2.0]])

    answer = stub.Predict(request, timeout=30).outputs["ctr"]

    expected = expected_ctr(COLUMNS)
    np.testing.assert_allclose(answer.float_val, expected, rtol=1e-6)


def test_predict_repeats_the_last_value_and_ignores_a_surplus(stub):
    request = predict_request()
    for name, values in {"n0": [0.5, 2], "n1": [1, 0, -3, 9]}.items():
        request.inputs[name].ClearField("tensor_content")
        request.inputs[name].float_val[:] = values

    answer = stub.Predict(request, timeout=30).outputs["ctr"]

    expected = expected_ctr({**COLUMNS, "n0": [0.5, 2, 2]})
    np.testing.assert_allclose(answer.float_val, expected, rtol=1e-6)


def test_predict_answers_no_rows(stub):
    request = predict_request({name: [] for name in COLUMNS})

    answer = stub.Predict(request, timeout=30).outputs["ctr"]

    assert [dim.size for dim in answer.tensor_shape.dim] == [0]


def example(**features):
    """Bytes are text, floats are numbers; an integer is neither."""
    found = tf.train.Example()
    for name, value in features.items():
        feature = found.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    return found


EXAMPLES = [
    example(c0=b"a", c1=b"b", n0=0.5, n1=1.0),
    example(c0=b"b", c2=b"a", n0=-1.0),
]
EXPECTED = expected_ctr(
    {
        "c0": ["a", "b"],
        "c1": ["b", ""],
        "c2": ["", "a"],
        "n0": [0.5, -1.0],
        "n1": [1.0, 0.0],
    }
)


def on_examples(request_type, signature_name="", examples=EXAMPLES):
    """A request of Classify or Regress."""
    request = request_type()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.extend(examples)
    return request


def classification(*arguments, **keywords):
    """A ClassificationRequest."""
    return on_examples(
        classification_pb2.ClassificationRequest, *arguments, **keywords
    )


def regression(*arguments, **keywords):
    """A RegressionRequest."""
    return on_examples(regression_pb2.RegressionRequest, *arguments, **keywords)


@pytest.mark.parametrize("signature", ["classify", "regress"])
def test_predict_runs_the_signatures_of_the_others(stub, signature):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature
    texts = [item.SerializeToString() for item in EXAMPLES]
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(texts))

    outputs = stub.Predict(request, timeout=30).outputs

    if signature == "classify":
        scores = tf.make_ndarray(outputs["scores"])
        np.testing.assert_allclose(scores[:, 1], EXPECTED, rtol=1e-6)
        labels = tf.make_ndarray(outputs["classes"])
        assert labels.tolist() == [[b"0", b"1"]] * 2
    else:
        values = tf.make_ndarray(outputs["outputs"])
        np.testing.assert_allclose(values, EXPECTED, rtol=1e-6)


def test_classify_answers_labels_and_scores(stub):
    response = stub.Classify(classification("classify"), timeout=30)

    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "classify"
    found = response.result.classifications
    labels = [[item.label for item in row.classes] for row in found]
    scores = [[item.score for item in row.classes] for row in found]
    assert labels == [["0", "1"]] * 2
    expected = np.stack([1 - EXPECTED, EXPECTED], axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_regress_answers_values(stub):
    response = stub.Regress(regression("regress"), timeout=30)

    assert response.model_spec.signature_name == "regress"
    values = [item.value for item in response.result.regressions]
    np.testing.assert_allclose(values, EXPECTED, rtol=1e-6)


def test_regress_merges_the_context(stub):
    request = regression("regress", examples=[])
    inputs = request.input.example_list_with_context
    inputs.context.CopyFrom(example(c0=b"a", n1=1.0, n0=9.0))
    inputs.examples.append(example(c1=b"b", n0=0.5))
    inputs.examples.append(example(c0=b"b", c2=b"a", n0=-1.0, n1=0.0))

    response = stub.Regress(request, timeout=30)

    values = [item.value for item in response.result.regressions]
    np.testing.assert_allclose(values, EXPECTED, rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "request_", "text"),
    [
        ("Classify", classification("zzz"),
         "^No signature was found with the name: zzz$"),
        ("Regress", regression("zzz"),
         "^No signature was found with the name: zzz$"),
        ("Classify", classification_pb2.ClassificationRequest(),
         "^Missing ModelSpec$"),
        ("Regress", regression_pb2.RegressionRequest(), "^Missing ModelSpec$"),
        ("Classify", classification(), "^Expected one input Tensor.$"),
        ("Regress", regression(), "^Expected one input Tensor.$"),
        ("Classify", classification("regress"),
         "^Expected classification signature outputs to contain at least one "
         'of "classes" or "scores". Signature was: '),
        ("Regress", regression("classify"), "^Expected one output Tensor.$"),
        ("Classify", classification("classify", []), "^Input is empty.$"),
        ("Regress", regression("regress", []), "^Input is empty.$"),
        ("Regress", regression("regress", [example(c0=1)]),
         "Name: <unknown>, Key: c0, Index: 0.  Data types don't match. "
         "Data type: int64 but expected type: string"),
    ],
)  # fmt: skip
def test_classify_and_regress_refuse(stub, method, request_, text):
    code, message = refusal(getattr(stub, method), request_)

    assert code == "INVALID_ARGUMENT"
    assert re.search(text, message), message


def tasks(*pairs, model="toy"):
    """A MultiInferenceRequest of (signature, method)."""
    request = inference_pb2.MultiInferenceRequest()
    for name, method in pairs:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = model
        task.model_spec.signature_name = name
    request.input.example_list.examples.extend(EXAMPLES)
    return request


def of_two_models():
    """Tasks of the toy and of another model."""
    request = tasks(("classify", CLASSIFY), ("regress", REGRESS))
    request.tasks[1].model_spec.name = "other"
    return request


def test_multi_inference_answers_each_task(stub):
    request = tasks(("regress", REGRESS), ("classify", CLASSIFY))

    response = stub.MultiInference(request, timeout=30)

    first, second = response.results
    assert first.model_spec.signature_name == "regress"
    assert second.model_spec.signature_name == "classify"
    assert second.model_spec.version.value == 1
    values = [item.value for item in first.regression_result.regressions]
    np.testing.assert_allclose(values, EXPECTED, rtol=1e-6)
    rows = second.classification_result.classifications
    scores = [row.classes[1].score for row in rows]
    np.testing.assert_allclose(scores, EXPECTED, rtol=1e-6)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (inference_pb2.MultiInferenceRequest(), "INVALID_ARGUMENT",
         "ModelSpec has no name specified."),
        (tasks(("regress", REGRESS), ("regress", REGRESS)), "INVALID_ARGUMENT",
         "Duplicate evaluation of signature: regress"),
        (of_two_models(), "INVALID_ARGUMENT",
         "All ModelSpecs in a MultiInferenceRequest must access the same model "
         "name."),
        (tasks(("regress", "tensorflow/serving/predict")), "UNIMPLEMENTED",
         "Unsupported signature method_name: tensorflow/serving/predict"),
        (tasks(("zz", REGRESS)), "INVALID_ARGUMENT",
         "Requested signature not found in model graph: zz"),
    ],
)  # fmt: skip
def test_multi_inference_refuses(stub, request_, code, message):
    assert refusal(stub.MultiInference, request_) == (code, message)


def metadata_request(*fields, name="toy"):
    """A GetModelMetadataRequest."""
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = name
    request.metadata_field.extend(fields)
    return request


def test_metadata_has_every_signature(stub):
    response = stub.GetModelMetadata(
        metadata_request("signature_def"), timeout=30
    )

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == [
        "__saved_model_init_op",
        "classify",
        "regress",
        "serving_default",
    ]
    inputs = signatures.signature_def["serving_default"].inputs
    assert sorted(inputs) == sorted(COLUMNS)
    assert response.model_spec.version.value == 1
    assert not response.model_spec.signature_name


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), "INVALID_ARGUMENT",
         "Missing ModelSpec"),
        (metadata_request(), "INVALID_ARGUMENT",
         "GetModelMetadataRequest must specify at least one metadata_field"),
        (metadata_request("xyz"), "INVALID_ARGUMENT",
         "Metadata field xyz is not supported"),
        (metadata_request("signature_def", name="nope"), "NOT_FOUND",
         "Servable not found for request: Latest(nope)"),
    ],
)  # fmt: skip
def test_metadata_refuses(stub, request_, code, message):
    assert refusal(stub.GetModelMetadata, request_) == (code, message)
