"""What the structure of the hidden layers changes: table and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepfm_tf.explain.plots import new_figure
from deepfm_tf.metrics import METRIC_TITLES, Spread
from deepfm_tf.report.content import Structure
from deepfm_tf.report.tables import number, spread

# Inches: as the other plots of a page.
_SIZE = (5.2, 4.0)
_CHANGED, _SEARCHED, _BASE = "#0072b2", "#8a8a8a", "#d55e00"


def structure_table(structure: Structure) -> list[dict[str, str]]:
    """The base, then its changes, then what a search found, as texts.

    Args:
        structure: plain data.

    Returns:
        A dict for each row: title of the column -> text.

    Example:

    >>> base = {"name": "8-8", "parameters": 90, "mean": 0.5, "std": 0.01}
    >>> structure_table(
    ...     {"metric": "auc", "base": base, "changes": [], "searched": []}
    ... )[0]["validation AUC"]
    '0.5000 ± 0.0100'
    """
    title = f"validation {METRIC_TITLES[structure['metric']]}"
    base = structure["base"]
    rows = [
        {
            "change": "base",
            "structure": base["name"],
            "parameters": number(base["parameters"]),
            title: f"{number(base['mean'])} ± {number(base['std'])}",
            "against the base": "",
            "beyond the seeds": "",
        }
    ]
    best = [structure["best"]] if "best" in structure else []
    for entry in (*best, *structure["changes"], *structure["searched"]):
        if "std" in entry:  # over all seeds, as the base
            of_seeds: Spread = {"mean": entry["mean"], "std": entry["std"]}
            what, value = "best, over the seeds", spread(of_seeds)
            beyond = ""
        else:
            what, value = "search", number(entry["value"])
            beyond = "yes" if entry["beyond_seeds"] else "no"
            beyond = "stopped" if entry["pruned"] else beyond
        if "factor" in entry:
            changed = entry[entry["factor"]]
            what = f"{entry['factor'].replace('_', ' ')} {changed}"
        better = entry["improvement"]
        word = "better" if better > 0 else "worse"
        against = f"{word} by {number(abs(better))}"
        rows.append(
            {
                "change": what,
                "structure": entry["name"],
                "parameters": number(entry["parameters"]),
                title: value,
                "against the base": against if round(better, 4) else "equal",
                "beyond the seeds": beyond,
            }
        )
    return rows


def plot_factor(structure: Structure, factor: str) -> Any:
    """A validation metric by the values of one factor.

    Args:
        structure: as for `structure_table`; the base has its `values` too.
        factor: str. One of its `factors`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    values = structure["factors"][factor]
    if not isinstance(values[0], str):
        values = sorted(values)
    place = {value: position for position, value in enumerate(values)}
    base = structure["base"]
    first = structure["factors"][factor][0]
    # All of them: those that change other factors have the base's value here.
    runs = [
        run
        for run in (*structure["changes"], *structure["searched"])
        if not run["pruned"]
    ]
    changed = [run for run in structure["changes"] if run["factor"] == factor]
    figure = new_figure(_SIZE)
    axes = figure.add_subplot()
    axes.axhspan(
        base["mean"] - base["margin"],
        base["mean"] + base["margin"],
        color=_BASE,
        alpha=0.13,
        linewidth=0,
        label="the base, seed-to-seed variation",
    )
    others = [run for run in runs if run not in changed]
    axes.plot(
        _apart([place[run[factor]] for run in others]),
        [run["value"] for run in others],
        "o",
        color=_SEARCHED,
        markersize=3.5,
        alpha=0.7,
        label="other factors changed too",
    )
    means = {first: base["mean"]} | {r[factor]: r["value"] for r in changed}
    line = [value for value in values if value in means]
    axes.plot(
        [place[value] for value in line],
        [means[value] for value in line],
        "D-",
        color=_CHANGED,
        markersize=5,
        linewidth=1,
        label="this factor alone",
    )
    results = {value: [means[value]] for value in line}
    for run in others:
        results.setdefault(run[factor], []).append(run["value"])
    axes.hlines(
        [float(np.median(own)) for own in results.values()],
        [place[value] - 0.3 for value in results],
        [place[value] + 0.3 for value in results],
        color="0.2",
        linewidth=1.6,
        label="median of all",
    )
    title = factor.replace("_", " ")
    name = METRIC_TITLES[structure["metric"]]
    better = "higher" if structure["metric"] == "auc" else "lower"
    axes.set_xticks(range(len(values)), [str(value) for value in values])
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_xlabel(f"{title} (base: {first})")
    axes.set_ylabel(f"validation {name}")
    axes.set_title(f"By {title}, {better} is better")
    axes.grid(color="0.92", axis="y")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )
    return figure


def _apart(places: Sequence[float]) -> list[float]:
    """Points of one column side by side, in order of appearance."""
    seen: dict[float, int] = {}
    apart = []
    for place in places:
        count = seen[place] = seen.get(place, 0) + 1
        # 0, then to the right and to the left in turn.
        step = count // 2 * (1 if count % 2 else -1)
        apart.append(place + 0.03 * step)
    return apart
