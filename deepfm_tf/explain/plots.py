"""Plots of strengths and attributions, by matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepfm_tf.errors import MissingPackageError
from deepfm_tf.explain.attributions import Attributions
from deepfm_tf.explain.strengths import FieldStrengths
from deepfm_tf.extras import install_hint
from deepfm_tf.metrics.logits import sigmoid

# Blue lowers the click probability, red raises it; both stay apart for the
# colour-blind and in print.
_LOWERS, _RAISES, _WHOLE = "#2c6fbb", "#c8372d", "#555555"


def plot_field_strengths(strengths: FieldStrengths, top: int = 40) -> Any:
    """A heat map of the pairs of fields, first order on the diagonal.

    Args:
        strengths: what `field_strengths` gave.
        top: int. Fields to show: those with the strongest terms. Defaults to
            40, whose names can still be read.

    Returns:
        A `matplotlib.figure.Figure`: call its `savefig("strengths.png")`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    num_all = len(strengths.fields)
    strengths = strengths.strongest(top)
    num_fields = len(strengths.fields)
    size = max(4.0, 1.8 + 0.32 * num_fields)
    figure = new_figure((size + 2.0, size))
    axes = figure.add_subplot()
    values = strengths.pairs + np.diag(strengths.first_order)
    # A scale each: first order is often ten times as strong as any pair.
    on_diagonal = np.eye(num_fields, dtype=bool)
    scales = {
        "pairs, logits": ("viridis", on_diagonal),
        "first order, logits": ("Greys_r", ~on_diagonal),
    }
    for title, (colours, hidden) in scales.items():
        shown = np.where(hidden, np.nan, values)
        image = axes.imshow(shown, cmap=colours, vmin=0.0)
        figure.colorbar(image, shrink=0.8, label=title)
    names = [_cut(name, 30) for name in strengths.fields]
    axes.set_xticks(range(num_fields), names, rotation=90)
    axes.set_yticks(range(num_fields), names)
    axes.set_title(
        "Mean |term| of the logit: pairs of fields\n"
        "(on the diagonal: first order)"
        + f"\nthe {num_fields} strongest of {num_all}"
        * (num_fields < num_all),
        fontsize="medium",
    )
    if num_fields <= 12:
        for (i, j), value in np.ndenumerate(values):
            alike = values[on_diagonal == (i == j)]
            colour = "black" if value > alike.max() / 2 else "white"
            axes.text(
                j,
                i,
                f"{value:.3f}".removeprefix("0"),
                ha="center",
                va="center",
                color=colour,
                fontsize="small",
            )
    return figure


def plot_waterfall(
    attributions: Attributions,
    row: int = 0,
    top: int = 12,
    by_field: bool = False,
) -> Any:
    """One prediction as a staircase from the bias to the logit.

    Args:
        attributions: what `Explainer.explain` gave.
        row: int. The row to show.
        top: int. Terms to show; the smaller ones share a step.
        by_field: bool. Whether all terms of a field make one step. Better
            with more than ten fields or so, where small pairs add up.

    Returns:
        A `matplotlib.figure.Figure`: call its `savefig("row.png")`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    steps = [
        (_step_name(term), term["value"])
        for term in attributions.terms(row, by_field)
    ]
    num_heads = sum(name in _HEADS for name, _ in steps)
    shown, rest = steps[: top + num_heads], steps[top + num_heads :]
    left_over = sum(value for _, value in rest)
    left_over += float(attributions.completeness_error[row])
    shown.append((f"{len(rest)} smaller terms, error", left_over))
    values = np.array([value for _, value in shown])
    ends = np.cumsum(values)
    starts = ends - values
    logit = float(attributions.logit[row])

    longest = max(len(name) for name, _ in shown)
    figure = new_figure((4.5 + 0.085 * longest, 1.4 + 0.32 * len(shown)))
    axes = figure.add_subplot()
    places = np.arange(len(shown))
    colours = [_RAISES if value > 0 else _LOWERS for value in values]
    axes.barh(places, values, left=starts, color=colours, height=0.65)
    axes.barh([len(shown)], [logit], color=_WHOLE, height=0.65)
    for place in places:  # each step starts where the one above it ended
        axes.plot([ends[place]] * 2, [place, place + 1], "k:", linewidth=0.8)
    low, high = min(0, *starts, *ends), max(0, *starts, *ends)
    margin = 0.02 * (high - low or 1.0)
    right_ends = [*np.maximum(starts, ends), max(logit, 0.0)]
    for number, value in enumerate([*values, logit]):
        axes.text(
            right_ends[number] + margin,
            number,
            f"{value:+.3f}",
            va="center",
            fontsize="small",
        )
    axes.set_xlim(low - 3 * margin, high + 9 * margin)
    axes.set_yticks(
        [*places, len(shown)], [*(name for name, _ in shown), "logit"]
    )
    axes.invert_yaxis()
    axes.axvline(0.0, color="0.8", linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("logits (red raises the probability, blue lowers it)")
    probability = float(sigmoid(np.asarray(logit)))
    axes.set_title(
        f"Probability {probability:.4f}, logit {logit:+.3f}", fontsize="medium"
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure


_HEADS = ("bias", "deep part at the mean")


def _step_name(term: dict[str, Any]) -> str:
    suffix = {"deep": " (deep)", "first order": " (alone)"}
    return _cut(str(term["term"]), 60) + suffix.get(term["kind"], "")


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def new_figure(size: tuple[float, float]) -> Any:
    """A figure of that many inches, apart from any window or backend."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            install_hint("Plots need", "plots")
        ) from error
    return Figure(figsize=size, dpi=120, layout="constrained")
