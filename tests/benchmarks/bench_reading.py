"""Rows per second of the readers, and `fit` from disk against memory.

    python -m tests.benchmarks.bench_reading

Readers, interleaved: the prepared one with shuffle; raw text with look-ups in
the graph (`deepfm_tf.dataset_from_text`); and what TensorFlow offers for text,
`tf.data.experimental.make_csv_dataset`, with its defaults (it shuffles, and
does not look anything up). Then `fit` of one model from prepared files and
from the same batches as tensors, in turns.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import deepfm_tf
from pipelines.criteo import CATEGORICAL, NUMERIC, RECIPE
from tests.benchmarks import arguments
from tests.benchmarks.bench_preparation import criteo_text
from tests.benchmarks.machine import emit

BATCH_SIZE = 4096
COLUMNS = ("label", *NUMERIC, *CATEGORICAL)

# Batches read ahead while another reader had its turn.
_UNTIMED_BATCHES = 8


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    arguments.add_training(parser)
    parser.add_argument("--vocabulary", type=float, default=1e6)
    parser.add_argument("--megabytes", type=float, default=500.0)
    options = parser.parse_args()
    text = criteo_text(
        options.environments,
        int(options.vocabulary),
        int(options.megabytes * 1e6),
    )
    prepared = deepfm_tf.prepare(
        str(text),
        text.with_suffix(".prepared"),
        schema=_schema(),
        text_format=RECIPE.text_format,
    )
    _bench_readers(text, prepared, options)
    _bench_fit(prepared, options)


def _schema() -> deepfm_tf.Schema:
    """Numbers as numbers: nothing but parsing is asked of any reader."""
    return deepfm_tf.Schema(
        (
            *(
                deepfm_tf.NumericField(name, scaling="log", missing="nothing")
                for name in NUMERIC
            ),
            *(
                deepfm_tf.CategoricalField(name, min_count=1)
                for name in CATEGORICAL
            ),
        ),
        label="label",
    )


def _bench_readers(
    text: Path, prepared: deepfm_tf.PreparedData, options: Any
) -> None:
    routes: dict[str, Callable[[], tf.data.Dataset]] = {
        "prepared": lambda: prepared.dataset(
            BATCH_SIZE, shuffle=True, seed=1
        ).repeat(),
        "text": lambda: deepfm_tf.dataset_from_text(
            str(text),
            prepared.vocabulary,
            BATCH_SIZE,
            shuffle=True,
            seed=1,
            text_format=RECIPE.text_format,
        ).repeat(),
        "make_csv_dataset": lambda: tf.data.experimental.make_csv_dataset(
            str(text),
            BATCH_SIZE,
            column_names=list(COLUMNS),
            column_defaults=[0, *[0.0] * len(NUMERIC), *[""] * 26],
            label_name="label",
            field_delim="\t",
            use_quote_delim=False,
            header=False,
        ),
    }
    iterators: dict[str, Iterator] = {}
    failures: dict[str, str] = {}
    for name, make in routes.items():
        try:
            iterators[name] = iter(make())
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
    rates: dict[str, list[float]] = {name: [] for name in iterators}
    for number in range(options.rounds):
        names = list(iterators)
        start = number % len(names)
        for name in names[start:] + names[:start]:
            rates[name].append(_read(iterators[name], options.seconds))
    csv = rates["make_csv_dataset"]
    for name in routes:
        record: dict[str, Any] = {"benchmark": "reading", "route": name}
        if name in failures:
            record["failure"] = failures[name]
        else:
            ratios = [r / c for r, c in zip(rates[name], csv, strict=True)]
            record |= {
                "rows_per_second": round(statistics.median(rates[name])),
                "rounds": [round(rate) for rate in rates[name]],
                "times_make_csv_dataset": round(statistics.median(ratios), 2),
            }
        emit(record, options.output)


def _read(iterator: Iterator, seconds: float) -> float:
    for _ in range(_UNTIMED_BATCHES):
        next(iterator)
    rows, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        rows += next(iterator)[1].shape[0]
    return rows / (time.perf_counter() - begin)


class _Clock(keras.callbacks.Callback):
    """Steps per second of a `fit`, its first steps left out."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._begin = 0.0
        self.rate = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if batch == _UNTIMED_BATCHES:
            self._begin = now
        elif batch > _UNTIMED_BATCHES and now - self._begin > self._seconds:
            self.rate = (batch - _UNTIMED_BATCHES) / (now - self._begin)
            self.model.stop_training = True


def _bench_fit(prepared: deepfm_tf.PreparedData, options: Any) -> None:
    deepfm_tf.set_seed(1)
    model = deepfm_tf.DeepFM(
        prepared.schema, hidden_units=options.hidden_units, dropout=0.0
    )
    deepfm_tf.compile_model(model, options.optimizer, learning_rate=0.001)
    disk = prepared.dataset(
        BATCH_SIZE, shuffle=True, seed=1, drop_remainder=True
    )
    batches = list(itertools.islice(disk, 32))
    memory = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *parts: tf.stack(parts), *batches)
    )
    rates: dict[str, list[float]] = {"disk": [], "memory": []}
    sources = {"disk": disk.repeat(), "memory": memory.repeat().prefetch(2)}
    # One round more: the first one traces the graph.
    for number in range(options.rounds + 1):
        for name in sorted(sources, reverse=bool(number % 2)):
            clock = _Clock(options.seconds if number else 0.5)
            model.fit(
                sources[name],
                steps_per_epoch=10**6,
                callbacks=[clock],
                verbose=0,
                shuffle=False,
            )
            if number:
                rates[name].append(BATCH_SIZE * clock.rate)
    ratios = [
        d / m for d, m in zip(rates["disk"], rates["memory"], strict=True)
    ]
    record = {
        "benchmark": "fit",
        "hidden_units": options.hidden_units,
        "optimizer": options.optimizer,
        "disk_eps": round(statistics.median(rates["disk"])),
        "memory_eps": round(statistics.median(rates["memory"])),
        "disk_to_memory": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }
    emit(record, options.output)


if __name__ == "__main__":
    main()
