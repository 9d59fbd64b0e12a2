"""The elements of a page."""

import pytest

from deepfm_tf.explain.plots import new_figure
from deepfm_tf.report import page


def test_a_table_names_rows_and_columns():
    rows = [{"model": "a", "n": "1.5"}, {"model": "b<", "n": "–"}]

    text = page.table(rows, 'the "results"', best={"n": 0})

    assert '<th scope="col">model</th>' in text
    assert '<th scope="col" class="number">n</th>' in text
    assert '<th scope="row">b&lt;</th><td class="number">–</td>' in text
    assert '<td class="number best">1.5</td>' in text
    assert 'aria-label="the &quot;results&quot;"' in text


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "–", ""], ' class="number"'),
        (["1", "missing"], ""),
    ],
)
def test_numbers_stand_to_the_right(values, kind):
    text = page.table([{"a": "x", "b": v} for v in values], "t")

    assert f'<th scope="col"{kind}>b</th>' in text


def test_a_column_of_text_may_be_wrapped():
    text = page.table([{"a": "x", "b": "1 two"}], "t", wide=("b",))

    assert '<td class="text">1 two</td>' in text


@pytest.mark.parametrize(("inches", "kind"), [(5, ""), (9, ' class="wide"')])
def test_a_large_figure_has_a_line_to_itself(inches, kind):
    text = page.figure(new_figure((inches, 4)), "a < b", "a caption")

    assert text.startswith(f'<figure{kind}><img src="data:image/svg+xml')
    assert 'alt="a &lt; b"' in text
    assert text.endswith("<figcaption>a caption</figcaption></figure>")
