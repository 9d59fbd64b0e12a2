"""Findings: from numbers to sentences, on both sides of each limit."""

import math

import pytest

from deepfm_tf.experiment.conclusions import findings

FLAGS = "--learning-rate 0.001 --embedding-l2 1e-3"
INTERVALS = [("auc", 0.67, 0.61, 0.7312), ("log_loss", 0.25, 0.2, 0.3)]


@pytest.mark.parametrize(("loss", "is_said"), [(0.6899, False), (0.69, True)])
def test_a_model_must_be_below_the_constant(loss, is_said):
    text = findings.not_below_constant("fm", loss, 0.69, FLAGS)

    assert (text is not None) == is_said
    if text is not None:
        assert "its test log loss of 0.6900 is not below the 0.6900" in text
        assert f"try {FLAGS}, more rows" in text


@pytest.mark.parametrize(
    ("positives", "negatives", "what"),
    [
        (99, 4901, "only 99 positives among 5,000 rows"),
        (4901, 99, "only 99 negatives among 5,000 rows"),
        (1, 4999, "only 1 positive among 5,000 rows"),
        (100, 4900, None),
        (4900, 100, None),
    ],
)
def test_a_hundred_of_each_class_are_enough(positives, negatives, what):
    text = findings.few_of_a_class(
        positives, negatives, "fm", INTERVALS, "--test more.csv"
    )

    assert (text is None) == (what is None)
    if text is not None:
        assert text == (
            f"The test data have {what}: fm's AUC of 0.6700 could be "
            "anything from 0.6100 to 0.7312 (95 %), and its log loss of "
            "0.2500 could be anything from 0.2000 to 0.3000 (95 %). Give "
            "more test rows: --test more.csv."
        )


def test_the_undefined_has_no_interval():
    nan = math.nan

    text = findings.few_of_a_class(
        0, 50, "fm", [("auc", nan, nan, nan), INTERVALS[1]], "x"
    )

    assert "only 0 positives among 50 rows: fm's AUC is undefined, and" in text


@pytest.mark.parametrize(
    ("values", "metric", "evaluations", "when"),
    [
        ([0.5, 0.51, 0.5026], "log_loss", 1, "after"),  # by 0.5 %
        ([0.5, 0.51, 0.5024], "log_loss", 1, None),
        ([0.5, 0.49, 0.6], "log_loss", 1, None),  # the second is the best
        ([0.5], "log_loss", 1, None),
        ([0.5, 0.49, 0.6], "log_loss", 2, "after"),  # two in an epoch
        ([0.5, 0.49, 0.6], "log_loss", 3, "within"),
        ([0.75, 0.7475], "auc", 1, "after"),  # by 0.0025
        ([0.75, 0.7485], "auc", 1, None),
        ([0.75, 0.76], "auc", 1, None),
    ],
)
def test_overfitting_begins_in_the_first_epoch(
    values, metric, evaluations, when
):
    text = findings.overfits("deepfm", values, metric, evaluations, FLAGS, 100)

    assert (text is None) == (when is None)
    if text is not None:
        assert text.startswith(f"deepfm overfits {when} its first epoch")
        assert text.endswith(f": try {FLAGS}.")
        assert f"at the end {values[-1]:.4f}" in text


@pytest.mark.parametrize(
    ("rarer", "is_told"), [(100, True), (25, True), (24, False), (0, False)]
)
def test_few_validation_rows_must_differ_more_to_tell_of_overfitting(
    rarer, is_told
):
    # By 1 %, twice as much as 100 rows of the rarer class need.
    text = findings.overfits("fm", [0.5, 0.505], "log_loss", 1, FLAGS, rarer)

    assert (text is not None) is is_told


def test_a_mean_of_weights_is_told():
    text = findings.averaged("deepfm", "log_loss", 8, 2.0)

    assert text.startswith(
        "deepfm uses the mean of the weights of 8 evaluations: the best one, "
        "after epoch 2, and later ones whose validation log loss is not "
    )
    assert text.endswith("best one alone, give --no-average-weights.")


@pytest.mark.parametrize(
    ("values", "allowed", "epochs", "what"),
    [
        ([0.5, 0.4, 0.3], 3, 3, "at the last epoch allowed, 3 (.*0.3000)"),
        ([0.5, 0.4, 0.3], 4, 4, None),  # stopped by hand
        ([0.5, 0.3, 0.4], 3, 3, None),
        ([0.5, 0.3, 0.3], 3, 3, None),  # equal is no improvement
        ([0.5], 1, 1, "evaluated once"),
    ],
)
def test_the_best_at_the_limit_is_still_improving(
    values, allowed, epochs, what
):
    text = findings.still_improving("fm", values, "log_loss", allowed, epochs)

    assert (text is None) == (what is None)
    if text is not None:
        assert what.split(" (")[0] in text
        assert text.endswith(": give --epochs 10.")


