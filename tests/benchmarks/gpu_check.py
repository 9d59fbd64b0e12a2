"""What a GPU makes of a training, as one JSON document.

    python -m tests.benchmarks.gpu_check > gpu.json

For whoever has a GPU, and a TensorFlow that sees it (`pip install
"tensorflow[and-cuda]"`): some minutes. Without one it measures the CPU alone,
and says that nothing was compared. A section that fails says why; the others
go on.

- `replicas`: how far the copies of any variable are apart after training.
- `correctness`: the same steps from the same weights, on the CPU and on the
  GPU, with products of float32 and of TF32: the largest differences.
- `export`: whether every signature agrees with a model that was trained there.
- `speed`: training examples per second, by batch size and precision.
- `memory`: bytes at the peak of building a model and of a step.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import deepfm_tf
from deepfm_tf.kernels import on_cpu
from tests.benchmarks import arguments
from tests.benchmarks.machine import describe, kibibytes, versions
from tests.benchmarks.peers import ours
from tests.benchmarks.peers.keras_loop import packed_batches
from tests.benchmarks.processes import Case


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all sections; prints, and gives, what came out."""
    options = _parser().parse_args(words)
    case = Case("ours", options.vocabulary[0], options.hidden_units)
    case = dataclasses.replace(
        case, batch_size=options.batch_size[0], warm_up=options.seconds
    )
    gpus = tf.config.list_physical_devices("GPU")
    report: dict[str, Any] = {
        "gpus": list(map(tf.config.experimental.get_device_details, gpus)),
        "compared": bool(gpus),
        "machine": describe(),
        "versions": versions(),
    }
    if not gpus:
        report["why"] = "TensorFlow sees no GPU: nothing was compared"
    # The first makes replicas, before TensorFlow runs anything.
    sections: dict[str, Callable[[], Any]] = {
        "replicas": lambda: drift(case, options.steps, max(2, len(gpus))),
        "correctness": lambda: correctness(case, options.steps),
        "export": lambda: exported(options.hidden_units),
        "speed": lambda: [
            speed(dataclasses.replace(case, batch_size=size), policy, device)
            for size in options.batch_size
            for policy in ("float32", "mixed_bfloat16")
            for device in _devices()
        ],
        "memory": lambda: [
            memory(dataclasses.replace(case, vocabulary=vocabulary))
            for vocabulary in options.vocabulary
        ],
    }
    for name, section in sections.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            report[name] = section()
        except Exception as error:
            report[name] = {"error": f"{type(error).__name__}: {error}"[:800]}
    print(json.dumps(report, indent=1))
    return report


def drift(case: Case, steps: int, count: int) -> dict[str, Any]:
    """The largest difference between two copies, by variable; 0 is right."""
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) == 1:
        return {"error": "there is one GPU: it has no copies"}
    strategy = deepfm_tf.create_strategy(count)
    with strategy.scope():
        model = ours.model_of(_settings(case))
    inputs, label = _rows(case, steps)
    dataset = tf.data.Dataset.from_tensor_slices((inputs, label))
    model.fit(dataset.batch(case.batch_size), verbose=0, shuffle=False)
    apart = {}
    for weight in [*model.weights, *model.optimizer.variables]:
        first, *others = (
            copy.numpy()
            for copy in strategy.experimental_local_results(weight.value)
        )
        apart[weight.path] = max(_difference(first, each) for each in others)
    return {"replicas": count, "on_gpus": bool(gpus), "apart": apart}


def correctness(case: Case, steps: int) -> dict[str, Any]:
    """How far losses, probabilities and weights end from those on the CPU."""
    with on_cpu():
        model = ours.model_of(_settings(case))
        start = model.get_weights()
        expected = _trained(model, case, steps)
    found = {}
    for name, device, tf32 in (
        ("cpu again", "CPU:0", False),
        ("gpu, float32", "GPU:0", False),
        ("gpu, float32 again", "GPU:0", False),
        ("gpu, TF32", "GPU:0", True),
    ):
        if device not in _devices():
            continue
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
        with tf.device(device):
            model = ours.model_of(_settings(case))
            model.set_weights(start)
            ended = _trained(model, case, steps)
        found[name] = {
            what: _difference(expected[what], ended[what]) for what in expected
        }
    return found


