"""The plots that a report's numbers allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from deepfm_tf.explain import FieldStrengths, plot_field_strengths
from deepfm_tf.metrics import METRIC_TITLES
from deepfm_tf.report.content import Point, Report, Run
from deepfm_tf.report.plots import plot_learning_curves, plot_reliability
from deepfm_tf.report.structure import plot_factor


class ReportFigure(NamedTuple):
    """A plot with its words.

    Attributes:
        figure: a `matplotlib.figure.Figure`.
        description: str. What is to be seen, for those who do not see it.
        caption: str. What to know when reading it.
    """

    figure: Any
    description: str
    caption: str


def report_figures(report: Report) -> dict[str, ReportFigure]:
    """Learning curves, reliability and heat maps, where there are numbers.

    Args:
        report: as for `html_report`.

    Returns:
        Name (as of a file, without suffix) -> the plot. The names begin with
        `learning_curve_`, `reliability`, `field_strengths_` and
        `structure_`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    runs = report["models"]
    first = list({run["model"]: run for run in reversed(runs)}.values())[::-1]
    several = len(runs) > len(first)
    weight = report.get("schema", {}).get("example_weight")
    each = "Each point stands for about as many rows."
    if weight:
        each = f"Each point stands for about the same sum of {weight}."
    # Of several seeds, plots that cannot show all show the first.
    one = f" Runs with seed {first[0]['seed']}." if several else ""
    models = ", ".join(run["model"] for run in first)
    figures = {}
    for metric in ("log_loss", "auc"):
        if any(point[metric] is not None for point in _points(runs)):
            mark = None
            if "reach" in report and report["reach"]["metric"] == metric:
                mark = report["reach"]["name"], report["reach"]["value"]
            name = METRIC_TITLES[metric]
            figures[f"learning_curve_{metric}"] = ReportFigure(
                plot_learning_curves(runs, metric, mark),
                f"Validation {name} against training steps, for {models}",
                "Thin lines are single seeds. Thick lines are their mean, up "
                "to the last step of the shortest run."
                if several
                else "",
            )
    curves = [run for run in first if "reliability" in run]
    calibrated = [run for run in curves if "calibration" in run]
    if len(curves) > 1 or curves and not calibrated:
        figures["reliability"] = ReportFigure(
            plot_reliability(curves),
            f"Share of positives against mean predicted probability, {models}",
            (
                "On the diagonal, the observed rate equals the predicted "
                f"one. {each}{one}"
            ),
        )
    for run in calibrated:
        method = run["calibration"]["method"]
        after = {**run["calibration"], "model": f"{run['model']}, {method}"}
        figures[f"reliability_{run['model']}"] = ReportFigure(
            plot_reliability([run, after]),
            f"Share of positives against mean predicted probability, "
            f"{run['model']} before and after calibration ({method})",
            f"{run['model']} before and after calibration. On the diagonal, "
            f"the observed rate equals the predicted one. {each}",
        )
    for run in first:
        if "strengths" in run:
            has_pyramid = bool(run["strengths"].get("has_pyramid"))
            strengths = FieldStrengths(
                tuple(run["strengths"]["fields"]),
                np.array(run["strengths"]["first_order"]),
                np.array(run["strengths"]["pairs"]),
                run["strengths"]["rows"],
            )
            figures[f"field_strengths_{run['model']}"] = ReportFigure(
                plot_field_strengths(strengths),
                f"Heat map of the strength of each pair of fields in "
                f"{run['model']}, first-order strength on the diagonal",
                f"{run['model']}: mean absolute contribution of each pair of "
                f"fields to the logit, over {strengths.num_rows:,} test "
                f"rows{', without the hidden layers' * has_pyramid}.{one}",
            )
    structure = report.get("structure")
    factors = structure["factors"] if structure else {}
    for factor, values in factors.items():
        if structure and len(values) > 1:
            title = factor.replace("_", " ")
            figures[f"structure_{factor}"] = ReportFigure(
                plot_factor(structure, factor),
                f"Validation metric of every structure tried, by {title}",
                "",
            )
    return figures


def _points(runs: Sequence[Run]) -> list[Point]:
    return [point for run in runs for point in run.get("curve", ())]