def test_more_epochs_are_twice_as_many():
    text = findings.still_improving("fm", [0.5] * 11 + [0.6], "auc", 12, 12)

    assert text.endswith("(validation AUC 0.6000): give --epochs 24.")


@pytest.mark.parametrize(
    ("first", "second", "p_value", "what"),
    [
        (0.44, 0.45, 0.049, None),
        (0.44, 0.45, 0.05, "is not significantly better than fm"),
        (0.46, 0.45, 0.3, "is not significantly better than fm"),
        (0.46, 0.45, 0.049, "is significantly worse than fm"),
        (0.46, 0.45, math.nan, None),
    ],
)
def test_a_lead_must_be_beyond_noise(first, second, p_value, what):
    text = findings.not_better(
        "deepfm", "fm", "log_loss", first, second, p_value
    )

    assert (text is None) == (what is None)
    if text is not None:
        assert text.startswith(f"deepfm {what} (test log loss {first:.4f} ag")
        assert f"against 0.4500, p = {p_value:.3f}): use" in text


def test_a_higher_auc_is_the_better_one():
    worse = findings.not_better("deepfm", "fm", "auc", 0.7, 0.71, 0.00001)

    assert "significantly worse than fm (test AUC 0.7000" in worse
    assert "p < 0.001" in worse
    assert findings.not_better("deepfm", "fm", "auc", 0.71, 0.7, 0.01) is None


def verdict(gain=0.12, low=0.1, high=0.14, rarer=100, models=3, equal=None):
    return findings.verdict(
        "deepfm", models, gain, low, high, 12_345, rarer, equal
    )


@pytest.mark.parametrize(
    ("case", "result", "trust"),
    [
        ({}, "is 12.0% lower.", "This can be trusted: on 12,345 rows that"),
        ({"rarer": 99}, "is 12.0% lower.", "Do not rely on this figure"),
        ({"low": 0.0}, "is 12.0% lower.", "This may be chance"),
        ({"low": math.nan}, "is 12.0% lower.", "This may be chance"),
        ({"gain": 0.0, "low": -0.1}, "is 0.0% higher.", "Do not use it"),
        ({"gain": -0.025, "low": -0.1}, "is 2.5% higher.", "Do not use it"),
        (
            {"equal": "fm"},
            "is 12.0% lower.",
            "but fm may be at least as good.",
        ),
    ],
)
def test_the_verdict_is_two_sentences(case, result, trust):
    text = verdict(**case)

    first, second = text.split(". ")
    assert first.startswith("deepfm, the best of 3 models on validation data,")
    assert f"{first}.".endswith(result)
    assert trust in second
    assert ("predicts better than the average rate" in first) == (
        case.get("gain", 1) > 0
    )


def test_of_test_rows_of_one_outcome_nothing_is_said():
    assert verdict(gain=-9.0, rarer=0) == (
        "deepfm cannot be judged: all 12,345 test rows have the same "
        "outcome. Give test rows with both outcomes."
    )


def test_one_model_is_not_called_the_best():
    assert verdict(models=1).startswith(
        "deepfm predicts better than the average rate"
    )
    assert "the gain is 10.0% to 14.0%, with 95 % confidence." in verdict()


@pytest.mark.parametrize(
    ("rate", "l2", "is_lazy", "flags"),
    [
        (0.01, None, True, FLAGS),
        (0.001, None, True, "--embedding-l2 1e-3"),
        (0.01, 0.5, True, "--learning-rate 0.001"),
        (0.001, 3e-6, True, "--embedding-l2 1e-3"),
        (0.001, 0.002, True, "--embedding-l2 0.02"),
        (
            *(0.001, None, False),
            "--optimizer lazy_adam --embedding-l2 1e-3",
        ),
    ],
)
def test_only_flags_that_are_not_given_are_named(rate, l2, is_lazy, flags):
    assert findings.gentler_flags(rate, l2, is_lazy) == flags


def test_values_that_are_often_unseen_are_told_by_field():
    shares = {"hour": 0.0, "ad": 0.2, "user": 0.456, "site": 0.199}

    assert findings.often_unseen(shares) == (
        "Many values in the validation data are unseen in training (user "
        "46%, ad 20%), and all unseen values of a field share one id. Counts "
        "and click rates of values may help more than ids: try --encodings "
        "count,target_mean."
    )
    assert findings.often_unseen({"site": 0.199}) is None
    many = dict.fromkeys("abcde", 0.5)
    assert "(a 50%, b 50%, c 50% and 2 more)" in findings.often_unseen(many)
