"""What each change of a structure does, measured by what chance does."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import deepfm_tf
from deepfm_tf.experiment.structures import Space, Structure


def effects(
    metric: str,
    space: Space,
    finished: Mapping[str, Mapping[str, Any]],
    searched: Sequence[Mapping[str, Any]],
    base_values: Sequence[float],
    best: tuple[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """The `structure` of a report: see `deepfm_tf.report.structure_table`.

    A change is trained with one seed. By chance alone, as large as that of the
    base's seeds, it falls within `margin` of the base's mean 19 times of 20
    (see `deepfm_tf.metrics.margin_of_one_more`).

    Args:
        metric: `"log_loss"` or `"auc"`.
        space: the Space.
        finished: name -> result of `Trials`, with the first seed.
        searched: those of them that the search found.
        base_values: of the base, seed by seed.
        best: name and values, seed by seed, of the best that was tried, if
            that is not the base.
    """
    mean = statistics.fmean(base_values)
    std = statistics.stdev(base_values)
    margin = deepfm_tf.metrics.margin_of_one_more(base_values)
    sign = 1 if metric == "auc" else -1

    def entry(run: Mapping[str, Any]) -> dict[str, Any]:
        improvement = sign * (run["value"] - mean)
        return {
            **run["structure"],
            "parameters": run["parameters"],
            "seconds": run["seconds"],
            "epochs": run["epochs"],
            "pruned": run["pruned"],
            "value": run["value"],
            "improvement": improvement,
            "beyond_seeds": abs(improvement) > margin,
        }

    changes = [
        {
            "factor": factor,
            "name": changed.name,
            **entry(finished[changed.name]),
        }
        for factor, changed in space.changes()
    ]
    found = {
        "metric": metric,
        "factors": {name: list(own) for name, own in space.values.items()},
        "base": {
            "name": space.base.name,
            "parameters": finished[space.base.name]["parameters"],
            "values": list(base_values),
            "mean": mean,
            "std": std,
            "margin": margin,
        },
        "changes": changes,
        "searched": [
            {"name": Structure(**run["structure"]).name, **entry(run)}
            for run in searched
        ],
        "skipped": space.skipped(),
    }
    if best is not None:
        name, values = best
        found["best"] = {
            "name": name,
            "parameters": finished[name]["parameters"],
            "values": list(values),
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values),
            "improvement": sign * (statistics.fmean(values) - mean),
        }
    return found


def lead(report: Mapping[str, Any]) -> str:
    """What the structure changes, in some sentences.

    Args:
        report: with `structure` and `best`, and `comparisons` and
            `recommended` if the best is not the base.
    """
    structure = report["structure"]
    metric, base = structure["metric"], structure["base"]
    title = deepfm_tf.metrics.METRIC_TITLES[metric]
    changes = structure["changes"]
    beyond = [change for change in changes if change["beyond_seeds"]]
    text = (
        f"The base ({base['name']}) has a validation {title} of "
        f"{base['mean']:.4f} over {len(base['values'])} seeds, and by the seed "
        f"alone a run is within ± {base['margin']:.4f} of it. "
        f"{len(beyond) or 'None'} of the {len(changes)} single changes "
        f"{'goes' if len(beyond) < 2 else 'go'} beyond that"
    )
    beyond.sort(key=lambda change: -abs(change["improvement"]))
    listed = [
        f"{change['factor'].replace('_', ' ')} {change[change['factor']]} "
        f"({'better' if change['improvement'] > 0 else 'worse'} by "
        f"{abs(change['improvement']):.4f})"
        for change in beyond
    ]
    text += f": {', '.join(listed)}." if listed else "."
    spreads = _spreads(structure)
    if spreads:
        parts = [
            f"{name.replace('_', ' ')} {spread:.4f}" for name, spread in spreads
        ]
        text += (
            f" From the best value of a factor to its worst: "
            f"{', '.join(parts)}."
        )
    if structure["skipped"]:
        text += f" Left out: {'; '.join(structure['skipped'])}."
    number = len(changes) + len(structure["searched"])
    text += (
        f" {number} structures beside the base were tried, with one seed each: "
        "by chance alone about one in 20 of them is beyond the seeds, and the "
        "best of them is flattered by the seed that made it the best."
    )
    if "comparisons" not in report:
        return f"{text} None of them is better than the base."
    texts = {entry["metric"]: entry["text"] for entry in report["comparisons"]}
    best = structure["best"]
    text += (
        f" The best on the validation data ({report['best']}) has a validation "
        f"{title} of {best['mean']:.4f} over {len(best['values'])} seeds. "
        "Against the base on the test data: AUC "
        f"{texts['auc']}; log loss {texts['log_loss']}."
    )
    if report["recommended"] == "base":
        text += (
            f" By {title} the test data do not say that it is the better one: "
            "keep the base."
        )
    return text


def _spreads(structure: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Factors by the range of their values' results, the base's included."""
    values: dict[str, list[float]] = {}
    for change in structure["changes"]:
        own = values.setdefault(change["factor"], [structure["base"]["mean"]])
        own.append(change["value"])
    spreads = {name: max(own) - min(own) for name, own in values.items()}
    return sorted(spreads.items(), key=lambda pair: -pair[1])
