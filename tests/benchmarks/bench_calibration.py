"""What a calibration changes on held-out data, by method, over seeds.

    python -m tests.benchmarks.bench_calibration --data DIR

DIR holds train.parquet and test.parquet of Census-Income (KDD). Trains the
default DeepFM as `pipelines.census` does, in each of three ways, fits every
method on the validation data, and measures on the test data. Prints a line
per run and method, then a line per way and method: means over the seeds, and
in how many runs the log loss fell.
"""

import contextlib
import io
import statistics
from pathlib import Path
from typing import Any

import deepfm_tf
from deepfm_tf.experiment import command_line, run as experiment
from pipelines import census
from tests.benchmarks import arguments
from tests.benchmarks.machine import emit

WAYS = {
    "default": [],
    "a fifth of the negatives": ["--negative-sampling", "0.2"],
    # Chosen for its order alone, and trained fast: too sure.
    "rate 0.01, best AUC": ["--learning-rate", "0.01", "--monitor", "auc"],
}
METRICS = (
    *("log_loss", "expected_calibration_error", "calibration_ratio", "auc"),
)


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="at most")
    options = parser.parse_args()
    for way in WAYS:
        runs = []
        for seed in range(1, options.seeds + 1):
            for run in _run(options, way, seed):
                emit({"benchmark": "calibration run"} | run, options.output)
                runs.append(run)
        for record in _summaries(runs):
            emit({"benchmark": "calibration"} | record, options.output)


def _run(options: Any, way: str, seed: int) -> list[dict[str, Any]]:
    """One training, and every method on it."""
    place = options.environments / "data" / "calibration"
    outcomes: list[experiment.Outcome] = []
    with contextlib.redirect_stdout(io.StringIO()):
        status = command_line.main(
            census.RECIPE,
            ["--train", str(options.data / "train.parquet")]
            + ["--test", str(options.data / "test.parquet")]
            + ["--epochs", str(options.epochs), "--seed", str(seed)]
            + ["--run", str(place), *WAYS[way]],
            lambda settings: outcomes.append(experiment.run(settings)),
        )
    if status:
        raise RuntimeError("The training must succeed; see its message above.")
    model, data = outcomes[0].models["deepfm"], outcomes[0].data
    valid, test = (
        deepfm_tf.evaluation.predict_with_labels(
            model, data[name].dataset(2048)
        )
        for name in ("valid", "test")
    )
    records = []
    for method in ("none", *deepfm_tf.calibration.METHODS):
        probability, text = test[1], ""
        if method != "none":
            calibration = deepfm_tf.calibration.fit_calibration(*valid, method)
            probability = calibration(probability)
            text = calibration.describe()
        found = deepfm_tf.metrics.binary_metrics(test[0], probability)
        records.append(
            {"way": way, "seed": seed, "method": method, "function": text}
            | {name: round(found[name], 6) for name in METRICS}
        )
    return records


def _summaries(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    records = []
    before = [run for run in runs if run["method"] == "none"]
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method]
        pairs = zip(own, before, strict=True)
        records.append(
            {"way": own[0]["way"], "method": method, "seeds": len(own)}
            | {
                name: round(statistics.fmean(run[name] for run in own), 6)
                for name in METRICS
            }
            | {"better": sum(a["log_loss"] < b["log_loss"] for a, b in pairs)}
        )
    return records


if __name__ == "__main__":
    main()
