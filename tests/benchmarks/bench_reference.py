"""scikit-learn's gradient-boosted trees on the rows of a comparison.

    python -m pipelines.compare ... --run RUN
    python -m tests.benchmarks.bench_reference --run RUN

`HistGradientBoostingClassifier` (1.7 or newer) sees the rows and columns that
RUN's models saw: categories as native ones, the rarest beyond 255 of a field
folded together; numbers as they are, missing ones missing. It stops early on
RUN's validation rows and keeps the best iteration there. Once with its
defaults, once with the setting of a small grid that is best on the validation
rows (first seed). Prints a line per run, one per setting with means and
standard deviations, and how much better or worse each model of RUN is.
"""

import dataclasses
import itertools
import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

import deepfm_tf
from tests.benchmarks import arguments
from tests.benchmarks.machine import emit

# What the trees can tell apart in a field: OOV and missing are two of them.
MAX_CATEGORIES = 255
DEFAULTS: dict[str, Any] = {}
GRID = tuple(
    {
        "learning_rate": 0.05,
        "max_iter": 1000,
        "max_leaf_nodes": leaves,
        "max_features": features,
    }
    for leaves, features in itertools.product((15, 31, 63), (0.2, 0.5))
)
METRICS = ("auc", "log_loss")


class Rows(NamedTuple):
    """A part of the data as the trees take it."""

    features: np.ndarray  # (rows, fields): ids, then numbers
    label: np.ndarray  # (rows,)
    weight: np.ndarray | None  # (rows,), example weights


@dataclasses.dataclass(frozen=True)
class Data:
    """The data of a comparison, `name`; the first fields are categories."""

    name: str
    num_categorical: int
    train: Rows
    valid: Rows
    test: Rows


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="of pipelines.compare: whose data to take, and to compare with",
    )
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for record in measure(
        options.run, options.seeds, options.environments / "data", GRID
    ):
        emit(record, options.output)


