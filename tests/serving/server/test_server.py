"""A server as a whole: its files, its start, its stop."""

import threading
import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.connections import bind
from deepfm_tf.serving.engine.handlers import WARM_UP_FILE
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import (
    Server,
    message_type,
    read_text_proto,
    single_model_config,
)
from tests.serving.fake_versions import spec
from tests.serving.toy_model import predict_request

SECONDS = 20.0


def options(**keywords):
    """For a server on a free port that polls often."""
    return Options(
        **{
            "port": 0,
            "model_name": "toy",
            "file_system_poll_wait_seconds": 0.02,
            "max_num_load_retries": 0,
            **keywords,
        }
    )


def config_text(root, *names, extra=""):
    """A text ModelServerConfig of models below a folder."""
    models = "".join(
        f'config {{ name: "{name}" base_path: "{root}/{name}" '
        f'model_platform: "tensorflow" {extra} }}'
        for name in names
    )
    return f"model_config_list {{ {models} }}"


def wait_for(server, predicate):
    """Wait for it; called with the loader's lock held."""
    with server.store.loader.changed:
        assert server.store.loader.changed.wait_for(predicate, SECONDS)


def test_a_configuration_file_is_followed(tmp_path, toy_versions, caplog):
    toy_versions(tmp_path / "toy", 1)
    toy_versions(tmp_path / "other", 3)
    file = tmp_path / "models.config"
    file.write_text(config_text(tmp_path, "toy"))
    with Server(
        options(
            model_config_file=str(file),
            model_config_file_poll_wait_seconds=0.02,
        )
    ) as server:
        assert server.store.names() == {"toy"}

        file.write_text("model_config_list {")
        wait_for_log(caplog, "The old configuration is kept: Error parsing")
        assert server.store.names() == {"toy"}
        file.write_text(config_text(tmp_path, "other"))

        models = server.store.loader.models
        wait_for(server, lambda: "other" in models and models["other"].newest)
        assert server.store.names() == {"other"}


def wait_for_log(caplog, text):
    """Wait until it was logged."""
    end = time.monotonic() + SECONDS
    while text not in caplog.text:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_labels_in_the_first_configuration_need_the_flag(
    tmp_path, toy_versions
):
    toy_versions(tmp_path / "toy", 1)
    file = tmp_path / "models.config"
    labels = 'version_labels { key: "stable" value: 1 }'
    file.write_text(config_text(tmp_path, "toy", extra=labels))
    given = {"model_config_file": str(file)}

    with pytest.raises(
        ServingError,
        match="assign label to version 1.*Start with "
        "--allow_version_labels_for_unavailable_models",
    ):
        Server(options(**given)).start()

    given["allow_version_labels_for_unavailable_models"] = True
    with (
        Server(options(**given)) as server,
        server.store.acquire(spec(label="stable")) as loaded,
    ):
        assert loaded.version == 1


def test_a_taken_port_is_told_before_anything_is_loaded(tmp_path):
    with bind(0, "--port") as bound:
        bound.listen()
        port = bound.getsockname()[1]
        server = Server(options(port=port, model_base_path=str(tmp_path)))

        with pytest.raises(ValueError, match=f"{port} .another server"):
            server.start()

    assert server.store.names() == set()


def test_a_start_without_versions_can_be_given_up(tmp_path):
    server = Server(options(model_base_path=str(tmp_path)))

    with pytest.raises(ServingError, match="in time: toy"):
        server.start(timeout=0.1)


def test_a_signal_ends_a_start_that_waits_for_versions(tmp_path):
    server = Server(options(model_base_path=str(tmp_path / "none")))
    asking = threading.Timer(0.2, server.ask_to_stop)
    asking.start()
    begin = time.monotonic()

    with pytest.raises(ServingError, match="No version of these models"):
        server.start(timeout=SECONDS)

    assert time.monotonic() - begin < SECONDS / 2


def test_a_version_given_as_base_path_is_told(toy_path, caplog):
    with pytest.raises(ServingError):
        Server(options(model_base_path=str(toy_path))).start(timeout=0.3)

    assert "a version itself: give the directory above" in caplog.text