def exported(hidden_units: Sequence[int]) -> dict[str, Any]:
    """Train on made-up clicks and export; a disagreement is an error."""
    random = np.random.default_rng(0)
    columns = {f"C{i}": random.integers(0, 50, 4096) for i in range(4)}
    rows = columns | {"I": random.normal(size=4096)}
    rows["label"] = (columns["C0"] + columns["C1"]) % 2
    fields = [deepfm_tf.CategoricalField(name) for name in columns]
    schema = deepfm_tf.Schema((*fields, deepfm_tf.NumericField("I")), "label")
    vocabulary = deepfm_tf.fit_vocabulary(rows, schema)
    with deepfm_tf.create_strategy().scope():
        model = deepfm_tf.DeepFM(vocabulary.schema, hidden_units=hidden_units)
        deepfm_tf.compile_model(model)
    dataset = deepfm_tf.dataset_from_memory(rows, vocabulary, 512)
    model.fit(dataset, epochs=2, verbose=0, shuffle=False)
    with tempfile.TemporaryDirectory() as folder:
        path = deepfm_tf.export_saved_model(
            model, vocabulary, Path(folder) / "model", context_fields=("C0",)
        )
        return {"version": path.name}


def speed(case: Case, policy: str, device: str) -> dict[str, Any]:
    """The median of some seconds of steps."""
    with tf.device(device):
        trainer = ours.build(_settings(case) | {"policy": policy})
        seconds: list[float] = []
        begin = time.perf_counter()
        while len(seconds) < 5 or time.perf_counter() - begin < case.warm_up:
            start = time.perf_counter()
            trainer.step()
            trainer.take_loss()  # waits for the device
            seconds.append(time.perf_counter() - start)
    keras.config.set_dtype_policy("float32")
    # The first steps trace.
    step = float(np.median(seconds[2:]))
    return {
        "device": device,
        "batch_size": case.batch_size,
        "policy": policy,
        "examples_per_second": round(case.batch_size / step),
    }


def memory(case: Case) -> dict[str, Any]:
    """Of the GPU, by TensorFlow; else of this process, by the system."""
    device = _devices()[-1]
    if device == "GPU:0":
        tf.config.experimental.reset_memory_stats(device)
    with tf.device(device):
        ours.build(_settings(case)).step()
    if device == "GPU:0":
        peak = tf.config.experimental.get_memory_info(device)["peak"]
    else:
        peak = kibibytes("/proc/self/status", "VmHWM") * 1024
    table = 4 * case.vocabulary * (case.embedding_dim + 1)
    return {
        "device": device,
        "vocabulary": case.vocabulary,
        "peak_gb": round(peak / 1e9, 3),
        "table_and_moments_gb": round(3 * table / 1e9, 3),
    }


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    numbers = arguments.whole_numbers
    result.add_argument("--vocabulary", type=numbers, default="1e6,1e7")
    result.add_argument("--hidden-units", type=numbers, default="400,400,400")
    result.add_argument("--batch-size", type=numbers, default="4096,16384")
    result.add_argument("--steps", type=int, default=60)
    result.add_argument(
        "--seconds", type=float, default=3.0, help="of each case of `speed`"
    )
    return result


def _devices() -> list[str]:
    gpus = tf.config.list_logical_devices("GPU")
    return ["CPU:0", *(["GPU:0"] if gpus else [])]


def _settings(case: Case) -> dict[str, Any]:
    return dataclasses.asdict(case) | {"policy": "float32"}


def _rows(case: Case, steps: int) -> tuple[dict[str, Any], Any]:
    """So many batches, one after the other."""
    inputs, label = packed_batches(_settings(case) | {"num_batches": steps})
    rows = {k: v.reshape(-1, v.shape[-1]) for k, v in inputs.items()}
    return rows, label.reshape(-1, 1)


def _trained(model: Any, case: Case, steps: int) -> dict[str, Any]:
    """Losses of the steps, and what the model is after them."""
    inputs, label = packed_batches(_settings(case) | {"num_batches": steps})
    losses = []
    for step in range(steps):
        batch = {name: values[step] for name, values in inputs.items()}
        losses.append(float(model.train_on_batch(batch, label[step])))
        model.reset_metrics()
    first = {name: values[0] for name, values in inputs.items()}
    probability = model(first, training=False)["probability"].numpy()
    weights = [weight.ravel() for weight in model.get_weights()]
    return {
        "loss": np.array(losses),
        "probability": probability,
        "weights": np.concatenate(weights),
    }


def _difference(left: Any, right: Any) -> float:
    return float(np.abs(np.subtract(left, right, dtype=np.float64)).max())


if __name__ == "__main__":
    main()
