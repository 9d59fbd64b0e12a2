"""Counts and target means of values, against their formulas by hand."""

import math

import numpy as np
import pytest

from deepfm_tf.vocabulary.encodings import ValueEncodings

# Missing, absent, two values: 20 rows, of which 5 were clicked.
COUNTS = [[4, 1], [0, 0], [12, 4], [4, 0]]


def logit(p):
    return math.log(p / (1 - p))


def test_numbers_are_those_of_the_formulas():
    base = 5.5 / 21
    mean = (4 * math.log(5) + 12 * math.log(13) + 4 * math.log(5)) / 20

    table = ValueEncodings(COUNTS).table(("count", "target_mean"))

    expected = [
        [
            (math.log(1 + n) - mean) / 6,
            logit((c + 10 * base) / (n + 10)) - logit(base),
        ]
        for n, c in COUNTS
    ]
    np.testing.assert_allclose(table, expected, rtol=1e-6)


def test_a_value_that_training_lacks_has_the_base_rate():
    table = ValueEncodings(COUNTS).table(["target_mean"])

    assert abs(table[1]) < 1e-12


def test_rows_of_values_that_were_cut_off_are_in_the_base_rate_alone():
    cut = [[4, 1], [30, 20], [12, 4], [4, 0]]

    table = ValueEncodings(cut).table(["target_mean"])

    # (0 + 10 p) / (4 + 10), where p is 25.5 / 51, is 5 / 14.
    assert abs(table[1]) < 1e-12
    assert table[3] == pytest.approx(logit(5 / 14), rel=1e-6)


def test_a_missing_value_that_contributes_nothing_has_no_numbers():
    table = ValueEncodings(COUNTS, has_missing=False).table(["count"])

    assert np.isnan(table[0]).all()
    assert np.isfinite(table[1:]).all()


@pytest.mark.parametrize("clicks", [0, 1])
def test_labels_of_one_class_have_finite_numbers(clicks):
    counts = np.array(COUNTS)
    counts[:, 1] = clicks * counts[:, 0]

    table = ValueEncodings(counts).table(("count", "target_mean"))

    assert np.isfinite(table).all()


def test_numbers_are_told_in_rows_and_rates():
    encodings = ValueEncodings(COUNTS)
    table = encodings.table(("count", "target_mean"))

    rows = encodings.decode("count", table[:, 0])
    rates = encodings.decode("target_mean", table[:, 1])

    np.testing.assert_allclose(rows, [4, 0, 12, 4], rtol=1e-5, atol=1e-5)
    base = 5.5 / 21
    np.testing.assert_allclose(
        rates,
        [(c + 10 * base) / (n + 10) for n, c in COUNTS],
        rtol=1e-6,
    )
