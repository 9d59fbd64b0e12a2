"""Warm-up records: replayed, counted, and refused with their number."""

import shutil

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from deepfm_tf.serving.engine import warmup
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import predict_request


@pytest.fixture
def servable(tmp_path, toy_path):
    """A copy of the toy to put records beside."""
    path = tmp_path / "1"
    shutil.copytree(toy_path, path)
    servable = Servable(path)
    yield servable
    servable.close()


def write(servable, *records):
    """The records into the version's file."""
    path = servable.path / warmup.FILE
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

    assert warmup.warm_up(servable, iterations=2) == 4


def test_no_file_is_no_error(servable):
    assert warmup.warm_up(servable) == 0


def test_a_record_that_fails_is_named(servable):
    log = predict_log()
    del log.predict_log.request.inputs["n1"]
    write(servable, predict_log(), log)

    with pytest.raises(ServingError) as raised:
        warmup.warm_up(servable)

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.startswith(
        f"Warm-up record 1 of {servable.path / warmup.FILE} "
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
        warmup.warm_up(servable)

    assert raised.value.code is code


def test_a_file_of_another_format_is_data_loss(servable):
    write(servable)
    (servable.path / warmup.FILE).write_bytes(b"no records here" * 9)

    with pytest.raises(ServingError) as raised:
        warmup.warm_up(servable)

    assert raised.value.code is grpc.StatusCode.DATA_LOSS


def test_a_thousand_records_are_the_limit(servable, monkeypatch):
    monkeypatch.setattr(warmup, "MAX_RECORDS", 2)
    write(servable, *[predict_log()] * 3)

    with pytest.raises(ServingError, match="exceeds the maximum"):
        warmup.warm_up(servable)
