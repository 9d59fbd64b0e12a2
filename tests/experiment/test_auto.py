"""Presets side by side: the worse half is given up, the best is kept."""

import types
from pathlib import Path

import pytest

import deepfm_tf
from deepfm_tf.experiment import OWN_FILES, Settings, auto
from deepfm_tf.experiment.fitting.forecast import Forecast


def settings_for(run, **options):
    return Settings(
        recipe=OWN_FILES, train=["x.csv"], label="y", run=run, **options
    )


class Trainer:
    """Stands in for a training: the metric of each epoch is known.

    One that has fewer epochs than it is allowed was ended by patience.
    """

    def __init__(self, curves):
        self.curves = curves
        self.asked = []

    def __call__(self, settings, end_epoch):
        self.asked.append((settings.preset, settings.epochs))
        values = self.curves[settings.preset][: settings.epochs]
        for _ in values:
            end_epoch()
        return {
            "epochs": len(values),
            "ended": len(values) < settings.epochs,
            "history": {
                "val_log_loss": values,
                "val_auc": values,
                "train_seconds": [1.0] * len(values),
            },
        }


def test_the_worse_half_is_given_up_twice():
    curves = {
        "a": [0.5] * 30,
        "b": [0.4] * 11 + [0.39] * 19,
        "c": [0.45] * 11 + [0.30] * 19,
        "d": [0.6] * 29 + [0.1],  # would be best, at 30 times the cost
    }
    train = Trainer(curves)
    best, trials = auto.choose(
        *(settings_for(Path("r")), "deepfm", list(curves), train),
        say=lambda text: None,
    )
    assert train.asked == [
        *(("a", 6), ("b", 6), ("c", 6), ("d", 6)),
        *(("b", 12), ("c", 12)),
        ("c", 30),
    ]
    assert best.preset == "c"
    assert best.run == Path("r/auto/c")
    assert [t.preset for t in trials] == ["c", "b", "a", "d"]
    assert trials[0].value == 0.30
    assert trials[2].epochs == 6


def test_a_larger_auc_is_better():
    curves = {"low": [0.6] * 3, "high": [0.7] * 3}
    best, _ = auto.choose(
        settings_for(Path("r"), monitor="auc", epochs=3),
        *("deepfm", list(curves), Trainer(curves)),
        say=lambda text: None,
    )
    assert best.preset == "high"


def test_what_patience_ended_is_not_trained_again():
    curves = {"a": [0.4] * 5, "b": [0.5] * 30, "c": [0.6] * 30}
    train, told = Trainer(curves), []
    best, trials = auto.choose(
        *(settings_for(Path("r")), "deepfm", list(curves), train),
        say=told.append,
    )
    assert train.asked == [("a", 6), ("b", 6), ("c", 6), ("b", 12)]
    assert "deepfm, preset b (1 of 1), up to epoch 12" in told[-1]
    assert best.preset == "a"
    assert trials[0].epochs == 5


def test_the_time_is_told_within_the_first_preset(monkeypatch):
    curves = {"a": [0.5] * 30, "b": [0.4] * 30}
    now = iter(range(0, 10_000, 30))  # each epoch, and all before it, 30 s
    monkeypatch.setattr(
        auto, "Forecast", lambda ends: Forecast(ends, now.__next__)
    )
    told = []

    class Told(Trainer):
        def __call__(self, settings, end_epoch):
            told.append("trains")
            end_epoch()
            told.append("one epoch")
            end_epoch()
            return super().__call__(settings, lambda: None)

    auto.choose(
        *(settings_for(Path("r")), "fm", list(curves), Told(curves)),
        say=told.append,
    )
    # 2 x 6 epochs of half a minute, then 4 of the one that is left.
    assert told[1:5] == [
        "trains",
        "The 2 presets will take at most about 8 min in all.",
        "one epoch",
        "The 2 presets will take about 8 min in all.",
    ]
    assert [t.rpartition(", ")[2] for t in told if "up to epoch" in t] == [
        "up to epoch 6",
        "about 5 min left",
        "about 2 min left",
        "up to epoch 30",
    ]


@pytest.mark.parametrize(
    ("model", "rows", "presets", "told"),
    [
        (
            *("deepfm", 3_999, ["gentle", "strong"]),
            "deepfm: the preset default is gentle here, because there are only "
            "3,999 training rows (below 4,000).",
        ),
        ("deepfm", 4_000, ["default", "gentle", "strong"], None),
        (
            *("fm", 3_999, ["default"]),
            "fm: the presets default, gentle, strong do not differ here. "
            "Only default is trained.",
        ),
    ],
)
def test_presets_that_are_one_are_told(model, rows, presets, told):
    field = deepfm_tf.CategoricalField("site", vocabulary_size=9)
    train = types.SimpleNamespace(
        schema=deepfm_tf.Schema((field,), "y"),
        num_rows=rows,
        num_positives=rows // 2,
    )
    settings, said = settings_for(Path("r")), []

    found = auto.candidates(settings, model, train, said.append)

    assert found == presets
    assert [text.strip() for text in said] == ([told] if told else [])
