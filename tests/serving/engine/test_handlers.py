"""The answers of `handlers`, against the texts of TensorFlow Serving."""

import os
import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings, strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.protos import METHODS
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import (
    COLUMNS,
    ToyModels,
    predict_request,
    save_v1,
    signature_v1,
)


class Defaults(tf.Module):
    """`y = a + b`, where `b` may be left out."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, "a"),
            tf.TensorSpec([1], tf.float32, "b"),
        ],
        autograph=False,
    )
    def add(self, a, b=tf.constant([7.0])):  # noqa: B008
        """A signature with a default."""
        return {"y": a + b, "negative": -a - b}


@pytest.fixture(scope="module")
def defaults(tmp_path_factory):
    """Models of `Defaults`."""
    path = tmp_path_factory.mktemp("defaults") / "1"
    module = Defaults()
    signatures = {"serving_default": module.add}
    tf.saved_model.save(module, str(path), signatures=signatures)
    servable = Servable(path)
    yield ToyModels(servable)
    servable.close()


def request_of(**values):
    """A request of float vectors."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "defaults"
    for name, value in values.items():
        proto = tf.make_tensor_proto(value, tf.float32)
        request.inputs[name].CopyFrom(proto)
    return request


def test_an_input_with_a_default_may_be_left_out(defaults):
    left_out = handlers.predict(defaults, request_of(a=[1, 2]))
    sent = handlers.predict(defaults, request_of(a=[1, 2], b=[1]))

    assert left_out.outputs["y"].float_val == [8, 9]
    assert sent.outputs["y"].float_val == [2, 3]


def test_an_input_without_a_default_may_not(defaults):
    with pytest.raises(ServingError) as raised:
        handlers.predict(defaults, request_of(b=[1]))

    assert raised.value.message == (
        "Signature input alias: a not found in request and no default value "
        "provided. Sent extra: {}."
    )


def test_metadata_leaves_the_defaults_out(defaults):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "defaults"

    response = handlers.get_model_metadata(defaults, request)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert not signatures.signature_def["serving_default"].defaults


def test_the_output_filter_chooses(defaults):
    request = request_of(a=[1])
    request.output_filter.append("negative")

    response = handlers.predict(defaults, request)

    assert list(response.outputs) == ["negative"]
    assert response.outputs["negative"].float_val == [-8]


def test_predict_checks_the_method_name_only_when_told(toy_path):
    servable = Servable(toy_path)
    models = ToyModels(servable)
    signature = servable.signature_defs["serving_default"]
    signature.method_name = "another/method"

    assert handlers.predict(models, predict_request())
    with pytest.raises(ServingError) as raised:
        handlers.predict(
            models, predict_request(), signature_method_name_check=True
        )

    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message == (
        "Expected prediction signature method_name to be one of "
        "{tensorflow/serving/predict, tensorflow/serving/classify, "
        "tensorflow/serving/regress}. Was: another/method"
    )
    servable.close()


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


@pytest.mark.parametrize("kind", ["predict", "regress"])
def test_an_answer_takes_no_longer_than_its_timeout(toy_models, kind):
    request = predict_request({n: v * 3000 for n, v in COLUMNS.items()})
    if kind == "regress":
        request = regression_pb2.RegressionRequest()
        request.model_spec.signature_name = "regress"
        example = tf.train.Example()
        request.input.example_list.examples.extend([example] * 3000)

    # A timeout of nothing is at least a millisecond, and no "for ever".
    with pytest.raises(ServingError) as raised:
        for _ in range(1000):
            getattr(handlers, kind)(toy_models, request, timeout=1e-9)

    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture(scope="module")
def copied(tmp_path_factory, toy_path):
    """A copy of the toy, loaded."""
    path = tmp_path_factory.mktemp("copied") / "1"
    shutil.copytree(toy_path, path)
    servable = Servable(path)
    yield servable
    servable.close()


@pytest.fixture
def servable(copied):
    """One to put records beside."""
    yield copied
    (copied.path / handlers.WARM_UP_FILE).unlink(missing_ok=True)


def write(servable, *records):
    """The records into the version's file."""
    path = servable.path / handlers.WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            if not isinstance(record, bytes):
                record = record.SerializeToString()
            writer.write(record)


