"""Every method of both services, over the official stubs."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
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
    get_model_status,
    methods,
    num_examples,
    reload_config,
)
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.server.server import Server
from tests.serving.fake_versions import FakeModels
from tests.serving.toy_model import COLUMNS, expected_ctr, predict_request

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


def test_regress_classify_and_both_agree(stub):
    expected = pytest.approx(list(expected_ctr(COLUMNS)[[0, 2]]), rel=1e-5)
    regression = regression_pb2.RegressionRequest(input=examples(0, 2))
    regression.model_spec.name = "toy"
    regression.model_spec.signature_name = "regress"
    classification = classification_pb2.ClassificationRequest(
        input=examples(0, 2)
    )
    classification.model_spec.name = "toy"
    classification.model_spec.signature_name = "classify"
    both = inference_pb2.MultiInferenceRequest(input=examples(0, 2))
    task = both.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.CopyFrom(regression.model_spec)

    regressed = stub.Regress(regression, timeout=SECONDS)
    classified = stub.Classify(classification, timeout=SECONDS)
    inferred = stub.MultiInference(both, timeout=SECONDS)

    assert [r.value for r in regressed.result.regressions] == expected
    assert [
        c.classes[1].score for c in classified.result.classifications
    ] == expected
    [result] = inferred.results
    assert [r.value for r in result.regression_result.regressions] == expected


def test_metadata_lists_the_signatures(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    request.model_spec.name = "toy"

    response = stub.GetModelMetadata(request, timeout=SECONDS)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "classify", "regress"} <= set(
        signatures.signature_def
    )


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
    made.manager.stop()


def test_a_reload_serves_and_status_shows_it(models):
    models.add(1)
    request = model_management_pb2.ReloadConfigRequest(config=models.config())

    response = reload_config(models.manager, request)

    assert response.status.error_code == 0
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "toy"
    [version] = get_model_status(models.manager, status).model_version_status
    assert (version.version, version.state) == (1, version.AVAILABLE)


def test_a_reload_that_is_given_up_ends(models):
    request = model_management_pb2.ReloadConfigRequest(config=models.config())

    with pytest.raises(ServingError) as caught:
        reload_config(models.manager, request, lambda: True)

    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("field", ["custom_model_config", None])
def test_only_a_list_of_models_can_be_reloaded(models, field):
    request = model_management_pb2.ReloadConfigRequest()
    if field:
        getattr(request.config, field).type_url = "x"

    with pytest.raises(ServingError, match="Only ModelConfigList"):
        reload_config(models.manager, request)
