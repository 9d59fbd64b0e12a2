"""The best of several presets, from Python."""

import types

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.experiment import train_best


def test_train_best_returns_the_model_with_its_best_weights(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=400)})
    frame["y"] = (frame.x + random.normal(size=400) > 0).astype(int)
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), label="y")
    train = deepfm_tf.prepare(frame[:300], tmp_path / "train", schema=schema)
    valid = deepfm_tf.prepare(
        frame[300:], tmp_path / "valid", vocabulary=train.vocabulary
    )
    model, trials = train_best(
        *(train, valid, tmp_path / "run", "LogisticRegression"),
        presets=("default", "seed"),
        epochs=2,
    )
    assert [t.preset for t in trials] == ["default", "seed"]
    reached = deepfm_tf.evaluate(model, valid.dataset(50))["log_loss"]
    assert reached == pytest.approx(trials[0].value, abs=1e-6)
    assert trials[0].value < trials[1].value


@pytest.mark.parametrize(
    ("model", "presets", "message"),
    [
        ("deepfm", ("seed",), "Did you mean 'DeepFM'?"),
        ("DeepFM", ("sede",), "Did you mean 'seed'?"),
        ("DeepFM", (), "`presets` must name one at least"),
    ],
)
def test_what_there_is_not_is_refused_before_any_training(
    tmp_path, model, presets, message
):
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), label="y")
    data = types.SimpleNamespace(schema=schema, num_rows=300, num_positives=9)

    with pytest.raises(deepfm_tf.UserError) as error:
        train_best(data, data, tmp_path, model, presets=presets)

    assert message in str(error.value)
    assert not any(tmp_path.iterdir())
