"""Fitted parameters, against scikit-learn's own calibrations."""

import sys
import warnings

import numpy as np
import pytest
import scipy.optimize
import sklearn.calibration
import sklearn.isotonic
import sklearn.linear_model

import deepfm_tf
from deepfm_tf.calibration import METHODS

EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


def make_rows(num_rows, seed, slope=2.0, intercept=1.0):
    """Labels, and what a model says that is too sure and too hopeful."""
    random = np.random.default_rng(seed)
    truth = random.normal(-1.5, 1.2, num_rows)
    label = random.random(num_rows) < 1 / (1 + np.exp(-truth))
    logit = (slope * truth + intercept).astype(np.float32)
    return label, 1 / (1 + np.exp(-logit)), truth


@pytest.fixture(scope="module")
def rows():
    return make_rows(4000, seed=1)[:2]


@pytest.fixture(scope="module")
def weight():
    return np.random.default_rng(2).integers(0, 4, 4000) / 2.0


def logit_of(p):
    p = p.astype(np.float64)
    return np.log(p / (1 - p))


class AsItIs(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    """A classifier whose decision function is its one column."""

    def fit(self, logit, label):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, logit):
        return logit[:, 0]

    def predict(self, logit):
        return (logit[:, 0] > 0).astype(int)


def test_platt_is_an_unpenalized_logistic_regression(rows, weight):
    label, p = rows
    logit = logit_of(p)[:, None]
    reference = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-10)

    for each in (None, weight):
        calibration = deepfm_tf.calibration.fit_calibration(
            label, p, "platt", each
        )

        expected = reference.fit(logit, label, each).predict_proba(logit)[:, 1]
        np.testing.assert_allclose(calibration(p), expected, atol=1e-6)


def test_temperature_is_scikit_learns(rows):
    pytest.importorskip("sklearn", "1.8")  # the first to have it
    from sklearn.frozen import FrozenEstimator

    label, p = rows
    logit = logit_of(p)[:, None]
    frozen = FrozenEstimator(AsItIs().fit(logit, label))
    reference = sklearn.calibration.CalibratedClassifierCV(
        frozen, method="temperature"
    ).fit(logit, label)

    calibration = deepfm_tf.calibration.fit_calibration(label, p, "temperature")

    expected = reference.predict_proba(logit)[:, 1]
    np.testing.assert_allclose(calibration(p), expected, atol=1e-6)