def test_a_bad_warm_up_record_fails_the_load(tmp_path, toy_versions):
    toy_versions(tmp_path, 1)
    path = tmp_path / "1" / WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_request())
    del log.predict_log.request.inputs["n1"]
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())
    server = Server(options(model_base_path=str(tmp_path)))

    with pytest.raises(ServingError, match="did not become available.*n1"):
        server.start()

    text = server.metrics.text().decode()
    assert (
        ":tensorflow:serving:model_warmup_latency_count"
        f'{{model_path="{tmp_path}/1",status="INVALID_ARGUMENT"}} 1.0'
    ) in text
    assert f'load_attempt_count{{model_path="{tmp_path}/1"' in text

    unwarmed = options(model_base_path=str(tmp_path), enable_model_warmup=False)
    with Server(unwarmed) as server:
        assert server.store.names() == {"toy"}


def test_the_graph_of_other_tags_is_looked_for(toy_path):
    base = str(toy_path.parent)
    server = Server(options(model_base_path=base, saved_model_tags="serve,gpu"))

    with pytest.raises(ServingError, match="'gpu'.* could not be found"):
        server.start()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0, 0)),
        ({"tensorflow_session_parallelism": 3}, (3, 3)),
        (
            {
                "tensorflow_intra_op_parallelism": 1,
                "tensorflow_inter_op_parallelism": 2,
            },
            (1, 2),
        ),
    ],
)
def test_the_flags_of_parallelism_reach_the_session(
    toy_path, monkeypatch, given, expected
):
    session, seen = tf.compat.v1.Session, []

    def recorded(graph, config):
        seen.append(config)
        return session(graph=graph, config=config)

    monkeypatch.setattr(tf.compat.v1, "Session", recorded)

    with Server(options(model_base_path=str(toy_path.parent), **given)):
        pass

    (config,) = seen
    assert expected == (
        config.intra_op_parallelism_threads,
        config.inter_op_parallelism_threads,
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true path: '/m' }", "/m"),
        (
            "prometheus_config { enable: true }",
            "/monitoring/prometheus/metrics",
        ),
        ("prometheus_config { path: '/m' }", None),
    ],
)
def test_the_monitoring_file_says_where_metrics_are(tmp_path, text, path):
    file = tmp_path / "monitoring"
    file.write_text(text)

    server = Server(
        options(model_base_path="/m", monitoring_config_file=str(file))
    )

    assert server.metrics_path == path
    server.stop()


def test_stopping_unloads_and_closes_the_port(tmp_path, toy_versions):
    toy_versions(tmp_path, 1)
    with (
        Server(options(model_base_path=str(tmp_path))) as server,
        grpc.insecure_channel(f"localhost:{server.port}") as channel,
    ):
        ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        ask(predict_request(), timeout=SECONDS)

        server.stop()
        server.stop()

        with pytest.raises(grpc.RpcError) as caught:
            ask(predict_request(), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    [status] = server.store.status(spec())
    assert status.state == status.END


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "MonitoringConfig",
            'prometheus_config { enable: true path: "/metrics" }',
            lambda m: m.prometheus_config.path == "/metrics",
        ),
        (
            "SSLConfig",
            'server_key: "k" server_cert: "c" custom_ca: "a" '
            "client_verify: true",
            lambda m: m.client_verify and m.server_key == "k",
        ),
    ],
)
def test_text_of_the_real_server_is_read(tmp_path, name, text, expected):
    file = tmp_path / "file"
    file.write_text(text)

    message = read_text_proto(file, message_type(name)())

    assert message.DESCRIPTOR.full_name == f"tensorflow.serving.{name}"
    assert expected(message)


def test_a_bad_file_is_refused_in_the_real_servers_words(tmp_path):
    file = tmp_path / "models.config"
    file.write_text("model_config_list { konfig {} }")

    with pytest.raises(
        ValueError,
        match="Error parsing text-format "
        "tensorflow.serving.ModelServerConfig: .*konfig",
    ):
        read_text_proto(file, ModelServerConfig())


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    file = tmp_path / "absent"
    make(file)

    with pytest.raises(ValueError, match="must be readable.*absent"):
        read_text_proto(file, ModelServerConfig())


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match="Error parsing text-format"):
        read_text_proto(file, ModelServerConfig())


def test_a_relative_base_path_of_the_flag_counts_from_here(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    [model] = single_model_config("m", "models/m").model_config_list.config

    assert model.base_path == str(tmp_path / "models" / "m")
