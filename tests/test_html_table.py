"""Tables as HTML, and what of the package shows itself as one."""

import html.parser
import math

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.explain import Attributions, FieldStrengths
from deepfm_tf.explain.field_report import FieldReport
from deepfm_tf.explain.importance import Importance
from deepfm_tf.html_table import html_table
from deepfm_tf.report import results_table

NASTY = "<script>alert(\"1\")</script> & 'x'"
NUMBERS = np.array([0.5, 0.25])


class Cells(html.parser.HTMLParser):
    """The texts of a table, line by line; tags must be closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.lines = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in ("table", "caption", "thead", "tbody", "tr", "th", "td")
        self.open.append(tag)
        if tag == "tr":
            self.lines.append([])
        elif tag in ("th", "td"):
            self.lines[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.lines[-1][-1] += data


def test_its_texts_are_escaped_and_its_numbers_are_those_of_text_table():
    rows = [
        {NASTY: "a&b", "AUC": 0.71236, "n": 12345},
        {NASTY: NASTY, "AUC": math.nan, "n": None},
    ]

    text = html_table(rows, caption=NASTY)

    assert "<script" not in text
    assert Cells(text).lines == [
        [NASTY, "AUC", "n"],
        ["a&b", "0.7124", "12,345"],
        [NASTY, "undefined", ""],
    ]
    assert text.count('<td class="number">') == 4


def schema():
    fields = (deepfm_tf.CategoricalField(NASTY), deepfm_tf.NumericField("n"))
    return deepfm_tf.Schema(fields, "click", notes=(f"{NASTY!r}: numeric, x.",))


def attributions():
    return Attributions(
        fields=(NASTY, "n"),
        labels=((f"{NASTY}=1", "n=2"),),
        logit=np.array([0.75]),
        bias=0.0,
        baseline=0.0,
        first_order=NUMBERS[None],
        pairs=np.zeros((1, 0)),
        deep=np.zeros((1, 2)),
        completeness_error=np.zeros(1),
    )


def importance():
    return Importance(
        *((NASTY, "n"), 0.75, 0.5),
        *(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    )


def strengths():
    return FieldStrengths((NASTY, "n"), NUMBERS, np.zeros((2, 2)), 80)


def report():
    numbers = [NUMBERS] * 8
    whole = [np.array([3, 4])] * 2
    return FieldReport((NASTY, "n"), *numbers, *whole, ("helps", ""))


def results():
    row = {"model": NASTY, "seeds": 1, "parameters": 1200}
    row["auc"] = {"mean": 0.5, "std": None}
    return results_table([row])


@pytest.mark.parametrize(
    ("make", "second"),
    [
        (schema, [NASTY, "categorical", ""]),
        (attributions, ["bias", "bias", "0.0000"]),
        (importance, [NASTY, "0.5000", "0.5000", "0.5000", "0.5000"]),
        (strengths, [NASTY, "first order", "0.5000"]),
        (results, [NASTY, "0.5000", "1,200"]),
        (report, None),
    ],
)
def test_a_notebook_shows_it_as_a_table_of_texts(make, second):
    text = make()._repr_html_()

    lines = Cells(text).lines
    assert "<script" not in text
    assert any(NASTY in cell for line in lines for cell in line)
    if second is not None:
        assert lines[1] == second
    else:
        assert lines[1][:3] == [NASTY, "0.5000", "0.5000"]


def test_results_are_a_list_as_before():
    assert results() == [
        {"model": NASTY, "test AUC": "0.5000", "parameters": "1,200"}
    ]
    assert results_table([])._repr_html_() == ""
