"""Made-up clicks with known odds: the demo, and a check on every model.

The log-odds of a click are planted: first-order effects, which logistic
regression can learn; effects of pairs of values, which a factorization
machine can learn too; and effects of triples, which need a deep part. So the
best AUC and log loss that any model can reach (the Bayes row) are known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import deepfm_tf
from deepfm_tf.experiment import Recipe, Settings, main
from deepfm_tf.experiment.run import Outcome, run

ROWS = {"train": 240_000, "valid": 30_000, "test": 60_000}
MODELS = ("logistic_regression", "fm", "deepfm")
DATA = Path("runs") / "synthetic" / "data"

# Field -> its number of values.
_SIZES = {
    "site": 120,
    "advertiser": 80,
    "user_segment": 100,
    "device": 6,
    "hour": 24,
}
_TAGS = ("sports", "news", "games", "music", "travel", "food", "cars", "style")


def make_rows(
    num_rows: int, seed: int, world_seed: int = 7
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Raw rows, as text, and the true click probability of each.

    Args:
        num_rows: int.
        seed: int. Of the rows.
        world_seed: int. Of what is planted; the same for all parts.
    """
    world = np.random.default_rng(world_seed)
    random = np.random.default_rng([world_seed, seed])
    ids = {}
    for name, size in _SIZES.items():
        odds = 1.0 / np.arange(1, size + 1) ** 0.7
        ids[name] = random.choice(size, num_rows, p=odds / odds.sum())
    logit = np.full(num_rows, -1.6)
    for name, size in _SIZES.items():
        logit += world.normal(0, 0.35, size)[ids[name]]
    for left, right in (
        ("site", "advertiser"),
        ("user_segment", "advertiser"),
        ("device", "hour"),
    ):
        a = world.normal(0, 1.0, (_SIZES[left], 3))[ids[left]]
        b = world.normal(0, 1.0, (_SIZES[right], 3))[ids[right]]
        logit += 0.45 * (a * b).sum(axis=1)
    # The sign of a triple product: no pair tells anything about it.
    signs = [
        world.choice((-1.0, 1.0), _SIZES[name])[ids[name]]
        for name in ("user_segment", "site", "hour")
    ]
    logit += 1.1 * np.prod(signs, axis=0)
    # A price that is best in the middle, and missing for one row in twenty.
    price = random.lognormal(1.0, 0.6, num_rows).round(2)
    logit += 0.8 * np.exp(-((np.log(price) - 1.0) ** 2) / 0.18) - 0.4
    known = random.random(num_rows) > 0.05
    effects = world.normal(0, 0.4, len(_TAGS))
    has_tag = random.random((num_rows, len(_TAGS))) < 0.2
    logit += has_tag @ effects
    probability = 1.0 / (1.0 + np.exp(-logit))
    tags = ["|".join(np.array(_TAGS)[row]) for row in has_tag]
    rows = pd.DataFrame(
        {
            "clicked": (random.random(num_rows) < probability).astype(int),
            **{n: [f"{n}_{i}" for i in column] for n, column in ids.items()},
            "price": [
                f"{p:.2f}" if k else ""
                for p, k in zip(price, known, strict=True)
            ],
            "tags": tags,
        }
    )
    # A missing price hides its effect: what is known then is its mean.
    visible = logit[~known] - (
        0.8 * np.exp(-((np.log(price[~known]) - 1.0) ** 2) / 0.18) - 0.4
    )
    draws = np.log(random.lognormal(1.0, 0.6, 2_000))
    hidden = 0.8 * np.exp(-((draws - 1.0) ** 2) / 0.18) - 0.4
    probability[~known] = np.mean(
        1.0 / (1.0 + np.exp(-(visible[:, None] + hidden))), axis=1
    )
    return rows, probability


def schema(min_count: int) -> deepfm_tf.Schema:
    """Five categorical fields, a bucketized and a multi-valued one."""
    return deepfm_tf.Schema(
        (
            *(
                deepfm_tf.CategoricalField(name, min_count=min_count)
                for name in _SIZES
            ),
            deepfm_tf.BucketizedField("price", "quantiles", num_buckets=20),
            deepfm_tf.MultiValuedField("tags", min_count=min_count),
        ),
        label="clicked",
    )


RECIPE = Recipe(
    name="synthetic",
    command_words=("python", "-m", "pipelines.synthetic"),
    description="""\
Generated clicks with known probabilities: writes raw TSV files, trains on them,
exports DeepFM, and scores raw rows with the export. Needs no data.

    {command}
""",
    label="clicked",
    schema=schema,
    text_format=deepfm_tf.TextFormat(separator="\t"),
    defaults={
        **{name: [str(DATA / f"{name}.tsv")] for name in ROWS},
        "model": MODELS,
        "export": Path("saved_models") / "deepfm",
    },
)


def write_data(directory: Path) -> deepfm_tf.metrics.Metrics:
    """Write the raw files; returns the metrics of the Bayes-optimal model."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed, (name, num_rows) in enumerate(ROWS.items()):
        rows, probability = make_rows(num_rows, seed)
        path = directory / f"{name}.tsv"
        rows.to_csv(path, sep="\t", index=False)
        print(f"Wrote {path}: {num_rows:,} rows")
    return deepfm_tf.metrics.binary_metrics(
        rows["clicked"].to_numpy(), probability
    )


def demonstrate(settings: Settings) -> None:
    """The demo: data, table, export, and raw rows through the export."""
    bayes = write_data(DATA)
    outcome = run(
        settings,
        export_model="deepfm" if "deepfm" in settings.model else None,
        reference=("Bayes optimum", bayes),
    )
    if outcome.exported is not None:
        score(outcome)
    if outcome.exported is not None:
        serve = deepfm_tf.shell.command_line(
            *("deepfm-tf", "serve", "--model_name=deepfm"),
            f"--model_base_path={outcome.exported.parent}",
        )
        print(f"\nNext, serve it:\n    {serve}")
    learn = deepfm_tf.shell.command_line(
        *("deepfm-tf", "train", "--train", "clicks.csv"),
        *("--label", "clicked"),
    )
    print(f"\nThen, your own data:\n    {learn}")


def score(outcome: Outcome, num_rows: int = 1000) -> float:
    """Score raw rows in a process with TensorFlow alone, and compare."""
    test = pd.read_csv(
        DATA / "test.tsv", sep="\t", dtype=str, nrows=num_rows
    ).fillna("")
    raw = test.drop(columns="clicked")
    price = pd.to_numeric(raw["price"])
    columns = {
        **{name: raw[name].tolist() for name in raw},
        "price": [None if pd.isna(p) else p for p in price],
    }
    process = subprocess.run(
        [sys.executable, "-m", "pipelines.score", str(outcome.exported)],
        input=json.dumps(columns),
        capture_output=True,
        text=True,
        check=True,
    )
    served = np.array(json.loads(process.stdout))
    model = outcome.models[str(outcome.exported_model)]
    packed = deepfm_tf.encode(raw, outcome.data["train"].vocabulary)
    expected = model.predict(packed, verbose=0)["probability"][:, 0]
    difference = float(np.abs(served - expected).max())
    print(
        f"\nScored {len(raw):,} raw rows in a process that imports TensorFlow "
        f"alone:\nthe largest difference from the model is {difference:.1e}."
    )
    shown = raw.head(3).assign(probability=served[:3].round(4))
    print(shown.to_string(index=False))
    if difference > 1e-6:
        raise RuntimeError("The export does not agree with the model.")
    return difference


if __name__ == "__main__":
    raise SystemExit(main(RECIPE, run_with=demonstrate))
