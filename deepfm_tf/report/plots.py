"""Learning curves and reliability diagrams, by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deepfm_tf.errors import UserError
from deepfm_tf.explain.plots import new_figure
from deepfm_tf.metrics import METRIC_TITLES

# Okabe and Ito's colours, which the colour-blind tell apart, and line styles
# for those who print in black and white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#444444", "#e69f00")
_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Inches: the text is readable when a phone shows it 360 pixels wide.
_SIZE = (5.2, 4.4)
# How far, in ranges of the later ones, first evaluations may widen the axis.
_FAR = 1.5
_CURVES = ("auc", "log_loss")
# Of the legend, in characters: a line, the sample of a model's line, and a
# name; and the inches that a further line takes.
_LEGEND_CHARACTERS, _SAMPLE, _LONGEST, _LINE = 78, 7, 60, 0.17


def plot_learning_curves(
    runs: Sequence[Mapping[str, Any]],
    metric: str = "log_loss",
    mark: tuple[str, float] | None = None,
) -> Any:
    """A validation metric against steps: thin for a seed, thick for the mean.

    The mean goes as far as every seed of the model was trained.

    Args:
        runs: mappings of `model` and `curve`, a list of mappings of `step`
            and the metric, as `LearningCurve` makes them.
        metric: `"log_loss"` or `"auc"`.
        mark: name and value of a horizontal line. Optional.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if metric not in _CURVES:
        raise UserError(
            f"`metric` must be one of {', '.join(_CURVES)}. Received: "
            f"metric={metric!r}."
        )
    figure = new_figure(_SIZE)
    from matplotlib.ticker import EngFormatter

    axes = figure.add_subplot()
    every: list[float] = []
    settled: list[float] = []
    for number, (model, curves) in enumerate(_by_model(runs, metric).items()):
        look = _look(number)
        for steps, values in curves:
            if len(curves) > 1:
                axes.plot(
                    steps, values, color=look["color"], alpha=0.3, linewidth=0.8
                )
            every += values
            settled += [values[-1], *values[len(values) // 5 :]]
        common = min((steps for steps, _ in curves), key=len)
        mean = np.mean([values[: len(common)] for _, values in curves], axis=0)
        few = "o" if len(common) < 15 else ""
        axes.plot(common, mean, label=model, marker=few, markersize=3, **look)
    if mark is not None:
        name, value = mark
        axes.axhline(
            value, color="0.4", linewidth=0.9, linestyle=":", label=name
        )
        settled.append(value)
    below = "training steps"
    low, high = min(settled), max(settled)
    farthest = max(every, key=lambda value: max(low - value, value - high))
    if max(low - farthest, farthest - high) <= _FAR * (high - low):
        low, high = min(low, *every), max(high, *every)
    else:
        # It starts from chance and would flatten all the rest.
        below += f" (first evaluations, from {farthest:.3f} on, not shown)"
    margin = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", integer=True)
    # 20k, 1.5M: a factor beside the axis would stand on its title.
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_xlabel(below)
    axes.set_ylabel(f"validation {METRIC_TITLES[metric]}")
    better = "higher" if metric == "auc" else "lower"
    axes.set_title(f"Validation {METRIC_TITLES[metric]}, {better} is better")
    _finish(axes)
    return figure


def plot_reliability(runs: Sequence[Mapping[str, Any]]) -> Any:
    """How often a click came, against how likely it was said to be.

    Args:
        runs: mappings of `model` and `reliability`, the parts of a
            `ReliabilityCurve` by name. One line each.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = new_figure(_SIZE)
    axes = figure.add_subplot()
    end = 0.0
    for number, run in enumerate(runs):
        curve = run["reliability"]
        axes.plot(
            curve["probability"],
            curve["label"],
            label=run["model"],
            marker="o",
            markersize=3.5,
            **_look(number),
        )
        end = max(end, *curve["probability"], *curve["label"])
    # The whole square, unless the rates are low: plots of one page compare.
    end = 1.0 if end > 0.75 else 1.05 * end
    axes.plot([0, end], [0, end], color="0.5", linewidth=0.9, zorder=0)
    axes.set_xlim(0, end)
    axes.set_ylim(0, end)
    axes.set_xlabel("mean predicted probability")
    axes.set_ylabel("share of positives")
    axes.set_title("Reliability on the test data")
    _finish(axes)
    return figure


def _by_model(
    runs: Sequence[Mapping[str, Any]], metric: str
) -> dict[str, list[tuple[list[int], list[float]]]]:
    """Model -> steps and values of each of its runs."""
    curves: dict[str, list[tuple[list[int], list[float]]]] = {}
    for run in runs:
        # Undefined where the validation data are all of one class.
        points = [p for p in run["curve"] if p[metric] is not None]
        if points:
            steps = [point["step"] for point in points]
            values = [point[metric] for point in points]
            curves.setdefault(run["model"], []).append((steps, values))
    if not curves:
        raise UserError(
            f"`runs` must have points of {metric} to plot. Received: none in "
            f"{len(runs)} runs."
        )
    return curves


def _look(number: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _STYLES[number % len(_STYLES)],
        "linewidth": 1.8,
    }


def _finish(axes: Any) -> None:
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    # Below, where it covers no line; as many columns as there is room for.
    lines, labels = axes.get_legend_handles_labels()
    labels = [_cut(label) for label in labels]
    longest = max(map(len, labels))
    columns = max(1, min(3, _LEGEND_CHARACTERS // (longest + _SAMPLE)))
    figure = axes.figure
    extra_lines = max(0, math.ceil(len(labels) / columns) - 2)
    figure.set_figheight(figure.get_figheight() + _LINE * extra_lines)
    figure.legend(
        lines,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize="small",
    )


def _cut(label: str) -> str:
    """A name that fits below a plot; its ends are kept."""
    if len(label) <= _LONGEST:
        return label
    return f"{label[: _LONGEST - 16]}…{label[-15:]}"
