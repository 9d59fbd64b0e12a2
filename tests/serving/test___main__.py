"""The command."""

import contextlib
import importlib.util
import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from unittest import mock

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from deepfm_tf.serving import __main__ as command
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.shell import command_line
from tests.serving.toy_model import predict_request

SECONDS = 60.0


def test_help_groups_the_flags(capsys):
    assert command.main(["--help"]) == command.EXIT_OK

    text = capsys.readouterr().out
    assert text.startswith("Serve SavedModels")
    assert "\nWhere to listen:\n  --port=8500\n" in text


@pytest.mark.parametrize(
    ("typed", "predict"),
    [
        ("deepfm-tf serve", "deepfm-tf predict"),
        ("python -m deepfm_tf.serving", "python -m deepfm_tf.serving predict"),
    ],
)
def test_the_help_names_the_command_that_was_typed(typed, predict, capsys):
    command.main(["--help"], typed)
    text = capsys.readouterr().out
    assert f"\n  {typed} --model_name=NAME" in text
    assert f"\n  {predict} --help " in text

    with pytest.raises(SystemExit):
        command.main(["predict", "--help"], typed)
    assert capsys.readouterr().out.startswith(f"usage: {predict} [")


@pytest.mark.parametrize(
    "flag", ["model_config_file", "monitoring_config_file", "ssl_config_file"]
)
def test_a_missing_file_is_told_before_anything_starts(
    flag, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "serve", pytest.fail)

    status = command.main(["--model_base_path=/m", f"--{flag}={tmp_path}/no"])

    assert status == command.EXIT_FAILED
    assert capsys.readouterr().err == (
        f"--{flag} must be a file. Received: {tmp_path}/no, which is not "
        "there. Check the path.\n"
    )


