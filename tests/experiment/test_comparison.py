"""What runs say when set side by side."""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.experiment.comparison import (
    add_steps_to_reach,
    compare_with,
    lead,
    ranking,
)


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


def test_the_ranking_is_by_the_mean_of_the_best():
    runs = [
        make_run("a", 1, [0.5, 0.3], [0.6, 0.7]),
        make_run("a", 2, [0.5, 0.5], [0.6, 0.9]),
        make_run("b", 1, [0.41, 0.6], [0.75, 0.6]),
        make_run("b", 2, [0.37, 0.6], [0.75, 0.6]),
    ]

    assert ranking(runs, "log_loss") == ["b", "a"]  # .39 and .40
    assert ranking(runs, "auc") == ["a", "b"]  # .80 and .75


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


@pytest.fixture(scope="module")
def scored():
    """Labels, and probabilities of a good and a bad model, two seeds."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, 400).astype(float)
    noise = random.normal(0, 1, (4, 400))
    logit = [
        scale * (label - 0.5) + noise[n]
        for n, scale in enumerate((4, 2, 1, 1.2))
    ]
    probability = 1 / (1 + np.exp(-np.array(logit)))
    names = [("good", 1), ("good", 2), ("bad", 1), ("bad", 2)]
    return label, dict(zip(names, probability, strict=True))


def test_the_mean_difference_has_an_interval_of_rows_and_seeds(scored):
    label, probabilities = scored
    each = [
        deepfm_tf.metrics.compare_models(
            label, probabilities["good", seed], probabilities["bad", seed]
        )["auc"]
        for seed in (1, 2)
    ]

    area, loss = compare_with("bad", ["good"], [1, 2], label, probabilities)

    differences = [part.improvement for part in each]
    rows = np.sqrt(np.mean([part.margin**2 for part in each]))
    # Student's t of one degree of freedom, on a mean of two.
    seeds = 12.71 * np.std(differences, ddof=1) / np.sqrt(2)
    assert (area["metric"], loss["metric"]) == ("auc", "log_loss")
    assert area["improvement"] == pytest.approx(np.mean(differences))
    assert area["high"] - area["improvement"] == pytest.approx(
        np.hypot(rows, seeds)
    )
    assert area["std"] == pytest.approx(np.std(differences, ddof=1))
    assert (area["seeds"], area["seeds_better"]) == (2, 2)
    assert area["text"].startswith("better by 0.")


def test_of_one_seed_the_interval_is_that_of_its_rows(scored):
    label, probabilities = scored
    expected = deepfm_tf.metrics.compare_models(
        label, probabilities["good", 1], probabilities["bad", 1]
    )

    entries = compare_with("bad", ["good"], [1], label, probabilities)

    for entry in entries:
        part = expected[entry["metric"]]
        assert entry["improvement"] == pytest.approx(part.improvement)
        assert entry["high"] - entry["low"] == pytest.approx(2 * part.margin)
        assert entry["std"] is None


def test_test_rows_of_one_class_say_nothing(scored):
    label, probabilities = scored
    ones = {key: p[label == 1] for key, p in probabilities.items()}

    area, loss = compare_with(
        "bad", ["good"], [1, 2], np.ones(sum(label == 1)), ones
    )

    assert area["text"] == "undefined: the rows are all of one class"
    assert loss["text"].startswith("not to be told from fewer than 10 rows")
    assert loss["seeds_better"] == 2


def test_example_weights_count(scored):
    label, probabilities = scored
    weight = np.arange(len(label)) % 2.0  # every other row does not

    entries = compare_with("bad", ["good"], [1], label, probabilities, weight)

    kept = weight > 0
    expected = deepfm_tf.metrics.compare_models(
        label[kept],
        probabilities["good", 1][kept],
        probabilities["bad", 1][kept],
    )
    for entry in entries:
        for name in ("first", "second"):
            part = getattr(expected[entry["metric"]], name)
            assert entry[name] == pytest.approx(part)


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
