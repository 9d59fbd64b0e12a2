"""Runs that are watched."""

import numpy as np

import deepfm_tf
from pipelines.trials import WatchedCurve


def test_a_hopeless_run_is_called_off(tmp_path):
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), label="y")
    data = deepfm_tf.dataset_from_ids(
        {"values": [[1.0], [2.0], [3.0], [4.0]]}, [0, 1, 0, 1], schema, 2
    )
    model = deepfm_tf.LogisticRegression(schema)
    deepfm_tf.compile_model(model)
    told = []

    def is_hopeless(step, value):
        told.append((step, value))
        return np.bool_(step >= 6)  # as Optuna answers

    curve = WatchedCurve(
        data, 2, tmp_path / "curve.json", "log_loss", is_hopeless
    )
    callbacks = [*deepfm_tf.training_callbacks(data), curve]
    model.fit(data, epochs=9, shuffle=False, verbose=0, callbacks=callbacks)

    assert curve.stopped is True
    assert told == [(p["step"], p["log_loss"]) for p in curve.points]
    assert [step for step, _ in told] == [2, 4, 6]
