"""Every method of both services, over the official stubs."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    input_pb2,
    model_management_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.grpc_methods import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    methods,
    num_examples,
    reload_config,
)
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.server.server import Server
from tests.serving.fake_versions import FakeModels
from tests.serving.toy_model import COLUMNS, predict_request

SECONDS = 20.0


def examples(*rows):
    """The `input` of a request: rows of `COLUMNS` by index."""
    sent = input_pb2.Input()
    for row in rows:
        features = sent.example_list.examples.add().features.feature
        for name, values in COLUMNS.items():
            if isinstance(values[row], str):
                text = values[row].encode()
                features[name].bytes_list.value.append(text)
            else:
                features[name].float_list.value.append(values[row])
    return sent


class RecordingChannel:
    """Keeps how requests are serialized: path of a method -> function."""

    def __init__(self):
        self.serializers = {}

    def unary_unary(self, path, request_serializer, **_):
        self.serializers[path] = request_serializer


@pytest.fixture
def stub(toy_channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(toy_channel)


def test_the_methods_are_those_of_the_services():
    table = methods(None, Options(), Metrics())

    # The official stub serializes requests of its own types only.
    channel = RecordingChannel()
    prediction_service_pb2_grpc.PredictionServiceStub(channel)
    service = "/tensorflow.serving.PredictionService/"
    assert {service + m.name for m in table[PREDICTION_SERVICE]} == set(
        channel.serializers
    )
    for method in table[PREDICTION_SERVICE]:
        serialize = channel.serializers[service + method.name]
        assert serialize(method.request_type()) == b""
    assert {m.name for m in table[MODEL_SERVICE]} == {
        "GetModelStatus",
        "HandleReloadConfigRequest",
    }


def test_runs_and_examples_are_counted(toy_server, stub):
    stub.Predict(predict_request(), timeout=SECONDS)
    request = regression_pb2.RegressionRequest(input=examples(0, 1, 2))
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "regress"
    stub.Regress(request, timeout=SECONDS)

    text = toy_server.metrics.text().decode()
    assert (
        ":tensorflow:serving:runtime_latency_count"
        '{API="Predict",model_name="toy",runtime="TF1"}'
    ) in text
    assert 'request_count{model_name="toy",status="OK"}' in text
    assert 'request_example_count_total{model="toy"}' in text


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (regression_pb2.RegressionRequest(input=examples(0, 1)), 2),
        (regression_pb2.RegressionRequest(), 0),
        (predict_request(), None),
        (model_management_pb2.ReloadConfigRequest(), None),
    ],
)
def test_examples_are_counted_where_there_are_any(request_, number):
    assert num_examples(request_) == number


def test_typed_values_unless_the_flag_asks_for_bytes(toy_path, stub):
    typed = stub.Predict(predict_request(), timeout=SECONDS).outputs["ctr"]
    options = Options(
        port=0,
        model_name="toy",
        model_base_path=str(toy_path.parent),
        enable_serialization_as_tensor_content=True,
    )
    with (
        Server(options) as server,
        grpc.insecure_channel(f"localhost:{server.port}") as channel,
    ):
        packed = (
            prediction_service_pb2_grpc.PredictionServiceStub(channel)
            .Predict(predict_request(), timeout=SECONDS)
            .outputs["ctr"]
        )

    assert len(typed.float_val) == 3 and not typed.tensor_content
    assert len(packed.tensor_content) == 12 and not packed.float_val
    assert list(tf.make_ndarray(packed)) == list(tf.make_ndarray(typed))


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path)
    yield made
    made.store.stop()


@pytest.mark.parametrize("field", ["custom_model_config", None])
def test_only_a_list_of_models_can_be_reloaded(models, field):
    request = model_management_pb2.ReloadConfigRequest()
    if field:
        getattr(request.config, field).type_url = "x"

    with pytest.raises(ServingError, match="Only ModelConfigList"):
        reload_config(models.store, request)
