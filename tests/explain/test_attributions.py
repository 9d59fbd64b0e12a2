"""The terms of a row in words and numbers."""

import numpy as np
import pytest

from deepfm_tf.explain import Attributions


def attributions(**changes):
    terms = {
        "fields": ("hour", "app", "user"),
        "labels": (("hour=23", "app=chess", "user=7"),),
        "logit": np.array([0.75]),
        "bias": -0.5,
        "baseline": 0.25,
        "first_order": np.array([[1.0, -2.0, 0.5]]),
        "pairs": np.array([[3.0, 0.1, -0.2]]),
        "deep": np.array([[-1.0, 0.0, -0.5]]),
        "completeness_error": np.array([0.1]),
    }
    return Attributions(**{**terms, **changes})


def test_terms_come_by_size_after_bias_and_baseline():
    terms = attributions().terms()

    assert [(t["term"], t["kind"], t["value"]) for t in terms[:5]] == [
        ("bias", "bias", -0.5),
        ("deep part at the mean", "baseline", 0.25),
        ("hour=23 × app=chess", "pair", 3.0),
        ("app=chess", "first order", -2.0),
        ("hour=23", "first order", 1.0),
    ]
    assert len(terms) == 11
    assert sum(t["value"] for t in terms) == pytest.approx(0.75 - 0.1)


def test_terms_by_field_are_its_contributions():
    terms = attributions().terms(by_field=True)

    assert [(t["term"], t["kind"]) for t in terms] == [
        ("bias", "bias"),
        ("deep part at the mean", "baseline"),
        ("hour=23", "field"),
        ("app=chess", "field"),
        ("user=7", "field"),
    ]
    assert terms[2]["value"] == pytest.approx(1 - 1 + 1.55)
    assert sum(t["value"] for t in terms) == pytest.approx(0.75 - 0.1)
    assert "hour=23                field" in attributions().table(by_field=True)


def test_contributions_give_each_field_half_of_its_pairs():
    np.testing.assert_allclose(
        attributions().contributions,
        [[1 - 1 + 1.55, -2 + 1.4, 0.5 - 0.5 - 0.05]],
    )


def test_the_table_adds_up_what_it_leaves_out():
    assert attributions().table(top=2).splitlines() == [
        "term                   kind           value",
        "---------------------  -----------  -------",
        "bias                   bias         -0.5000",
        "deep part at the mean  baseline      0.2500",
        "hour=23 × app=chess    pair          3.0000",
        "app=chess              first order  -2.0000",
        "7 smaller terms                     -0.1000",
        "completeness error                   0.1000",
        "logit                  sum           0.7500",
    ]


@pytest.mark.parametrize("row", [1, -2])
def test_a_row_that_was_not_explained_is_refused(row):
    with pytest.raises(ValueError, match=rf"from 0 to 0.*row={row}\."):
        attributions().table(row=row)


def test_a_linear_model_has_no_deep_terms_and_no_pairs():
    linear = attributions(
        baseline=0.0, deep=np.zeros((1, 3)), pairs=np.zeros((1, 0))
    )

    assert [t["kind"] for t in linear.terms()] == ["bias"] + 3 * ["first order"]
    np.testing.assert_array_equal(linear.contributions, [[1.0, -2.0, 0.5]])


def test_contributions_leave_the_terms_alone():
    result = attributions()

    result.contributions[:] = 99.0

    np.testing.assert_array_equal(result.first_order, [[1.0, -2.0, 0.5]])