def measure(
    run: Path,
    num_seeds: int,
    directory: Path,
    grid: Sequence[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Yield the records of all that there is to know about one comparison.

    Args:
        run: Path of a comparison.
        num_seeds: int. Of the trees.
        directory: Path. For the prepared data.
        grid: the settings to choose from.
    """
    data = read(run, directory / run.name)
    about = {"data": data.name, "scikit-learn": version("scikit-learn")}
    tried = []
    for setting in grid:
        record, _ = fit(data, setting, seed=1)
        tried.append(record)
        yield {"benchmark": "reference grid"} | about | record
    tuned = min(tried, key=lambda record: record["valid_log_loss"])
    theirs = {}
    for name, setting in (("defaults", DEFAULTS), ("tuned", tuned["setting"])):
        records = []
        for seed in range(1, num_seeds + 1):
            record, theirs[name, seed] = fit(data, setting, seed)
            records.append(record)
            yield {"benchmark": "reference run", "trees": name} | about | record
        line = {"benchmark": "reference", "trees": name} | about
        yield line | summary(records)
    label, ours, seeds = predictions(run)
    if not np.array_equal(label, data.test.label):
        raise ValueError(
            f"The test rows of {run} are not those of its prepared data. Run "
            "the comparison again."
        )
    seeds = [seed for seed in seeds if seed <= num_seeds]
    models = sorted({model for model, _ in ours})
    for name in ("defaults", "tuned"):
        for entry in deepfm_tf.metrics.compare_over_seeds(
            name, models, seeds, label, ours | theirs, data.test.weight
        ):
            yield {"benchmark": "reference comparison"} | about | entry


def read(run: Path, directory: Path) -> Data:
    """The rows of a comparison, prepared once more for trees."""
    parts: dict[str, deepfm_tf.PreparedData] = {}
    for name in ("train", "valid", "test"):
        manifest = json.loads(
            (run / "prepared" / name / "prepared.json").read_text()
        )
        recipe, part = manifest["recipe"], manifest["recipe"]["part"]
        if part and "negatives" in part:  # the file's name for it
            part["negative_sampling"] = part.pop("negatives")
        fitted = parts["train"].vocabulary if parts else None
        schema = for_trees(deepfm_tf.Schema.from_dict(recipe["schema"]))
        parts[name] = deepfm_tf.prepare(
            [source["path"] for source in manifest["sources"]],
            directory / name,
            schema=None if fitted else schema,
            vocabulary=fitted,
            text_format=deepfm_tf.TextFormat(**recipe["text_format"]),
            part=part and deepfm_tf.Part(**part),
            on_error=recipe["on_error"],
        )
    return Data(
        run.name,
        len(parts["train"].schema.id_fields),
        *(_rows(part) for part in parts.values()),
    )


def for_trees(schema: deepfm_tf.Schema) -> deepfm_tf.Schema:
    """The same columns: numbers as they are, at most 255 categories each."""
    fields: list[deepfm_tf.Field] = []
    for field in schema.fields:
        if isinstance(field, deepfm_tf.CategoricalField):
            fields.append(
                deepfm_tf.CategoricalField(
                    field.name,
                    min_count=field.min_count,
                    max_vocabulary_size=MAX_CATEGORIES,
                )
            )
        elif isinstance(field, deepfm_tf.MultiValuedField):
            raise ValueError(
                "Trees take one value a field. Received: the multi-valued "
                f"field '{field.name}'."
            )
        else:
            fields.append(
                deepfm_tf.NumericField(field.name, "none", missing="nothing")
            )
    return dataclasses.replace(schema, fields=tuple(fields))


def _rows(data: deepfm_tf.PreparedData) -> Rows:
    features, labels, weights = [], [], []
    for inputs, label, *weight in data.dataset(65_536):
        ids_and_values = [inputs[k] for k in ("ids", "values") if k in inputs]
        features.append(np.concatenate(ids_and_values, axis=1))
        labels.append(label.numpy()[:, 0])
        weights += [part.numpy().reshape(-1) for part in weight]
    return Rows(
        np.concatenate(features),
        np.concatenate(labels),
        np.concatenate(weights) if weights else None,
    )


def fit(
    data: Data, setting: dict[str, Any], seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Train once: what came out, and the probabilities of the test rows."""
    begin = time.perf_counter()
    trees = HistGradientBoostingClassifier(
        categorical_features=range(data.num_categorical),
        early_stopping=True,
        random_state=seed,
        **setting,
    )
    trees.fit(
        data.train.features,
        data.train.label,
        sample_weight=data.train.weight,
        X_val=data.valid.features,
        y_val=data.valid.label,
        sample_weight_val=data.valid.weight,
    )
    # Before the first iteration there is a score too: that of the mean label.
    best = int(np.argmax(trees.validation_score_))
    record = {
        "setting": setting,
        "seed": seed,
        "iterations": best,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    probability = np.empty(0)
    for part in ("valid", "test"):
        rows = getattr(data, part)
        stages = trees.staged_predict_proba(rows.features)
        probability = next(itertools.islice(stages, max(0, best - 1), None))
        probability = probability[:, 1]
        metrics = deepfm_tf.metrics.binary_metrics(
            rows.label, probability, rows.weight
        )
        for name in METRICS:
            record[f"{part}_{name}"] = round(metrics[name], 6)
    return record, probability


def predictions(
    run: Path,
) -> tuple[np.ndarray, dict[tuple[str, int], np.ndarray], list[int]]:
    """Test labels, probabilities by model and seed, seeds all models have."""
    directory = run / "results"
    found = {}
    for path in sorted(directory.glob("*-seed-*.npy")):
        model, seed = re.fullmatch(r"(.+)-seed-(\d+)", path.stem).groups()
        found[model, int(seed)] = np.load(path)
    models = {model for model, _ in found}
    seeds = [
        seed
        for seed in sorted({seed for _, seed in found})
        if all((model, seed) in found for model in models)
    ]
    return np.load(directory / "label.npy"), found, seeds


def summary(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means and standard deviations over seeds."""
    result = {"setting": records[0]["setting"], "seeds": len(records)}
    for name in [f"{p}_{m}" for p in ("valid", "test") for m in METRICS]:
        values = [record[name] for record in records]
        result[name] = {
            "mean": round(statistics.mean(values), 5),
            "sd": round(statistics.stdev(values), 5) if values[1:] else 0.0,
        }
    return result


if __name__ == "__main__":
    main()
