"""Test AUC and log loss by optimizer, with their spread over seeds.

    python -m tests.benchmarks.bench_quality --data DIR

DIR holds train.parquet and test.parquet of Census-Income (KDD); a synthetic
log of `pipelines.synthetic` comes on top. Each variant `optimizer:rate` trains
the default DeepFM with early stopping on a tenth of the training data; the
rate of an optimizer with the lowest mean validation log loss is its chosen
one, and only the chosen one's test figures are to be quoted. Prints a line
per run, then a line per variant.
"""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import deepfm_tf
from pipelines import census, synthetic
from tests.benchmarks import arguments
from tests.benchmarks.decaying_adam import DecayingAdam
from tests.benchmarks.machine import emit

VARIANTS = (
    "lazy_adam:0.0003,lazy_adam:0.001,lazy_adam:0.003,"
    "rowwise_adagrad:0.01,rowwise_adagrad:0.03,rowwise_adagrad:0.1,"
    "adam:0.0003,adam:0.001,adam:0.003"
)
deepfm_tf.training.OPTIMIZERS["decaying_adam"] = DecayingAdam
BATCH_SIZE = 2048
METRICS = ("auc", "log_loss")

# The training data's seed, and that of its validation rows.
_SPLIT_SEED = 1
_VALIDATION_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Data:
    """One data set, prepared."""

    name: str
    parts: dict[str, deepfm_tf.PreparedData]


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="directory of Census-Income; without, none"
    )
    parser.add_argument(
        "--synthetic-rows", type=float, default=2e6, help="0 for none"
    )
    parser.add_argument("--variants", type=arguments.words, default=VARIANTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="at most")
    options = parser.parse_args()
    for data in _data(options):
        runs = []
        for variant in options.variants:
            for seed in range(1, options.seeds + 1):
                run = _train(data, variant, seed, options.epochs)
                emit({"benchmark": "quality run"} | run, options.output)
                runs.append(run)
        for record in _summaries(runs):
            emit({"benchmark": "quality"} | record, options.output)


def _data(options: Any) -> list[Data]:
    found = []
    directory = options.environments / "data"
    if options.data is not None:
        sources = {
            "train": str(options.data / "train.parquet"),
            "test": str(options.data / "test.parquet"),
        }
        place = directory / "census"
        found.append(
            _prepare("census", sources, census.RECIPE.schema(2), place)
        )
    num_rows = int(options.synthetic_rows)
    if num_rows:
        place = directory / f"synthetic-{num_rows}"
        sources = {}
        for seed, (part, count) in enumerate(
            {"train": num_rows, "test": num_rows // 10}.items()
        ):
            path = place / f"{part}.parquet"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                rows, _ = synthetic.make_rows(count, seed)
                rows.to_parquet(path)
            sources[part] = str(path)
        name = f"synthetic, {num_rows:,} rows"
        found.append(_prepare(name, sources, synthetic.schema(2), place))
    return found


def _prepare(
    name: str,
    sources: dict[str, str],
    schema: deepfm_tf.Schema,
    directory: Path,
) -> Data:
    cut = 1.0 - _VALIDATION_SHARE
    train = deepfm_tf.prepare(
        sources["train"],
        directory / "train",
        schema=schema,
        part=deepfm_tf.Part(0.0, cut, _SPLIT_SEED),
    )
    valid = deepfm_tf.prepare(
        sources["train"],
        directory / "valid",
        vocabulary=train.vocabulary,
        part=deepfm_tf.Part(cut, 1.0, _SPLIT_SEED),
    )
    test = deepfm_tf.prepare(
        sources["test"], directory / "test", vocabulary=train.vocabulary
    )
    return Data(name, {"train": train, "valid": valid, "test": test})


def _train(data: Data, variant: str, seed: int, epochs: int) -> dict[str, Any]:
    optimizer, rate = variant.split(":")
    record = {
        "data": data.name,
        "optimizer": optimizer,
        "learning_rate": float(rate),
        "seed": seed,
    }
    keras.backend.clear_session()
    deepfm_tf.set_seed(seed)
    model = deepfm_tf.DeepFM(data.parts["train"].schema)
    try:
        deepfm_tf.compile_model(model, optimizer, float(rate))
    except ValueError as error:
        return record | {"failure": str(error)}
    valid = data.parts["valid"].dataset(BATCH_SIZE)
    begin = time.perf_counter()
    history = model.fit(
        data.parts["train"].dataset(BATCH_SIZE, shuffle=True, seed=seed),
        epochs=epochs,
        callbacks=deepfm_tf.training_callbacks(valid),
        shuffle=False,
        verbose=0,
    ).history
    record |= {
        "seconds": round(time.perf_counter() - begin, 1),
        "epochs": len(history["val_log_loss"]),
    }
    for part in ("valid", "test"):
        metrics = deepfm_tf.evaluate(
            model, data.parts[part].dataset(BATCH_SIZE)
        )
        for name in METRICS:
            record[f"{part}_{name}"] = round(metrics[name], 6)
    return record


def _summaries(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation of each variant; the chosen rates."""
    variants: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for run in runs:
        key = (run["optimizer"], run["learning_rate"])
        variants.setdefault(key, []).append(run)
    records = []
    for (optimizer, rate), group in variants.items():
        record = {
            "data": group[0]["data"],
            "optimizer": optimizer,
            "learning_rate": rate,
            "seeds": len(group),
        }
        failures = [run["failure"] for run in group if "failure" in run]
        if failures:
            records.append(record | {"failure": failures[0]})
            continue
        for name in [f"{p}_{m}" for p in ("valid", "test") for m in METRICS]:
            values = [run[name] for run in group]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            record[name] = {
                "mean": round(statistics.mean(values), 5),
                "sd": round(spread, 5),
            }
        records.append(record)
    for record in records:
        rivals = [
            other["valid_log_loss"]["mean"]
            for other in records
            if other["optimizer"] == record["optimizer"]
            and "failure" not in other
        ]
        if "failure" not in record:
            best = record["valid_log_loss"]["mean"] == min(rivals)
            record["chosen"] = best
    return records


if __name__ == "__main__":
    main()
