"""Prometheus metrics under TensorFlow Serving's names."""

from __future__ import annotations

import re
import threading
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

# Below ":tensorflow:", what they say and their labels.
_COUNTERS = {
    "serving:request_count": ("Requests answered.", "model_name", "status"),
    "serving:request_example_count_total": (
        "tensorflow.Examples in all requests.",
        "model",
    ),
    "cc:saved_model:load_attempt_count": (
        "Tries to load a version.",
        "model_path",
        "status",
    ),
    "cc:saved_model:load_latency": (
        "Microseconds that successful loads took.",
        "model_path",
    ),
}
_HISTOGRAMS = {
    "serving:request_latency": (
        "Microseconds from a request to its answer.",
        *("model_name", "API", "entrypoint"),
    ),
    "serving:runtime_latency": (
        "Microseconds that TensorFlow took of it.",
        *("model_name", "API", "runtime"),
    ),
    "serving:model_warmup_latency": (
        "Microseconds of the replay of warm-up records.",
        *("model_path", "status"),
    ),
    "serving:request_example_counts": ("Examples in a request.", "model"),
}
# Microseconds: 10 times powers of 1.8 to about 20 minutes.
_LATENCY_BUCKETS = [10 * 1.8**power for power in range(33)]
_COUNT_BUCKETS = [2.0**power for power in range(15)]
# A stranger may send any model name; a dashboard never has this many.
_MAX_MODEL_NAMES = 1000
_OTHER = "(other)"
# Lines of a metric that the library adds, and an end of names that it insists
# on: TensorFlow Serving's counters have none, and dashboards look for those.
_CREATED = re.compile(rb"^(# \w+ )?[^\s{]+_created[ {].*\n", re.MULTILINE)
_TOTAL = re.compile(rb"^((?:# \w+ )?[^\s{]+)_total(?=[ {])", re.MULTILINE)


class Metrics:
    """What one server counts; a registry of its own, not the global one.

    Every method may be called from any thread.

    >>> metrics = Metrics()
    >>> metrics.add_request("ctr", "predict", "GRPC", "OK", 0.002)
    >>> b'request_count{model_name="ctr",status="OK"} 1' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._names: set[str] = set()
        self._lock = threading.Lock()
        to: Any = {"registry": self._registry}
        self._counters = {
            # One "_total" is the library's own.
            name: Counter(f":tensorflow:{name}_total", text, labels, **to)
            for name, (text, *labels) in _COUNTERS.items()
        }
        self._histograms = {}
        for name, (text, *labels) in _HISTOGRAMS.items():
            to["buckets"] = (
                _COUNT_BUCKETS if "counts" in name else _LATENCY_BUCKETS
            )
            self._histograms[name] = Histogram(
                f":tensorflow:{name}", text, labels, **to
            )

    def add_request(
        self,
        model_name: str,
        api: str,
        entrypoint: str,
        status: str,
        seconds: float,
    ) -> None:
        """Count an answered request, of a model that is known or not.

        `api` is "predict" and so on, `entrypoint` "GRPC" or "REST", `status`
        the name of a gRPC code.
        """
        name = self._bounded(model_name)
        self._count("serving:request_count", name, status)
        if status == "OK":
            labels = name, api, entrypoint
            self._observe("serving:request_latency", seconds * 1e6, *labels)

    def add_run(self, model_name: str, api: str, seconds: float) -> None:
        """Count a run of TensorFlow, for `api` "Predict", "Classify", ..."""
        labels = self._bounded(model_name), api, "TF1"
        self._observe("serving:runtime_latency", seconds * 1e6, *labels)

    def add_examples(self, model_name: str, num_examples: int) -> None:
        """Count the tensorflow.Examples of a request."""
        name = self._bounded(model_name)
        self._observe("serving:request_example_counts", num_examples, name)
        total = "serving:request_example_count_total"
        self._count(total, name, by=num_examples)

    def add_load(self, model_path: str, is_ok: bool, seconds: float) -> None:
        """Count a try to load a version, warm-up not included."""
        status = "success" if is_ok else "fail"
        self._count("cc:saved_model:load_attempt_count", model_path, status)
        if is_ok:
            latency = "cc:saved_model:load_latency"
            self._count(latency, model_path, by=seconds * 1e6)

    def add_warmup(self, model_path: str, status: str, seconds: float) -> None:
        """Count a replay; `status` is a gRPC code's name."""
        latency = "serving:model_warmup_latency"
        self._observe(latency, seconds * 1e6, model_path, status)

    def text(self) -> bytes:
        """All of it in Prometheus's text format, version 0.0.4."""
        text = _CREATED.sub(b"", generate_latest(self._registry))
        return _TOTAL.sub(rb"\1", text)

    def _bounded(self, name: str) -> str:
        """The name, or one for all when there are too many."""
        with self._lock:
            if len(self._names) < _MAX_MODEL_NAMES:
                self._names.add(name)
        return name if name in self._names else _OTHER

    def _count(self, metric: str, *labels: str, by: float = 1.0) -> None:
        self._counters[metric].labels(*labels).inc(by)

    def _observe(self, metric: str, value: float, *labels: str) -> None:
        self._histograms[metric].labels(*labels).observe(value)
