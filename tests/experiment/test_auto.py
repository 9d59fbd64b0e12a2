"""Presets side by side: the worse half is given up, the best is kept."""

from pathlib import Path

from deepfm_tf.experiment import OWN_FILES, Settings, auto


def settings_for(run, **options):
    return Settings(
        recipe=OWN_FILES, train=["x.csv"], label="y", run=run, **options
    )


class Trainer:
    """Stands in for a training: the metric of each epoch is known."""

    def __init__(self, curves):
        self.curves = curves
        self.asked = []

    def __call__(self, settings):
        self.asked.append((settings.preset, settings.epochs))
        values = self.curves[settings.preset][: settings.epochs]
        return {
            "epochs": len(values),
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


def test_the_time_is_told_once_after_the_first_preset():
    curves = {"a": [0.5] * 30, "b": [0.4] * 30}
    told = []
    auto.choose(
        *(settings_for(Path("r")), "fm", list(curves), Trainer(curves)),
        say=told.append,
    )
    times = [number for number, t in enumerate(told) if "in all" in t]
    assert times == [1]
    # 2 x 6 epochs of a second, then 4 of the one that is left.
    assert told[1] == "The 2 presets will take about 16 s in all."
