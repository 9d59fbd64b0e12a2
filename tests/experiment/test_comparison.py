"""What runs say when set side by side."""

import pytest

from deepfm_tf.experiment.compare import add_steps_to_reach, lead


def make_run(model, seed, losses, aucs=None):
    points = zip(losses, aucs or losses, strict=True)
    return {
        "model": model,
        "seed": seed,
        "curve": [
            {"step": 10 * n, "log_loss": loss, "auc": auc}
            for n, (loss, auc) in enumerate(points, 1)
        ],
    }


def test_steps_to_reach_fm_are_counted_seed_by_seed():
    runs = [
        make_run("fm", 1, [0.5, 0.4, 0.45]),
        make_run("fm", 2, [0.5, 0.45, 0.3]),
        make_run("deepfm", 1, [0.4, 0.2, 0.2]),
        make_run("deepfm", 2, [0.4, 0.35, 0.31]),
    ]

    reach = add_steps_to_reach(runs, "log_loss")

    assert [run["steps_to_reach"] for run in runs] == [20, 30, 10, None]
    assert reach == {
        "metric": "log_loss",
        "name": "fm's best",
        "value": pytest.approx(0.35),
    }


def test_a_higher_auc_is_nearer_to_the_mark():
    runs = [
        make_run("fm", 1, [1, 1], [0.7, 0.6]),
        make_run("deepfm", 1, [1, 1], [0.69, 0.71]),
    ]

    add_steps_to_reach(runs, "auc")

    assert [run["steps_to_reach"] for run in runs] == [10, 20]


def test_without_fm_there_is_no_mark():
    runs = [make_run("deepfm", 1, [0.4])]

    assert add_steps_to_reach(runs, "log_loss") is None
    assert "steps_to_reach" not in runs[0]


def make_report(reached):
    runs = {"mean": 20.0 if reached else None, "std": None, "reached": reached}
    fm = {"mean": 1000.0, "std": None, "reached": 2}
    return {
        "comparisons": [
            {"model": "deepfm", "metric": "auc", "text": "better by 0.1"},
            {"model": "deepfm", "metric": "log_loss", "text": "worse by 0.2"},
        ],
        "summary": [
            {"model": "fm", "steps_to_reach": fm, "seeds": 2},
            {"model": "deepfm", "steps_to_reach": runs, "seeds": 2},
        ],
        "reach": {"metric": "auc", "name": "fm's best", "value": 0.7},
    }


@pytest.mark.parametrize(
    ("reached", "ending"),
    [
        (2, "takes deepfm 20 training steps, fm 1,000."),
        (1, "deepfm 20 training steps, fm 1,000 (reached in 1 of 2 runs)."),
        (0, "deepfm does not reach fm's best validation AUC."),
    ],
)
def test_the_sentence_says_what_came_out(reached, ending):
    text = lead(make_report(reached), "deepfm", "nfm")

    assert text.startswith(
        "deepfm against nfm, the best other model on the validation data: "
        "AUC better by 0.1; log loss worse by 0.2."
    )
    assert text.endswith(ending)
