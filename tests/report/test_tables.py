"""Numbers as text."""

import pytest

from deepfm_tf.report import markdown_table, results_table, summarize_runs
from deepfm_tf.report.tables import number
from tests.report.reports import make_runs


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.1235"),
        (float("nan"), "–"),
        (None, "–"),
        (12345, "12,345"),
        (12345.6, "12,345.6000"),
    ],
)
def test_numbers_are_short_and_undefined_ones_a_dash(value, text):
    assert number(value) == text


def test_the_table_holds_means_and_deviations():
    _, fm, _ = results_table(summarize_runs(make_runs(2)), "fm's best")

    assert fm["test AUC"] == "0.7650 ± 0.0071"
    assert fm["seconds"] == "3.8 ± 1.8"
    assert fm["steps to fm's best"] == "6 ± 3"


def test_markdown_keeps_a_bar_in_its_cell():
    text = markdown_table([{"model": "a|b", "n": "1"}])

    assert text.splitlines() == ["| model | n |", "|---|---|", "| a\\|b | 1 |"]