def test_temperature_has_the_least_weighted_log_loss(rows, weight):
    label, p = rows
    z = np.where(label, -1.0, 1.0) * logit_of(p)

    found = deepfm_tf.calibration.fit_calibration(
        label, p, "temperature", weight
    )

    best = scipy.optimize.minimize_scalar(
        lambda t: weight @ np.logaddexp(0, z / t),
        bounds=(0.1, 10),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found.parameters["temperature"] == pytest.approx(best.x, rel=1e-6)
    assert found.rows == (weight > 0).sum()


def test_isotonic_is_scikit_learns_but_at_its_ends(rows, weight):
    label, p = rows
    p = p.astype(np.float64)

    for each in (None, weight):
        calibration = deepfm_tf.calibration.fit_calibration(
            label, p, "isotonic", each
        )

        kept = slice(None) if each is None else each > 0
        reference = sklearn.isotonic.IsotonicRegression(out_of_bounds="clip")
        reference.fit(
            p[kept], label[kept], None if each is None else each[kept]
        )
        anywhere = np.append(p, np.linspace(0, 1, 500))
        expected = reference.predict(anywhere)
        low, high = calibration(np.array([0.0, 1.0]))
        np.testing.assert_allclose(
            calibration(anywhere), np.clip(expected, low, high), atol=1e-6
        )
        assert expected.min() == 0 and expected.max() == 1
        assert 0 < low and high < 1


@pytest.mark.filterwarnings("ignore:An isotonic calibration needs")
def test_ends_of_isotonic_say_what_their_rows_support():
    # 40 rows without a click, a mixed stretch, 20 rows of clicks.
    p = np.linspace(0.01, 0.99, 160).astype(np.float32)
    label = np.tile([1, 0], 80)
    label[:40], label[140:] = 0, 1

    calibration = deepfm_tf.calibration.fit_calibration(label, p, "isotonic")

    # The first row of the mixed stretch is a click, the last is none.
    low, high = calibration(np.array([0.0, 1.0]))
    assert low == pytest.approx(1 / 42)
    assert high == pytest.approx(1 - 1 / 22)


@pytest.mark.filterwarnings("ignore:An isotonic calibration needs")
def test_an_end_of_few_rows_goes_no_further_than_its_neighbour():
    # One row without a click says less than the 99 next to it.
    p = np.linspace(0.01, 0.99, 400).astype(np.float32)
    label = np.zeros(400, int)
    label[[1, 101, 201, *range(301, 400, 2)]] = 1

    calibration = deepfm_tf.calibration.fit_calibration(label, p, "isotonic")

    assert calibration.parameters["calibrated"][0] == pytest.approx(0.01)


@EVERY_METHOD
def test_a_model_that_is_too_sure_is_mended(method):
    # A temperature can mend the slope only.
    intercept = 0.0 if method == "temperature" else 1.0
    label, p, _ = make_rows(20_000, 3, intercept=intercept)
    fresh, q, truth = make_rows(20_000, 4, intercept=intercept)

    calibration = deepfm_tf.calibration.fit_calibration(label, p, method)

    before, after, best = (
        deepfm_tf.metrics.binary_metrics(fresh, each)
        for each in (q, calibration(q), 1 / (1 + np.exp(-truth)))
    )
    assert before["expected_calibration_error"] > 0.04
    # Chance alone leaves about .011 in 20 bins of 1,000 rows.
    assert after["expected_calibration_error"] < 0.015
    assert after["log_loss"] < best["log_loss"] + 0.002
    assert after["calibration_ratio"] == pytest.approx(1, abs=0.04)
    assert after["auc"] == pytest.approx(before["auc"], abs=5e-4)
    if method != "isotonic":
        assert after["auc"] == before["auc"]


def test_it_remembers_what_it_did_to_its_own_rows(rows):
    label, p = rows

    calibration = deepfm_tf.calibration.fit_calibration(label, p, "platt")

    assert calibration.rows == 4000
    assert calibration.before == deepfm_tf.metrics.binary_metrics(label, p)
    # The condition of the least log loss for the intercept.
    assert calibration.after["calibration_ratio"] == pytest.approx(1)
    assert calibration.after["log_loss"] < calibration.before["log_loss"]


@EVERY_METHOD
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, p: (0 * y, p), "at least 10 rows with.*: 0 and 4000"),
        (lambda y, p: (y[:20], p[:20]), "10 without"),
        (lambda y, p: (y, np.where(p > 0.5, np.nan, p)), "is NaN in"),
        (lambda y, p: (y, 2 * p), "must lie between 0 and 1"),
        (lambda y, p: (y, np.where(y, 0.6, 0.4)), "a calibration would mak"),
        (
            lambda y, p: (1 - y, p),
            "Rows with higher probabilities must have more",
        ),
        (lambda y, p: (y, p[:-1]), "must have one length"),
    ],
)
def test_what_cannot_be_calibrated_is_said(method, change, message, rows):
    label, p = rows

    with pytest.raises(ValueError, match=message):
        deepfm_tf.calibration.fit_calibration(
            *change(label.astype(int), p), method
        )


@EVERY_METHOD
def test_equal_probabilities_tell_nothing(method):
    label = np.tile([0, 1], 50)

    with pytest.raises(ValueError, match="must differ.*0.3 in each of 100 ro"):
        deepfm_tf.calibration.fit_calibration(label, np.full(100, 0.3), method)


@pytest.mark.parametrize(
    ("num_rows", "positives", "few"),
    [(999, 400, True), (1000, 100, False), (1000, 99, True), (1000, 901, True)],
)
def test_isotonic_on_few_rows_is_warned_of(num_rows, positives, few):
    random = np.random.default_rng(5)
    label = random.permutation(num_rows) < positives
    p = random.uniform(0.1, 0.6, num_rows) + 0.3 * label

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        deepfm_tf.calibration.fit_calibration(label, p, "isotonic")

    (message,) = [str(w.message) for w in caught] or [""]
    rarer = min(positives, num_rows - positives)
    received = f"Received: {num_rows:,} rows, {rarer} of the rarer class."
    assert (received in message) == few == bool(message)


def test_an_unknown_method_is_refused(rows):
    with pytest.raises(ValueError, match="one of temperature, platt, isoton"):
        deepfm_tf.calibration.fit_calibration(*rows, "sigmoid")


def test_without_scikit_learn_the_extra_is_named(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)

    with pytest.raises(ImportError, match="pip install scikit-lea"):
        deepfm_tf.calibration.fit_calibration(*rows)