def test_a_missing_directory_of_versions_is_told_at_once(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(command, "serve", lambda *_: command.EXIT_OK)

    assert command.main([f"--model_base_path={tmp_path}"]) == 0
    assert capsys.readouterr().err == ""
    assert command.main([f"--model_base_path={tmp_path}/no"]) == 0
    assert f"no directory {tmp_path}/no yet" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    assert command.main(["--version"]) == command.EXIT_OK

    assert re.fullmatch(r"deepfm-tf \d+\.\d+\S*\n", capsys.readouterr().out)


def test_a_wrong_flag_is_a_usage_error(capsys):
    status = command.main(["--model_base_path=/m", "--prot=1"])

    assert status == command.EXIT_USAGE
    assert "Did you mean --port?" in capsys.readouterr().err


def test_a_mistyped_command_is_told_the_right_one(capsys):
    assert command.main(["predct", "--input=x.csv"]) == command.EXIT_USAGE

    err = capsys.readouterr().err
    assert err.startswith("Unknown command: predct. Did you mean predict?")


def test_ctrl_c_while_it_starts_is_one_line(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "serve", interrupted)

    assert command.main([f"--model_base_path={tmp_path}"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_without_the_extra_its_packages_are_named(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda n: None if n in ("grpc_health", "uvicorn") else find_spec(n),
    )

    status = command.main(["--model_base_path=/m"])

    error = capsys.readouterr().err
    assert status == command.EXIT_FAILED
    assert error.startswith("The server needs grpcio-health-checking and uvi")
    assert error.endswith("pip install grpcio-health-checking uvicorn\n")


# Runs command lines; the status of each, and what it has imported by then.
READ_LINES = """
import json, sys
from deepfm_tf.serving import __main__ as command

heavy = {"tensorflow", "keras", "pandas", "pyarrow"}
found = []
for arguments in json.loads(sys.argv[1]):
    try:
        status = command.main(arguments)
    except SystemExit as end:
        status = end.code
    found.append([arguments, status or 0, sorted(heavy & set(sys.modules))])
with open(sys.argv[2], "w") as file:
    json.dump(found, file)
"""


def test_a_command_line_is_read_before_tensorflow_is_imported(tmp_path):
    expected = [
        [["--help"], 0, []],
        [["--prot=1"], 2, []],
        [["predct"], 2, []],
        [["predict", "--help"], 0, []],
        [["predict", "--input=nope.csv"], 1, []],
        [["--model_config_file=nope.config"], 1, []],
        [["config", "--help"], 0, []],
    ]
    lines = json.dumps([arguments for arguments, _, _ in expected])

    process = subprocess.run(
        [sys.executable, "-c", READ_LINES, lines, tmp_path / "found.json"],
        cwd=Path(command.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert process.returncode == 0, process.stderr
    assert json.loads((tmp_path / "found.json").read_text()) == expected


def test_as_a_module_it_reads_its_command_line_first():
    process = subprocess.run(
        [
            *(sys.executable, "-X", "importtime"),
            *("-m", "deepfm_tf.serving", "--prot=1"),
        ],
        cwd=Path(command.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert process.returncode == 2
    imported = set(re.findall(r"\| +([\w.]+)$", process.stderr, re.MULTILINE))
    assert "deepfm_tf.backend" in imported
    assert not imported & {"tensorflow", "keras", "pandas", "pyarrow"}


def test_a_bad_file_fails_in_one_line(tmp_path, capsys):
    file = tmp_path / "models.config"
    file.write_text("x")

    status = command.main([f"--model_config_file={file}"])

    assert status == command.EXIT_FAILED
    assert capsys.readouterr().err.startswith(
        "Error parsing text-format tensorflow.serving.ModelServerConfig"
    )


def test_a_start_that_fails_says_why(capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    status = command.main(["--model_base_path=s3://b/m", "--port=0"])

    assert status == command.EXIT_FAILED
    assert capsys.readouterr().err.startswith(
        "Failed to start server. Error: INVALID_ARGUMENT: Model default: "
        "base_path must be a local directory"
    )


@pytest.mark.parametrize(("word", "status"), [("predict", 0), ("config", 3)])
def test_subcommands_get_their_arguments(monkeypatch, word, status):
    seen = []
    module = types.SimpleNamespace(
        main=lambda *given: seen.append(given) or status
    )
    monkeypatch.setitem(sys.modules, command.COMMANDS[word], module)

    assert command.main([word, "--x", "1"]) == status
    assert seen == [(["--x", "1"], f"deepfm-tf {word}")]


def test_the_second_signal_ends_at_once(monkeypatch):
    handlers, statuses = {}, []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(os, "_exit", statuses.append)
    server = types.SimpleNamespace(is_asked_to_stop=False)
    server.ask_to_stop = lambda: setattr(server, "is_asked_to_stop", True)

    command.stop_on_signals(server)

    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert (server.is_asked_to_stop, statuses) == (True, [])
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert statuses == [128 + signal.SIGINT]


def test_the_announcement_says_what_to_type_next(toy_servable):
    loaded = types.SimpleNamespace(servable=toy_servable)
    server = types.SimpleNamespace(
        store=types.SimpleNamespace(
            names=lambda: {"ctr"},
            acquire=lambda _: contextlib.nullcontext(loaded),
        ),
        options=Options(grpc_socket_path="/tmp/s"),
        port=8500,
        rest_port=8501,
        metrics_path="/metrics",
    )

    text = command.announcement(server, "deepfm-tf serve")

    for part in (
        "gRPC  localhost:8500",
        "unix:/tmp/s",
        "http://localhost:8501/v1/models/ctr",
        "http://localhost:8501/metrics",
        command_line("deepfm-tf", "predict")
        + " --address localhost:8500 --model_name ctr --input rows.csv",
        '"c0": "", "c1": "", "c2": "", "n0": 0.0, "n1": 0.0}]}\' '
        "http://localhost:8501/v1/models/ctr:predict",
    ):
        assert part in text


@pytest.fixture(scope="module")
def process(toy_path, tmp_path_factory):
    """The command as a process; its port as `.port`."""
    log = tmp_path_factory.mktemp("log") / "stderr"
    with open(log, "w") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "deepfm_tf.serving",
                "--port=0",
                "--model_name",
                "toy",
                f"--model_base_path={toy_path.parent}",
                "--enable_grpc_healthcheck_service",
            ],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    ready, _, _ = select.select([process.stdout], [], [], SECONDS)
    assert ready, log.read_text()
    assert process.stdout.readline() == "Serving toy\n", log.read_text()
    process.log = log
    process.port = process.stdout.readline().rpartition(":")[2].strip()
    yield process
    process.kill()
    process.wait(SECONDS)
    process.stdout.close()


@pytest.mark.long
@pytest.mark.slow_process
def test_the_log_has_no_line_of_tensorflows_own(process):
    lines = process.log.read_text().splitlines()

    assert any("toy version 1: available" in line for line in lines), lines
    if tf.__version__.startswith("2.20."):
        # It says once, whatever the level, that it does not use MLIR.
        of_its_own = ("All log messages before absl", "MLIR V1 optimization")
        lines = [x for x in lines if not any(o in x for o in of_its_own)]
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\d .* deepfm_tf", line), line


def check_the_request_under_way_is_answered(port, send_sigterm):
    """While the server stops, which says so to all who watch it."""
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=SECONDS
        )
        serving = health_pb2.HealthCheckResponse
        assert next(watch).status == serving.SERVING
        send = threading.Event()

        def late():
            assert send.wait(SECONDS)
            yield predict_request().SerializeToString()

        # On its way, and known to the server before the next one is.
        under_way = channel.stream_unary(
            "/tensorflow.serving.PredictionService/Predict",
            response_deserializer=predict_pb2.PredictResponse.FromString,
        ).future(late(), timeout=SECONDS)
        stub.Predict(predict_request(), timeout=SECONDS)

        send_sigterm()

        assert next(watch).status == serving.NOT_SERVING
        send.set()
        assert under_way.result(SECONDS).outputs["ctr"].float_val
        watch.cancel()


def test_the_handler_of_sigterm_finishes_the_requests_under_way(
    toy_path, monkeypatch, capsys
):
    handlers, started, statuses = {}, queue.Queue(), []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(command, "logging", mock.Mock())  # the other tests'
    monkeypatch.setattr(command, "gc", mock.Mock())
    announce = command.announcement
    monkeypatch.setattr(
        command,
        "announcement",
        lambda server, word: (started.put(server), announce(server, word))[1],
    )
    arguments = [
        *("--port=0", "--enable_grpc_healthcheck_service"),
        *("--model_name=toy", f"--model_base_path={toy_path.parent}"),
    ]
    thread = threading.Thread(
        target=lambda: statuses.append(command.main(arguments)), daemon=True
    )
    thread.start()
    port = started.get(timeout=SECONDS).port

    check_the_request_under_way_is_answered(
        port, lambda: handlers[signal.SIGTERM](signal.SIGTERM, None)
    )

    thread.join(SECONDS)
    assert statuses == [command.EXIT_OK]
    text = capsys.readouterr().out
    assert text.startswith(f"Serving toy\n  gRPC  localhost:{port}\n")
    assert text.endswith("Stopped.\n")


@pytest.mark.long
@pytest.mark.slow_process
def test_sigterm_finishes_the_requests_under_way(process):
    check_the_request_under_way_is_answered(
        process.port, lambda: process.send_signal(signal.SIGTERM)
    )

    assert process.wait(SECONDS) == command.EXIT_OK
    assert process.stdout.read().endswith("Stopped.\n")
