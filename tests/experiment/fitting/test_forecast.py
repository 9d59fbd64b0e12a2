"""What trials will take, from what their epochs took."""

import itertools

from deepfm_tf.experiment.fitting.forecast import Forecast


def forecast_of(ends, *moments):
    return Forecast(ends, itertools.chain(moments).__next__)


def test_a_short_first_epoch_tells_nothing():
    forecast = forecast_of([6, 30], 0, 5, 6)
    forecast.begin("a")
    forecast.end_epoch()
    assert forecast.seconds(0, ["a", "b"]) is None

    forecast.end_epoch()

    # An epoch of a second, and 4 s once: twice 4 + 6 x 1, then 4 + 4 x 1.
    assert forecast.seconds(0, ["a", "b"]) == 28


def test_a_trial_that_was_measured_has_its_own_rate():
    forecast = forecast_of([6, 30], 0, 1, 2, 10, 13, 16)
    for trial in "ab":
        forecast.begin(trial)
        forecast.end_epoch()
        forecast.end_epoch()

    # 1 and 3 s an epoch, and nothing besides; later ones take the mean.
    assert forecast.seconds(0, ["a"]) == 6 * 1 + 4 * 2
    assert forecast.seconds(0, ["a", "c"]) == 6 * 1 + 6 * 2 + 4 * 2


def test_after_the_usual_epochs_nothing_is_foretold():
    forecast = forecast_of([6, 12, 30], 0, 1, 2)
    forecast.begin("a")
    forecast.end_epoch()
    forecast.end_epoch()

    assert forecast.seconds(1, ["a"]) == 4
    assert forecast.seconds(2, ["a"]) is None
