"""What runs of several seeds say."""

import math
import statistics

import numpy as np
import pytest

from deepfm_tf.metrics import (
    best_value,
    compare_models,
    compare_over_seeds,
    is_better,
    margin_of_one_more,
    mean_and_std,
    rank_models,
)


def make_run(model, losses, aucs):
    points = zip(losses, aucs, strict=True)
    curve = [{"log_loss": loss, "auc": auc} for loss, auc in points]
    return {"model": model, "curve": curve}


def test_the_ranking_is_by_the_mean_of_the_best():
    runs = [
        make_run("a", [0.5, 0.3], [0.6, 0.7]),
        make_run("a", [0.5, 0.5], [0.6, 0.9]),
        make_run("b", [0.41, 0.6], [0.75, 0.6]),
        make_run("b", [0.37, 0.6], [0.75, 0.6]),
    ]

    assert rank_models(runs, "log_loss") == ["b", "a"]  # .39 and .40
    assert rank_models(runs, "auc") == ["a", "b"]  # .80 and .75


def test_without_a_point_there_is_no_best():
    assert math.isnan(best_value([{"auc": None}], "auc"))


def test_the_margin_is_that_of_one_more_run():
    seeds = [0.80, 0.81, 0.82]

    # 4.30: Student's t, 97.5 %, two degrees of freedom.
    expected = 4.30 * statistics.stdev(seeds) * math.sqrt(1 + 1 / 3)
    assert margin_of_one_more(seeds) == pytest.approx(expected)


def test_what_is_undefined_is_not_in_the_mean():
    assert mean_and_std([1.0, None, math.nan, 3.0]) == {
        "mean": 2.0,
        "std": pytest.approx(math.sqrt(2)),
    }
    assert mean_and_std([None]) == {"mean": None, "std": None}


def test_better_is_what_is_beyond_chance(scored):
    label, probabilities = scored
    found = compare_over_seeds("bad", ["good"], [1], label, probabilities)
    back = compare_over_seeds("good", ["bad"], [1], label, probabilities)

    assert is_better(found, "good", "auc")
    assert not is_better(back, "bad", "auc")


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
        compare_models(
            label, probabilities["good", seed], probabilities["bad", seed]
        )["auc"]
        for seed in (1, 2)
    ]

    area, loss = compare_over_seeds(
        "bad", ["good"], [1, 2], label, probabilities
    )

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
    expected = compare_models(
        label, probabilities["good", 1], probabilities["bad", 1]
    )

    entries = compare_over_seeds("bad", ["good"], [1], label, probabilities)

    for entry in entries:
        part = expected[entry["metric"]]
        assert entry["improvement"] == pytest.approx(part.improvement)
        assert entry["high"] - entry["low"] == pytest.approx(2 * part.margin)
        assert entry["std"] is None


def test_test_rows_of_one_class_say_nothing(scored):
    label, probabilities = scored
    ones = {key: p[label == 1] for key, p in probabilities.items()}

    area, loss = compare_over_seeds(
        "bad", ["good"], [1, 2], np.ones(sum(label == 1)), ones
    )

    assert area["text"] == "undefined: the rows are all of one class"
    assert loss["text"].startswith("undefined: fewer than 10 rows")
    assert loss["seeds_better"] == 2


def test_example_weights_count(scored):
    label, probabilities = scored
    weight = np.arange(len(label)) % 2.0  # every other row does not

    entries = compare_over_seeds(
        "bad", ["good"], [1], label, probabilities, weight
    )

    kept = weight > 0
    expected = compare_models(
        label[kept],
        probabilities["good", 1][kept],
        probabilities["bad", 1][kept],
    )
    for entry in entries:
        for name in ("first", "second"):
            part = getattr(expected[entry["metric"]], name)
            assert entry[name] == pytest.approx(part)


def test_rows_of_a_group_are_taken_as_a_whole(scored):
    label, probabilities = scored
    twice = {key: np.tile(p, 2) for key, p in probabilities.items()}
    groups = np.tile(np.arange(len(label)), 2)

    once = compare_over_seeds("bad", ["good"], [1], label, probabilities)
    grouped = compare_over_seeds(
        "bad", ["good"], [1], np.tile(label, 2), twice, groups=groups
    )
    alone = compare_over_seeds("bad", ["good"], [1], np.tile(label, 2), twice)

    for expected, entry, narrow in zip(once, grouped, alone, strict=True):
        width = expected["high"] - expected["low"]
        # Bootstrap and small samples: the widths are within a tenth.
        assert entry["high"] - entry["low"] == pytest.approx(width, rel=0.1)
        assert narrow["high"] - narrow["low"] < 0.8 * width


def test_one_replicate_is_no_interval(scored):
    label, probabilities = scored

    _, loss = compare_over_seeds(
        "bad", ["good"], [1], label, probabilities, num_replicates=1
    )

    assert loss["high"] == loss["low"]
