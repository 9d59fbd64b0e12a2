"""From runs to the table, the findings and the verdict."""

import argparse

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.experiment.conclusions.conclusions import Predicted, conclude
from deepfm_tf.presets import Preset

PRESET = Preset(model="FM", learning_rate=0.01, batch_size=100)
SETTINGS = {
    "origin": None,
    "preset_for": lambda model, train, preset: PRESET,
    "embedding_l2": None,
    "optimizer": "lazy_adam",
    "evaluate_every": None,
    "epochs": 4,
    "monitor": "log_loss",
    "test": ["more.csv"],
}


class Part:
    """Stands for prepared data."""

    groups = None
    negative_sampling = 1.0
    schema = argparse.Namespace(example_weight=None, fields=())
    shares = ()

    def __init__(self, num_rows, num_positives):
        self.num_rows, self.num_positives = num_rows, num_positives


def make_run(model, log_loss, *values):
    """A run that came to a test log loss by these validation ones."""
    return {
        "model": model,
        "preset": "default",
        "parameters": 10,
        "seconds": 1.0,
        "epochs": len(values),
        "best_epoch": 1.0,
        "test": {"auc": 0.9, "log_loss": log_loss, "mean_label": 0.5},
        "history": {"val_log_loss": list(values)},
    }


def conclusions(runs, predictions, label, **settings):
    """Of runs with seed 1, where the training data are half positive."""
    data = {
        "train": Part(1000, 500),
        "valid": Part(100, 50),
        "test": Part(len(label), int(label.sum())),
    }
    rows = {(model, 1): p for model, p in predictions.items()}
    settings = SETTINGS | {"model": tuple(predictions)} | settings
    return conclude(
        argparse.Namespace(**settings),
        *(data, runs, runs[-1]["model"], Predicted(label, rows)),
    )


def test_what_is_well_has_no_finding():
    label = np.tile([0.0, 1.0], 100)
    good, better = np.where(label > 0, 0.6, 0.4), np.where(label > 0, 0.8, 0.2)
    runs = [
        make_run("logistic_regression", -np.log(0.6), 0.6, 0.5, 0.51, 0.52),
        make_run("fm", -np.log(0.8), 0.6, 0.3, 0.31, 0.32),
    ]

    found = conclusions(
        runs, {"logistic_regression": good, "fm": better}, label
    )

    assert found["findings"] == []
    *_, constant = found["summary"]
    assert constant["model"] == "constant"
    assert constant["log_loss"]["mean"] == pytest.approx(np.log(2))
    assert constant["normalized_entropy"]["mean"] == pytest.approx(1)
    # 1 - ln 0.8 / ln 0.5
    assert found["verdict"].startswith("fm, the best of 2 models")
    assert "on the test data is 67.8% lower. This can be" in found["verdict"]


def test_a_further_day_may_be_learnt_from_once():
    label = np.tile([0.0, 1.0], 100)
    rows = {"fm": np.where(label > 0, 0.8, 0.2)}
    runs = [make_run("fm", -np.log(0.8), 0.3)]

    first = conclusions(runs, rows, label, epochs=1)
    further = conclusions(runs, rows, label, epochs=1, origin="runs/a/fm")

    assert any("evaluated once" in each for each in first["findings"])
    assert not any("evaluated once" in each for each in further["findings"])


def test_a_mean_that_later_epochs_are_in_does_not_overfit():
    label = np.tile([0.0, 1.0], 100)
    rows = {"fm": np.where(label > 0, 0.8, 0.2)}
    run = make_run("fm", -np.log(0.8), 0.3, 0.31, 0.32)

    (best,) = conclusions([run], rows, label)["findings"]
    (mean,) = conclusions([run | {"averaged": 3}], rows, label)["findings"]

    assert best.startswith("fm overfits after its first epoch")
    assert mean.startswith("fm uses the mean of the weights of 3 evaluations")


def test_nothing_learnt_is_said():
    random = np.random.default_rng(1)
    label = np.tile([0.0, 1.0], 40)
    first, second = random.uniform(0.2, 0.8, (2, 80))
    runs = [
        make_run("fm", 0.75, 0.7, 0.72, 0.8),
        make_run("deepfm", 0.76, 0.8, 0.75, 0.7, 0.69),
    ]

    found = conclusions(runs, {"fm": first, "deepfm": second}, label)

    told = "\n".join(found["findings"])
    assert [text.split(" (")[0] for text in found["findings"][-3:]] == [
        "fm overfits after its first epoch",
        "deepfm is still improving at the last epoch allowed, 4",
        "deepfm is not significantly better than fm",
    ]
    assert "fm is not better than a constant: its test log loss of 0.75" in told
    # It improves as it is: to hold it back would be wrong.
    assert "Do not use it; try --epochs 10, more rows" in told
    assert "only 40 negatives among 80 rows: deepfm's AUC of" in told
    assert "Give more test rows: --test with a larger file." in told
    assert "no better than the average rate" in found["verdict"]
    assert len(found["findings"]) == 6


def test_within_an_epoch_the_evaluations_count():
    label = np.tile([0.0, 1.0], 100)
    good = np.where(label > 0, 0.6, 0.4)
    # 10 steps an epoch: the second of two evaluations ends the first.
    run = make_run("fm", -np.log(0.6), 0.6, 0.5, 0.55)

    (text,) = conclusions([run], {"fm": good}, label, evaluate_every=5)[
        "findings"
    ]

    assert text.startswith("fm overfits after its first epoch")


def test_what_one_seed_of_three_shows_is_not_said():
    label = np.tile([0.0, 1.0], 100)
    good = np.where(label > 0, 0.6, 0.4)
    usual = make_run("fm", -np.log(0.6), 0.6, 0.5, 0.51)
    other = make_run("fm", -np.log(0.6), 0.5, 0.6, 0.7)

    one = conclusions([usual, other, usual], {"fm": good}, label)
    two = conclusions([usual, other, other], {"fm": good}, label)

    assert one["findings"] == []
    assert len(two["findings"]) == 1


@pytest.mark.parametrize(
    ("encodings", "rows", "is_told"),
    [((), 100, True), ((), 99, False), (("count",), 100, False)],
)
def test_unseen_values_suggest_encodings(encodings, rows, is_told, monkeypatch):
    label = np.tile([0.0, 1.0], 100)
    fields = (
        deepfm_tf.CategoricalField("user", encodings=encodings),
        deepfm_tf.NumericField("price"),
    )
    shares = [
        deepfm_tf.drift.FieldShares(name, rows, 0.0, 0.0, 0.5, 0.0, 0.5)
        for name in ("user", "price")
    ]
    monkeypatch.setattr(Part.schema, "fields", fields)
    monkeypatch.setattr(Part, "shares", shares)

    found = conclusions(
        [make_run("fm", -np.log(0.8), 0.6, 0.3, 0.31)],
        {"fm": np.where(label > 0, 0.8, 0.2)},
        label,
    )

    told = [text for text in found["findings"] if "--encodings" in text]
    assert len(told) == is_told
    assert not is_told or "(user 50%)" in told[0]
