"""Two precisions, seed by seed: what the second one costs in quality.

    python -m tests.benchmarks.bench_precision RUN OTHER

Both are folders of `deepfm-tf compare --run`, of the same data, models and
seeds, the second with `--precision mixed_bfloat16`. Prints a JSON line for each
model and metric of the test data: the means and standard deviations, the mean
of the differences of equal seeds, and its standard error.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

METRICS = ("auc", "log_loss")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args(words)
    for line in paired(*map(results_of, (options.run, options.other))):
        print(json.dumps(line))


def results_of(run: Path) -> dict[tuple[str, int], dict[str, float]]:
    """The test metrics of each model and seed."""
    results = {}
    for path in sorted((run / "results").glob("*-seed-*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        results[result["model"], result["seed"]] = result["test"]
    return results


def paired(
    ones: Mapping[tuple[str, int], Mapping[str, float]],
    others: Mapping[tuple[str, int], Mapping[str, float]],
) -> list[dict[str, Any]]:
    """A line for each model and metric; of what both have."""
    lines = []
    for model in sorted({model for model, _ in ones}):
        seeds = sorted(seed for name, seed in ones if name == model)
        keys = [(model, seed) for seed in seeds if (model, seed) in others]
        for metric in METRICS:
            left, right = (
                [results[key][metric] for key in keys]
                for results in (ones, others)
            )
            apart = [b - a for a, b in zip(left, right, strict=True)]
            lines.append(
                {
                    "model": model,
                    "metric": metric,
                    "seeds": len(keys),
                    "one": _mean_and_sd(left),
                    "other": _mean_and_sd(right),
                    "difference": round(statistics.fmean(apart), 6),
                    "standard_error": round(
                        statistics.stdev(apart) / len(apart) ** 0.5, 6
                    ),
                }
            )
    return lines


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    return (
        round(statistics.fmean(values), 5),
        round(statistics.stdev(values), 5),
    )


if __name__ == "__main__":
    main()
