"""Several workers on one machine: CPU and bytes of a step, examples/s.

    python -m tests.benchmarks.bench_workers --workers 1,2,3

One JSON line for each number of workers. They share the cores of this machine,
so that examples/s say little of several hosts; CPU and bytes do, from which
`scaling.md` follows. Bytes are those of the loopback device: nothing else may
use it meanwhile. `--exchange occurrences` is what was done until 0.6: a row is
sent as often as it occurs in a worker's examples, not once. `--exchange
shards` shares out the rows of the table: `--shard-tables`.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import deepfm_tf
from deepfm_tf.optimizers import MergedGradients, merged_gradients
from tests.benchmarks import arguments
from tests.benchmarks.data import make_rows
from tests.benchmarks.machine import emit
from tests.benchmarks.peers.ours import schema
from tests.workers import Workers

# After these, all is traced and compiled.
WARM_UP = 5


class Meter(keras.callbacks.Callback):
    """CPU of this process, bytes of the loopback device, and time, by step."""

    def __init__(self):
        super().__init__()
        self.readings = []

    def on_train_batch_end(self, batch, logs=None):
        now = time.process_time(), loopback_bytes(), time.perf_counter()
        self.readings.append(now)

    def record(self):
        steps = np.diff(self.readings[WARM_UP - 1 :], axis=0)
        cpu, num_bytes, seconds = steps.mean(axis=0)
        return {
            "cpu_ms": 1e3 * cpu,
            "slowest_cpu_ms": 1e3 * steps[:, 0].max(),
            "loopback_bytes": num_bytes,
            "seconds": seconds,
        }


def loopback_bytes() -> int:
    """Bytes that the loopback device has carried since boot."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise RuntimeError("There is no loopback device.")


def exchange_occurrences() -> None:
    """As until 0.6: gradients of equal rows are added up after the exchange."""

    def clip(self, grads):
        replica = tf.distribute.get_replica_context()
        grads = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        return [
            merged_gradients.merge_duplicates(g, by_kernels=False)
            for g in grads
        ]

    MergedGradients.clip = clip


def train(options):
    """One worker of the benchmark; prints what it has measured."""
    if options["exchange"] == "occurrences":
        exchange_occurrences()
    strategy = deepfm_tf.create_strategy(
        shard_tables=options["exchange"] == "shards"
    )
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = deepfm_tf.DeepFM(
            schema(options["vocabulary"]),
            embedding_dim=10,
            hidden_units=options["hidden_units"],
            batch_normalization=False,
            dropout=0.0,
        )
        deepfm_tf.compile_model(model, options["optimizer"], 0.001)
    num_steps = options["steps"]

    def own(context):
        size = options["batch_size"] // context.num_input_pipelines
        ids, values, label = make_rows(
            options["vocabulary"], size * 16, context.input_pipeline_id
        )
        rows = {"ids": ids, "values": values}, label
        return tf.data.Dataset.from_tensor_slices(rows).batch(size).repeat()

    meter = Meter()
    model.fit(
        strategy.distribute_datasets_from_function(own),
        steps_per_epoch=num_steps,
        callbacks=[meter],
        verbose=0,
        shuffle=False,
    )
    print(f"\n{json.dumps(meter.record())}")


def measure(count: int, options: dict) -> dict:
    """The means of all workers; bytes are those that each has sent."""
    with tempfile.TemporaryDirectory() as folder:
        with Workers(count, Path(folder), train, options) as workers:
            if workers.statuses() != [0] * count:
                sys.exit("\n".join(workers.texts()))
            texts = workers.texts()
    records = [json.loads(text.splitlines()[-1]) for text in texts]

    def mean(name):
        return statistics.fmean(record[name] for record in records)

    return {
        "workers": count,
        "examples_per_second": round(options["batch_size"] / mean("seconds")),
        "cpu_ms_a_step": round(mean("cpu_ms"), 1),
        "slowest_cpu_ms": round(max(r["slowest_cpu_ms"] for r in records), 1),
        "bytes_sent_a_step": round(mean("loopback_bytes") / count),
    }


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--workers", type=arguments.whole_numbers, default="1,2,3"
    )
    parser.add_argument("--vocabulary", type=int, default=1_000_000)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=45)
    parser.add_argument("--optimizer", default="lazy_adam")
    parser.add_argument(
        "--hidden-units", type=arguments.whole_numbers, default="30,20,10"
    )
    parser.add_argument(
        "--exchange", choices=("rows", "occurrences", "shards"), default="rows"
    )
    options = parser.parse_args()
    settings = {
        name: getattr(options, name)
        for name in ("vocabulary", "batch_size", "steps", "optimizer")
        + ("hidden_units", "exchange")
    }
    for count in options.workers:
        record = {"benchmark": "workers", **settings}
        emit(record | measure(count, settings), options.output)


if __name__ == "__main__":
    main()