def predict_log():
    """A record that passes; it names another model."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_request())
    log.predict_log.request.model_spec.name = "another"
    return log


def example_log(kind, signature_name):
    """A record of Classify or Regress with one example."""
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    request.model_spec.name = "another"
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.add()
    return log


def multi_inference_log():
    """A record of two tasks."""
    log = prediction_log_pb2.PredictionLog()
    request = log.multi_inference_log.request
    for name in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name = "another"
        task.model_spec.signature_name = name
    request.input.example_list.examples.add()
    return log


def test_every_kind_of_record_is_replayed(servable):
    write(
        servable,
        predict_log(),
        example_log("classify_log", "classify"),
        example_log("regress_log", "regress"),
        multi_inference_log(),
    )

    assert handlers.warm_up(servable, iterations=2) == 4


def test_no_file_is_no_error(servable):
    assert handlers.warm_up(servable) == 0


def test_a_record_that_fails_is_named(servable):
    log = predict_log()
    del log.predict_log.request.inputs["n1"]
    write(servable, predict_log(), log)

    with pytest.raises(ServingError) as raised:
        handlers.warm_up(servable)

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.startswith(
        f"Warm-up record 1 of {servable.path / handlers.WARM_UP_FILE} "
        "(signature 'serving_default'): "
    )
    assert "Missing but required: {n1}." in raised.value.message


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"", grpc.StatusCode.UNIMPLEMENTED),
    ],
)
def test_what_is_no_request_is_named(servable, record, code):
    write(servable, record)

    with pytest.raises(ServingError, match="Warm-up record 0") as raised:
        handlers.warm_up(servable)

    assert raised.value.code is code


def test_a_file_of_another_format_is_data_loss(servable):
    write(servable)
    (servable.path / handlers.WARM_UP_FILE).write_bytes(b"no records here" * 9)

    with pytest.raises(ServingError) as raised:
        handlers.warm_up(servable)

    assert raised.value.code is grpc.StatusCode.DATA_LOSS


def test_a_thousand_records_are_the_limit(servable, monkeypatch):
    monkeypatch.setattr(handlers, "MAX_WARM_UP_RECORDS", 2)
    write(servable, *[predict_log()] * 3)

    with pytest.raises(ServingError, match="exceeds the maximum"):
        handlers.warm_up(servable)


CLIENT_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
}
FUZZ = settings(
    max_examples=20 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def blamed_on_the_client(handler, models, request_type, content):
    """Answers bytes; any failure must be of the client's kind."""
    try:
        handler(models, request_type.FromString(content))
    except DecodeError:
        return
    except ServingError as error:
        assert error.code in CLIENT_CODES, error


@st.composite
def tensors(draw):
    """TensorProtos of any dtype, shape and content."""
    proto = tensor_pb2.TensorProto()
    proto.dtype = draw(st.sampled_from([0, 1, 2, 7, 9, 20, 21, 23, 101, 999]))
    sizes = st.one_of(
        st.integers(-2, 4), st.sampled_from([10**6, 10**12, 2**62, -(2**63)])
    )
    for size in draw(st.lists(sizes, max_size=3)):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_shape.unknown_rank = draw(st.booleans())
    if draw(st.booleans()):
        proto.tensor_content = draw(st.binary(max_size=17))
    numbers = st.floats(width=32)
    proto.float_val.extend(draw(st.lists(numbers, max_size=5)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=5), max_size=5)))
    proto.version_number = draw(st.integers(-1, 2))
    return proto


@FUZZ
@given(
    names=st.lists(st.sampled_from(["c0", "n0", "n1", "x"]), max_size=3),
    data=st.data(),
)
def test_any_tensor_costs_an_error_at_most(toy_models, names, data):
    request = predict_request()
    for name in names:
        request.inputs[name].CopyFrom(data.draw(tensors()))

    blamed_on_the_client(
        handlers.predict,
        toy_models,
        predict_pb2.PredictRequest,
        request.SerializeToString(),
    )


@st.composite
def broken(draw, content):
    """The bytes with some of them replaced, cut out or put in."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(found)))
        end = start + draw(st.integers(0, 3))
        found[start:end] = draw(st.binary(max_size=3))
    return bytes(found)


def classification_request():
    """A request of two examples and a context."""
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "classify"
    inputs = request.input.example_list_with_context
    inputs.context.features.feature["c0"].bytes_list.value.append(b"a")
    for number in (1.5, 2):
        feature = inputs.examples.add().features.feature["n0"]
        feature.float_list.value.append(number)
    return request


@FUZZ
@given(texts=st.lists(st.binary(max_size=20), max_size=3))
def test_any_bytes_for_an_example_cost_an_error_at_most(toy_models, texts):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "classify"
    proto = tf.make_tensor_proto(np.array(texts, object), tf.string)
    request.inputs["inputs"].CopyFrom(proto)

    blamed_on_the_client(
        handlers.predict,
        toy_models,
        predict_pb2.PredictRequest,
        request.SerializeToString(),
    )


@pytest.mark.parametrize(
    ("handler", "request_"),
    [
        (handlers.predict, predict_request()),
        (handlers.classify, classification_request()),
    ],
)
def test_broken_bytes_cost_an_error_at_most(toy_models, handler, request_):
    @FUZZ
    @given(content=broken(request_.SerializeToString(deterministic=True)))
    def check(content):
        blamed_on_the_client(handler, toy_models, type(request_), content)

    check()
