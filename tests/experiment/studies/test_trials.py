"""Runs that are watched."""

import json

import numpy as np

import deepfm_tf
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.options.structures import Structure
from deepfm_tf.experiment.run import begin
from deepfm_tf.experiment.studies.trials import Trials, WatchedCurve
from pipelines import tabular
from tests.conftest import make_log


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


def test_the_best_is_tested_as_it_was_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_log(400)[["site", "clicked"]].to_csv("clicks.csv", index=False)
    found = []
    (tmp_path / "runs/tabular/results").mkdir(parents=True)

    def run_with(settings):
        trials = Trials(settings, *reversed(begin(settings)), 4)
        good, bad = (
            Structure(1, 4, "constant", "relu", 0.0, k) for k in (8, 4)
        )
        for structure in (good, bad):
            trials.run("trial", structure, 1)
        best = Structure(**trials.finished[trials.best]["structure"])
        models = {p.parents[1].name for p in tmp_path.rglob("epoch-*")}
        found.extend([trials.finished[best.name], models])
        found.append(trials.run("best", best, 1, is_tested=True))
        found.append(trials.path(best, 1, True).with_suffix(".npy"))
        other_seed = json.loads(trials.path(best, 1, False).read_text())
        other_seed["seed"] = 2
        trials.path(best, 2, False).write_text(json.dumps(other_seed))
        trials.run("another seed", best, 2)

    words = ["--train", "clicks.csv", "--label", "clicked", "--epochs", "2"]
    words += ["--batch-size", "512", "--model", "fm", "--patience", "9"]
    assert main(tabular.RECIPE, words, run_with) == 0

    trial, models, tested, predictions = found
    # Only runs of the one seed compete.
    *competing, other = capsys.readouterr().out.split("/4] ")[1:]
    assert all("; best so far 0." in text for text in competing)
    assert other.startswith("another seed") and "best so far" not in other
    # One of the two models was kept for it, and none after it.
    assert len(models) == 1
    assert not list(tmp_path.rglob("epoch-*"))
    assert not (tmp_path / "runs/tabular/tested").exists()
    for key in ("value", "seconds", "epochs", "curve"):
        assert tested[key] == trial[key]
    assert tested["history"]["val_log_loss"] == trial["history"]["val_log_loss"]
    label = np.load(predictions.parent / "label.npy")
    metrics = deepfm_tf.metrics.binary_metrics(label, np.load(predictions))
    np.testing.assert_allclose(metrics["log_loss"], tested["test"]["log_loss"])
