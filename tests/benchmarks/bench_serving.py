"""Latency and throughput of serving, side by side in interleaved rounds.

The local server and a naive one (`serving_naive.py`), signatures, batch
sizes and numbers of clients take turns; the loaded signature called in this
process is the limit. Then the first request after a version switch, with and
without warm-up, and the server's memory over the switches.
"""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.benchmarks import arguments, serving_model
from tests.benchmarks.machine import ROOT, emit, kibibytes

Case = tuple[str, str, int, int]  # server, signature, batch size, clients
SIGNATURES = ("serving_default", "packed", "rank", "packed_rank")
WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"


class Client:
    """A process of `serving_load`."""

    def __init__(self) -> None:
        self._process = _start("tests.benchmarks.serving_load", stdin=True)
        self._process.stdout.readline()

    def begin(self, address: str, request: Path, seconds: float) -> None:
        """Let it send requests for so long."""
        order = {
            "address": address,
            "request": str(request),
            "seconds": seconds,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """What it measured."""
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def cases(batch_sizes: Sequence[int], clients: Sequence[int]) -> list[Case]:
    """All that takes turns."""
    result: list[Case] = []
    for batch_size in batch_sizes:
        for number in clients:
            for signature in SIGNATURES:
                result.append(("local", signature, batch_size, number))
            for signature in ("serving_default", "packed"):
                result.append(("naive", signature, batch_size, number))
        for signature in SIGNATURES:
            result.append(("in process", signature, batch_size, 0))
    return result


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--batch-sizes", type=arguments.whole_numbers, default="1,10,100,500"
    )
    parser.add_argument(
        "--clients", type=arguments.whole_numbers, default="1,4"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of a case in a round"
    )
    parser.add_argument("--switches", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print("Exporting the model", file=sys.stderr)
        version = serving_model.export(directory / "made")
        _bench_requests(options, version, directory)
        for warm in (True, False):
            _bench_switches(options, version, directory, warm)


def _bench_requests(options, version: Path, directory: Path) -> None:
    todo = cases(options.batch_sizes, options.clients)
    measured: dict[Case, list[dict[str, float]]] = {case: [] for case in todo}
    with contextlib.ExitStack() as stack:
        addresses = {
            "local": stack.enter_context(_local_server(version.parent))[0],
            "naive": stack.enter_context(_naive_server(version)),
        }
        loaded = tf.saved_model.load(str(version))
        clients = [Client() for _ in range(max(options.clients))]
        for client in clients:
            stack.callback(client.close)
        for number in range(options.rounds):
            turn = number * len(todo) // options.rounds
            for case in todo[turn:] + todo[:turn]:
                print(f"round {number + 1}: {case}", file=sys.stderr)
                server, signature, batch_size, count = case
                if server == "in process":
                    result = _call(
                        loaded, signature, batch_size, options.seconds
                    )
                else:
                    request = directory / f"{signature}-{batch_size}"
                    if not request.exists():
                        request.write_bytes(
                            serving_model.request(signature, batch_size)
                        )
                    for client in clients[:count]:
                        client.begin(
                            addresses[server], request, options.seconds
                        )
                    result = _summary([c.end() for c in clients[:count]])
                measured[case].append(result)
    for case, results in measured.items():
        emit(_record(case, results, measured), options.output)


def _call(loaded: Any, signature: str, size: int, seconds: float) -> dict:
    function = loaded.signatures[signature]
    tensors = {
        name: tf.constant(value)
        for name, value in serving_model.inputs(signature, size).items()
    }
    function(**tensors)
    milliseconds = []
    start = now = time.perf_counter()
    while now < start + seconds:
        function(**tensors)["probability"].numpy()
        before, now = now, time.perf_counter()
        milliseconds.append((now - before) * 1e3)
    return _summary([{"milliseconds": milliseconds, "wall": now - start}])


def _summary(answers: Sequence[dict[str, Any]]) -> dict[str, float]:
    all_of_them = np.concatenate([a["milliseconds"] for a in answers])
    p50, p95, p99 = np.percentile(all_of_them, (50, 95, 99))
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "qps": sum(len(a["milliseconds"]) / a["wall"] for a in answers),
    }


