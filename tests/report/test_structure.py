"""Table and plots of a sweep."""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.report.structure import plot_factor

CHANGE = {"parameters": 1200, "pruned": False, "depth": 3, "shape": "constant"}
STRUCTURE = {
    "metric": "log_loss",
    "factors": {"depth": [3, 1, 2], "shape": ["constant", "diamond"]},
    "base": {
        "name": "8-8-8",
        "parameters": 2000,
        "values": [0.50, 0.52],
        "mean": 0.51,
        "std": 0.0141,
        "margin": 0.22,
    },
    "changes": [
        CHANGE
        | {"factor": "depth", "name": "8", "depth": 1, "value": 0.80}
        | {"improvement": -0.29, "beyond_seeds": True},
        CHANGE
        | {"factor": "shape", "name": "6-12-6", "shape": "diamond"}
        | {"value": 0.5, "improvement": 0.01, "beyond_seeds": False},
    ],
    "searched": [
        CHANGE
        | {"name": "8-8", "depth": 2, "value": 0.4, "improvement": -1e-6}
        | {"beyond_seeds": False},
        CHANGE
        | {"name": "2-4-2", "shape": "diamond", "value": 9.0, "pruned": True}
        | {"improvement": -8.49, "beyond_seeds": True},
    ],
}


def test_the_table_has_the_base_the_changes_and_the_search():
    table = deepfm_tf.report.structure_table(STRUCTURE)

    assert [tuple(row.values()) for row in table] == [
        ("base", "8-8-8", "2,000", "0.5100 ± 0.0141", "", ""),
        ("depth 1", "8", "1,200", "0.8000", "worse by 0.2900", "yes"),
        (
            "shape diamond",
            "6-12-6",
            "1,200",
            "0.5000",
            "better by 0.0100",
            "no",
        ),
        ("search", "8-8", "1,200", "0.4000", "equal", "no"),
        ("search", "2-4-2", "1,200", "9.0000", "worse by 8.4900", "stopped"),
    ]
    assert list(table[0])[3] == "validation log loss"


@pytest.fixture(scope="module")
def axes():
    return plot_factor(STRUCTURE, "depth").axes[0]


def test_numbers_stand_in_order_and_the_base_is_named(axes):
    ticks = [label.get_text() for label in axes.get_xticklabels()]

    assert ticks == ["1", "2", "3"]
    assert axes.get_xlabel() == "depth (base: 3)"
    assert axes.get_title() == "By depth, lower is better"


def test_the_factor_alone_is_a_line_from_change_to_base(axes):
    (line,) = [x for x in axes.lines if x.get_label() == "this factor alone"]

    np.testing.assert_allclose(line.get_xydata(), [[0, 0.80], [2, 0.51]])


def test_the_others_are_dots_without_what_was_stopped(axes):
    (dots,) = [x for x in axes.lines if x.get_label().startswith("other")]

    # Of depth 3 the diamond, of depth 2 what the search found.
    np.testing.assert_allclose(
        sorted(dots.get_xydata().tolist()), [[1, 0.4], [2, 0.5]]
    )


def test_the_medians_are_of_all_with_the_value(axes):
    (medians,) = axes.collections[-1:]

    heights = {
        round(segment[:, 0].mean()): segment[0, 1]
        for segment in medians.get_segments()
    }
    assert heights == pytest.approx({0: 0.80, 1: 0.4, 2: 0.505})


def test_a_report_has_a_plot_for_each_factor_with_values():
    few = STRUCTURE | {"factors": {"depth": [3, 1, 2], "shape": ["constant"]}}

    figures = deepfm_tf.report.report_figures({"models": [], "structure": few})

    assert list(figures) == ["structure_depth"]
