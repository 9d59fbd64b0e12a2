"""Prometheus metrics under TensorFlow Serving's names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Microseconds: 10 times powers of 1.8 to about 20 minutes.
_LATENCY_BUCKETS = [10 * 1.8**power for power in range(33)]
_COUNT_BUCKETS = [2.0**power for power in range(15)]
# A stranger may send any model name; a dashboard never has this many.
_MAX_MODEL_NAMES = 1000
_OTHER = "(other)"
_HEADER = re.compile(rb"^(# (?:HELP|TYPE) \S+?)_total ", re.MULTILINE)


class Metrics:
    """What one server counts; a registry of its own, not the global one.

    Every method may be called from any thread.

    Example:
        >>> metrics = Metrics()
        >>> metrics.add_request("ctr", "predict", "GRPC", "OK", 0.002)
        >>> b'request_count{model_name="ctr",status="OK"} 1' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self._request_count = _counter(
            "serving:request_count",
            "Requests by model and status.",
            "model_name",
            "status",
        )
        self._request_latency = _histogram(
            "serving:request_latency",
            "Microseconds from a request to its answer.",
            "model_name",
            "API",
            "entrypoint",
        )
        self._runtime_latency = _histogram(
            "serving:runtime_latency",
            "Microseconds that TensorFlow took of it.",
            "model_name",
            "API",
            "runtime",
        )
        self._example_counts = _histogram(
            "serving:request_example_counts",
            "tensorflow.Examples in a request.",
            "model",
            buckets=_COUNT_BUCKETS,
        )
        self._example_total = _counter(
            "serving:request_example_count_total",
            "tensorflow.Examples in all requests.",
            "model",
        )
        self._warmup_latency = _histogram(
            "serving:model_warmup_latency",
            "Microseconds of the replay of warm-up records.",
            "model_path",
            "status",
        )
        self._load_attempts = _counter(
            "cc:saved_model:load_attempt_count",
            "Tries to load a version.",
            "model_path",
            "status",
        )
        self._load_latency = _counter(
            "cc:saved_model:load_latency",
            "Microseconds that successful loads took.",
            "model_path",
        )
        self._names: set[str] = set()
        self._names_lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(
            _Collector(
                [
                    m
                    for m in vars(self).values()
                    if isinstance(m, Counter | Histogram)
                ]
            )
        )

    def add_request(
        self,
        model_name: str,
        api: str,
        entrypoint: str,
        status: str,
        seconds: float,
    ) -> None:
        """Count an answered request.

        Args:
            model_name: str. As in the request, known or not.
            api: str. `"predict"`, `"classify"`, `"regress"`, ...
            entrypoint: str. `"GRPC"` or `"REST"`.
            status: str. Name of the gRPC status code, `"OK"` included.
            seconds: float. From the first byte read to the last made.
        """
        name = self._bounded(model_name)
        self._request_count.labels(name, status).inc()
        if status == "OK":
            latency = self._request_latency.labels(name, api, entrypoint)
            latency.observe(seconds * 1e6)

    def add_run(self, model_name: str, api: str, seconds: float) -> None:
        """Count a run of TensorFlow, for `api` "Predict", "Classify", ..."""
        name = self._bounded(model_name)
        latency = self._runtime_latency.labels(name, api, "TF1")
        latency.observe(seconds * 1e6)

    def add_examples(self, model_name: str, num_examples: int) -> None:
        """Count the tensorflow.Examples of a request."""
        name = self._bounded(model_name)
        self._example_counts.labels(name).observe(num_examples)
        self._example_total.labels(name).inc(num_examples)

    def add_load(self, model_path: str, is_ok: bool, seconds: float) -> None:
        """Count a try to load a version, warm-up not included."""
        status = "success" if is_ok else "fail"
        self._load_attempts.labels(model_path, status).inc()
        if is_ok:
            self._load_latency.labels(model_path).inc(seconds * 1e6)

    def add_warmup(self, model_path: str, status: str, seconds: float) -> None:
        """Count a replay; `status` is a gRPC code's name."""
        latency = self._warmup_latency.labels(model_path, status)
        latency.observe(seconds * 1e6)

    def text(self) -> bytes:
        """All of it in Prometheus's text format; see `CONTENT_TYPE`."""
        # The library says that a counter's name must end in _total, which
        # TensorFlow Serving's do not; dashboards look for the latter.
        return _HEADER.sub(rb"\1 ", generate_latest(self._registry))

    def _bounded(self, name: str) -> str:
        """The name, or one for all when there are too many."""
        if name in self._names:
            return name
        with self._names_lock:
            if len(self._names) >= _MAX_MODEL_NAMES:
                return _OTHER
            self._names.add(name)
        return name


class _Collector(Collector):
    """Gives out the samples by TensorFlow Serving's names."""

    def __init__(self, metrics: list[Counter | Histogram]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Counters without `_total`, and no creation times."""
        for metric in self._metrics:
            for family in metric.collect():
                renamed = Metric(family.name, family.documentation, family.type)
                for sample in family.samples:
                    if sample.name.endswith("_created"):
                        continue
                    name = sample.name
                    if family.type == "counter":
                        name = family.name
                    renamed.add_sample(name, sample.labels, sample.value)
                yield renamed


def _counter(name: str, text: str, *labels: str) -> Counter:
    # One "_total" is the library's own: it takes it off the name again.
    return Counter(f":tensorflow:{name}_total", text, labels, registry=None)


def _histogram(
    name: str,
    text: str,
    *labels: str,
    buckets: list[float] = _LATENCY_BUCKETS,
) -> Histogram:
    return Histogram(
        f":tensorflow:{name}", text, labels, registry=None, buckets=buckets
    )
