"""Plots: what is on them, and the word about the extra."""

import sys

import matplotlib.text
import numpy as np
import pytest

from deepfm_tf.report import (
    plot_learning_curves,
    plot_reliability,
    report_figures,
)
from tests.report.reports import make_report, make_runs


def test_learning_curves_show_each_seed_and_the_mean():
    runs = make_runs(num_seeds=2)
    runs[0]["curve"] = runs[0]["curve"][:4]  # this seed stopped earlier

    axes = plot_learning_curves(runs, "log_loss", ("the mark", 0.55)).axes[0]

    labels = [line.get_label() for line in axes.lines]
    thick = [line for line in axes.lines if not line.get_label()[0] == "_"]
    assert len(labels) == 3 * (2 + 1) + 1  # seeds, mean, mark
    assert [line.get_label() for line in thick] == [
        "logistic_regression",
        "fm",
        "deepfm",
        "the mark",
    ]
    np.testing.assert_array_equal(thick[0].get_xdata(), [1, 2, 3, 4])
    # Seeds 1 and 2 have .51 and .52, each + 1 / step.
    np.testing.assert_allclose(
        thick[0].get_ydata(), 0.515 + 1 / np.array([1, 2, 3, 4])
    )


@pytest.mark.parametrize(
    ("first", "lowest", "highest", "told"),
    [
        (0.53, 0.50, 0.53, False),
        (0.69, 0.50, 0.52, True),
        (0.10, 0.50, 0.52, True),
    ],
)
def test_first_evaluations_are_shown_or_said_not_to_be(
    first, lowest, highest, told
):
    values = [first, 0.52, 0.51, 0.505, 0.5, 0.51, 0.5]
    curve = [{"step": s, "log_loss": v} for s, v in enumerate(values)]

    axes = plot_learning_curves([{"model": "fm", "curve": curve}]).axes[0]

    low, high = axes.get_ylim()
    assert low < lowest and highest < high
    assert (low <= first <= high) != told
    expected = f" (first evaluations, from {first:.3f} on, not shown)"
    assert axes.get_xlabel() == "training steps" + expected * told


def boxes(figure):
    """The box of each text that is drawn: (x0, y0, x1, y1), and the text."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    # Ticks beyond the ends of an axis are there, but not drawn.
    beyond = [
        tick.label1
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.majorTicks
        if not min(axis.get_view_interval())
        <= tick.get_loc()
        <= max(axis.get_view_interval())
    ]
    return [
        (*text.get_window_extent().extents, text.get_text())
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text().strip() and text not in beyond
    ]


def overlapping(found):
    """Pairs of texts that touch, by brute force."""
    return [
        (one, other)
        for number, (a, b, c, d, one) in enumerate(found)
        for e, f, g, h, other in found[:number]
        if min(c, g) > max(a, e) and min(d, h) > max(b, f)
    ]


@pytest.mark.parametrize("num_models", [1, 12])
@pytest.mark.parametrize(
    "name", ["m{}", "logistic_regression, platt {}", "x" * 90 + "{}"]
)
def test_no_text_of_a_plot_covers_another_or_is_cut(num_models, name):
    # All models end at one value, the first evaluations are far away.
    curve = [
        {"step": 400_000 * s, "auc": a, "log_loss": 1 - a}
        for s, a in enumerate((0.5, 0.7801, 0.7802, 0.7803, 0.7804, 0.7804))
    ]
    reliability = {"probability": [0.001, 0.3], "label": [0.002, 0.25]}
    runs = [
        {
            "model": name.format(number),
            "curve": curve,
            "reliability": reliability,
        }
        for number in range(num_models)
    ]

    for figure in (
        plot_learning_curves(runs, "auc", (f"best of {name}", 0.7801)),
        plot_reliability(runs),
    ):
        found = boxes(figure)
        width, height = figure.get_size_inches() * figure.dpi
        assert len(found) > 8 + num_models
        assert not overlapping(found)
        for left, low, right, high, text in found:
            assert min(left, low) >= 0, text
            assert right <= width and high <= height, text


def test_one_seed_is_one_line():
    axes = plot_learning_curves(make_runs(num_seeds=1), "auc").axes[0]

    assert len(axes.lines) == 3


def test_a_metric_that_was_never_defined_is_refused():
    runs = make_runs(num_seeds=1)[:1]
    runs[0]["curve"] = [{"step": 1, "auc": None, "log_loss": 0.5}]

    with pytest.raises(ValueError, match="must have points of auc"):
        plot_learning_curves(runs, "auc")
    with pytest.raises(ValueError, match="must be one of auc, log_loss"):
        plot_learning_curves(runs, "loss")


def test_the_reliability_diagram_has_a_line_each_and_the_diagonal():
    axes = plot_reliability(make_runs(num_seeds=1)).axes[0]

    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [0.1, 0.3])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [0.12, 0.25])
    assert len(axes.lines) == 3 + 1
    assert axes.get_xlim() == axes.get_ylim() == (0, pytest.approx(0.315))


def test_a_report_has_the_plots_that_it_has_numbers_for():
    report = make_report()

    figures = report_figures(report)
    for run in report["models"]:
        run.pop("strengths", None)
        for point in run["curve"]:
            point["auc"] = None
    fewer = report_figures(report)

    assert list(figures) == [
        "learning_curve_log_loss",
        "learning_curve_auc",
        "reliability",
        "field_strengths_fm",
        "field_strengths_deepfm",
    ]
    assert list(fewer) == ["learning_curve_log_loss", "reliability"]
    assert "seed 1" in figures["reliability"].caption


def test_a_calibrated_model_has_its_curve_before_and_after():
    report = make_report(num_seeds=1)
    after = {"probability": [0.2], "label": [0.21], "weight": [100]}
    for run in report["models"][1:]:
        run["calibration"] = {"method": "isotonic", "reliability": after}

    several = report_figures(report)
    report["models"] = report["models"][2:]
    one = report_figures(report)

    # A joint one of before, where there are several models.
    names = [f"reliability{end}" for end in ("", "_fm", "_deepfm")]
    assert [n for n in several if n.startswith("reliab")] == names
    assert [n for n in one if n.startswith("reliab")] == names[2:]
    axes = one["reliability_deepfm"].figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["deepfm"].get_ydata(), [0.12, 0.25])
    np.testing.assert_array_equal(lines["deepfm, isotonic"].get_ydata(), [0.21])


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_learning_curves(make_runs(num_seeds=1))
