"""The function itself: in numpy, in the graph, as plain data."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

import deepfm_tf

CALIBRATIONS = {
    "temperature": {"temperature": 1.7},
    "platt": {"slope": 0.6, "intercept": -0.8},
    "isotonic": {
        "probability": [0.01, 0.2, 0.200001, 0.9],
        "calibrated": [0.005, 0.1, 0.3, 0.75],
    },
}
EVERY_METHOD = pytest.mark.parametrize("method", CALIBRATIONS)


def make(method):
    return deepfm_tf.calibration.Calibration(method, CALIBRATIONS[method])


def by_the_equation(method, z):
    """One probability from one logit, in plain Python."""
    parameters = CALIBRATIONS[method]
    if method == "temperature":
        return 1 / (1 + np.exp(-z / parameters["temperature"]))
    if method == "platt":
        line = parameters["slope"] * z + parameters["intercept"]
        return 1 / (1 + np.exp(-line))
    p = 1 / (1 + np.exp(-z))
    x, y = parameters["probability"], parameters["calibrated"]
    if p <= x[0]:
        return y[0]
    for n in range(1, len(x)):
        if p <= x[n]:
            share = (p - x[n - 1]) / (x[n] - x[n - 1])
            return y[n - 1] + share * (y[n] - y[n - 1])
    return y[-1]


@EVERY_METHOD
def test_numpy_and_the_graph_follow_the_equation(method):
    # The steep stretch of the isotonic one lies at logit -1.386.
    z = np.array([-9.0, -4.0, -1.5, -1.38, 0.0, 0.7, 5.0, 12.0])

    expected = [by_the_equation(method, value) for value in z]

    p = 1 / (1 + np.exp(-z))
    graph = make(method).from_logits(z.reshape(4, 2).astype(np.float32))
    np.testing.assert_allclose(make(method)(p), expected, atol=1e-12)
    assert graph.dtype == "float32" and graph.shape == (4, 2)
    np.testing.assert_allclose(graph.numpy().ravel(), expected, atol=1e-6)


@EVERY_METHOD
def test_certainty_is_brought_back_from_infinity(method):
    calibration = make(method)

    ends = calibration(np.array([0.0, 1.0]))

    graph = calibration.from_logits(np.array([-np.inf, np.inf], np.float32))
    assert 0 < ends[0] < 0.01 and 0.7 < ends[1] < 1
    np.testing.assert_allclose(graph, ends, atol=1e-6)


@EVERY_METHOD
@hypothesis.given(
    p=strategies.lists(strategies.floats(0, 1), min_size=2, max_size=20)
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_it_never_falls_and_stays_a_probability(method, p):
    calibrated = make(method)(np.sort(p))

    assert (np.diff(calibrated) >= 0).all()
    assert 0 <= calibrated[0] and calibrated[-1] <= 1


@EVERY_METHOD
def test_it_goes_through_json(method):
    calibration = make(method)

    text = json.dumps(calibration.to_dict())

    assert (
        deepfm_tf.calibration.Calibration.from_dict(json.loads(text))
        == calibration
    )


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("temperature", "logit / 1.7000"),
        ("platt", "logit x 0.6000 - 0.8000"),
        ("isotonic", "4 thresholds"),
    ],
)
def test_it_is_described_in_a_few_words(method, text):
    assert make(method).describe() == text


def test_no_rows_are_no_trouble():
    assert make("platt")(np.empty((0, 1))).shape == (0, 1)


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("sigmoid", {}, "one of temperature, platt, isotonic"),
        ("platt", {"slope": 1.0}, "must be slope, intercept. Received: slope"),
        ("temperature", {"temperature": 0.0}, "must be above 0"),
        ("platt", {"slope": -1.0, "intercept": 0.0}, "`slope` must be above"),
        ("platt", {"slope": 1.0, "intercept": np.nan}, "every parameter finit"),
        (
            "isotonic",
            {"probability": [0.1, 0.1], "calibrated": [0.1, 0.2]},
            "`probability` must increase",
        ),
        (
            "isotonic",
            {"probability": [0.1, 0.2], "calibrated": [0.2, 0.1]},
            "`calibrated` must not decrease",
        ),
        (
            "isotonic",
            {"probability": [0.1], "calibrated": [0.2]},
            "of the same length, at least 2",
        ),
    ],
)
def test_wrong_parameters_are_refused(method, parameters, message):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.calibration.Calibration(method, parameters)


def test_logits_are_no_probabilities():
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        make("platt")(np.array([0.5, 2.0]))


@pytest.mark.parametrize("method", deepfm_tf.calibration.calibration.METHODS)
def test_a_probability_that_is_none_is_refused(method):
    # And without a warning of numpy's before it.
    with pytest.raises(ValueError, match="Received: NaN, 1 of 2"):
        make(method)([0.5, np.nan])