def _record(case: Case, results, measured) -> dict[str, Any]:
    """Medians over the rounds; `times` are medians of per-round ratios."""
    server, signature, batch_size, clients = case
    record: dict[str, Any] = {
        "benchmark": "serving",
        "server": server,
        "signature": signature,
        "batch_size": batch_size,
        "clients": clients,
    }
    for key in results[0]:
        record[key] = round(statistics.median(r[key] for r in results), 3)
    record["qps_times"] = {
        f"{other[0]} {other[1]}": round(
            statistics.median(
                mine["qps"] / theirs["qps"]
                for mine, theirs in zip(results, measured[other], strict=True)
            ),
            2,
        )
        for other in measured
        if other != case and other[2:] == case[2:]
    }
    return record


def _bench_switches(options, version: Path, directory: Path, warm: bool):
    """One client asks without pause while versions come and go."""
    base = Path(tempfile.mkdtemp(dir=directory))
    _publish(version, base, 1, warm)
    first, slowest, steady, memory = [], [], [], []
    request = predict_pb2.PredictRequest.FromString(
        serving_model.request("serving_default", 100)
    )
    with _local_server(base) as (address, pid):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(
            grpc.insecure_channel(address)
        )
        for number in range(2, options.switches + 2):
            for _ in range(50):
                steady.append(_timed(stub, request)[0])
            _publish(version, base, number, warm)
            during = []
            while True:
                milliseconds, answered = _timed(stub, request)
                during.append(milliseconds)
                if answered == number:
                    break
            first.append(milliseconds)
            slowest.append(max(during))
            # Until the old one is gone.
            end = time.monotonic() + 3
            while time.monotonic() < end:
                _timed(stub, request)
            memory.append(kibibytes(f"/proc/{pid}/status", "VmRSS"))
    usual = statistics.median(steady)
    emit(
        {
            "benchmark": "serving switches",
            "warm_up": warm,
            "steady_p50_ms": round(usual, 2),
            "first_ms": [round(ms, 2) for ms in first],
            "first_to_steady": round(statistics.median(first) / usual, 2),
            "slowest_ms": [round(ms, 2) for ms in slowest],
            "rss_gb": [round(kib * 1024 / 1e9, 3) for kib in memory],
            "rss_last_to_first": round(memory[-1] / memory[0], 3),
        },
        options.output,
    )


def _publish(version: Path, base: Path, number: int, warm: bool) -> None:
    temporary = base / f".tmp-{number}"
    shutil.copytree(version, temporary)
    if not warm:
        (temporary / WARM_UP_FILE).unlink()
    os.rename(temporary, base / str(number))


def _timed(stub, request) -> tuple[float, int]:
    start = time.perf_counter()
    response = stub.Predict(request, timeout=60)
    milliseconds = (time.perf_counter() - start) * 1e3
    return milliseconds, response.model_spec.version.value


@contextlib.contextmanager
def _local_server(base: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = _start(
        "deepfm_tf.serving",
        f"--port={port}",
        f"--model_name={serving_model.MODEL_NAME}",
        f"--model_base_path={base}",
    )
    address = f"127.0.0.1:{port}"
    try:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(
            grpc.insecure_channel(address)
        )
        request = predict_pb2.PredictRequest.FromString(
            serving_model.request("serving_default", 1)
        )
        _wait_for(stub, request, process)
        yield address, process.pid
    finally:
        process.kill()
        process.communicate()


def _wait_for(stub, request, process: subprocess.Popen) -> None:
    while True:
        try:
            stub.Predict(request, timeout=60, wait_for_ready=True)
            return
        except grpc.RpcError as error:
            if (
                error.code() is not grpc.StatusCode.NOT_FOUND
                or process.poll() is not None
            ):
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def _naive_server(version: Path) -> Iterator[str]:
    process = _start("tests.benchmarks.serving_naive", str(version))
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _start(module: str, *rest: str, stdin: bool = False) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", module, *rest],
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ
        | {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"},
        text=True,
    )


if __name__ == "__main__":
    main()
