"""Permutation importance, against loops, and what it must not mix up."""

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

import deepfm_tf
from deepfm_tf.explain.importance import Drops
from tests.explain.small import (
    FIELDS,
    logits,
    shared_model,
    small_model,
    small_rows,
)


def data(model, num_rows=200, batch=64, weight=None):
    """Rows whose labels the model predicts well but not perfectly."""
    packed = small_rows(num_rows)
    scores = logits(model, packed)
    noise = np.random.default_rng(1).logistic(0, 1, num_rows)
    label = (scores + noise > np.median(scores)).astype("float32")
    parts = (packed, label[:, None], *([] if weight is None else [weight]))
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    return packed, label, dataset.batch(batch)


# Some rows count for nothing, some for many.
WEIGHT = np.random.default_rng(3).choice([0.0, 0.5, 1.0, 7.0], 200)


# Field -> the packed columns that belong to it.
COLUMNS = {
    "a": {"ids": [0]},
    "t": {"ids": [1, 2, 3], "weights": [0, 1, 2]},
    "u": {"ids": [4, 5]},
    "x": {"values": [0]},
    "z": {"values": [1]},
}


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_drops_are_those_of_rows_dealt_out_anew(weight):
    model = shared_model("DeepFM")
    packed, label, dataset = data(model, weight=weight)

    result = deepfm_tf.explain.permutation_importance(
        model, dataset, repeats=2, seed=5, batch_size=77
    )

    def metrics(rows):
        p = np.array(model(rows, training=False)["probability"], "float64")
        return [
            metric(label, p[:, 0], sample_weight=weight)
            for metric in (
                sklearn.metrics.roc_auc_score,
                sklearn.metrics.log_loss,
            )
        ]

    base = metrics(packed)
    assert (result.auc, result.log_loss) == pytest.approx(base, abs=1e-5)
    assert result.fields == FIELDS
    for number, name in enumerate(FIELDS):
        random = np.random.default_rng([5, number])
        found = []
        for _ in range(2):
            order = random.permutation(200)
            rows = {k: v.copy() for k, v in packed.items()}
            for key, columns in COLUMNS[name].items():
                for column in columns:
                    rows[key][:, column] = packed[key][order, column]
            found.append(metrics(rows))
        auc, log_loss = np.mean(found, axis=0)
        assert result.auc_drop[number] == pytest.approx(base[0] - auc, abs=1e-5)
        assert result.log_loss_rise[number] == pytest.approx(
            log_loss - base[1], abs=1e-5
        )


def test_the_interval_is_as_wide_as_the_drops_scatter():
    # 300 draws of rows: the margin is 1.96 standard deviations of the mean.
    random = np.random.default_rng(0)
    means, margins = [], []
    for _ in range(300):
        drops = Drops(np.arange(60) < 20)
        wins = random.normal(0.1, 1.0, 60)
        parts = np.concatenate(
            [(w - w.mean()) / len(w) for w in np.split(wins, [20])]
        )
        drops.add(wins[:20].mean(), parts)
        mean, margin = drops.result()
        means.append(mean)
        margins.append(margin)

    # The mean over the first group alone scatters by 1 / sqrt(20), and the
    # variance of DeLong's sum by 1 / 20 + 1 / 40.
    assert np.std(means) == pytest.approx(20**-0.5, rel=0.15)
    assert np.mean(margins) == pytest.approx(1.96 * 0.075**0.5, rel=0.05)


def test_the_margins_of_weighted_drops_are_as_wide_as_drops_scatter():
    # 300 draws of rows with their weights, and what a loop makes of each.
    random = np.random.default_rng(0)
    means, margins = [], []
    for _ in range(300):
        weight = random.choice([0.0, 1.0, 5.0], 60)
        rises = random.normal(0.1, 1.0, 60) + 0.3 * weight
        mean = sum(w * r for w, r in zip(weight, rises, strict=True))
        mean /= sum(weight)
        drops = Drops(np.ones(60), weight, np.arange(60))
        drops.add(mean, weight / weight.sum() * (rises - mean))
        means.append(drops.result()[0])
        margins.append(drops.result()[1])

    assert np.mean(margins) == pytest.approx(1.96 * np.std(means), rel=0.1)


def test_rows_of_weight_one_are_rows_without_weights():
    model = shared_model("FM")
    plain, weighted = (
        deepfm_tf.explain.permutation_importance(
            model, data(model, weight=weight)[2], repeats=2
        )
        for weight in (None, np.ones(200))
    )

    for name in ("auc_drop", "auc_margin", "log_loss_rise", "log_loss_margin"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(plain, name), atol=1e-12
        )


def test_weights_of_nothing_are_refused():
    model = shared_model("FM")

    with pytest.raises(ValueError, match="`weight` must be above 0 for some"):
        deepfm_tf.explain.permutation_importance(
            model, data(model, weight=np.zeros(200))[2]
        )


def test_the_table_is_sorted_by_its_first_column():
    model = shared_model("FM")
    table = deepfm_tf.explain.permutation_importance(
        model, data(model)[2]
    ).table(3)

    header, _, *lines = table.splitlines()
    assert header.split("  ")[0] == "field"
    assert header.split()[1:4] == ["log", "loss", "rise"]
    rises = [float(line.split()[1]) for line in lines]
    assert len(rises) == 3
    assert rises == sorted(rises, reverse=True)


def test_permutations_that_differ_widen_the_interval():
    same, apart = Drops(np.ones(4)), Drops(np.ones(4))
    for shift in (-1.0, 1.0):
        same.add(0.0, np.zeros(4))
        apart.add(shift, np.zeros(4))

    assert same.result() == (0.0, 0.0)
    # Two means with a sample variance of 2.
    assert apart.result() == pytest.approx((0.0, 1.96))


def test_the_seed_decides_and_the_batch_size_does_not():
    model = shared_model("FM")
    _, _, dataset = data(model)

    def drops(**arguments):
        result = deepfm_tf.explain.permutation_importance(
            model, dataset, repeats=1, **arguments
        )
        return result.log_loss_rise

    first = drops(seed=1)
    np.testing.assert_allclose(first, drops(seed=1, batch_size=9), atol=1e-6)
    assert (first != drops(seed=2)).all()


def test_a_field_the_model_ignores_has_no_importance():
    model = small_model("LogisticRegression")
    table = np.array(model.linear_term.first_order.embeddings)
    table[:3] = 0.0  # the rows of field a
    model.linear_term.first_order.embeddings.assign(table)
    _, _, dataset = data(model)

    result = deepfm_tf.explain.permutation_importance(model, dataset)

    assert (result.auc_drop[0], result.auc_margin[0]) == (0.0, 0.0)
    assert (result.log_loss_rise[0], result.log_loss_margin[0]) == (0.0, 0.0)
    assert result.ranking()[-1]["field"] == "a"
    assert len(result.table().splitlines()) == 7


def test_of_one_class_only_the_log_loss_says_something():
    model = shared_model("FM")
    packed = small_rows(20)
    dataset = tf.data.Dataset.from_tensors((packed, np.ones((20, 1))))

    result = deepfm_tf.explain.permutation_importance(model, dataset)

    assert np.isnan([result.auc, *result.auc_drop, *result.auc_margin]).all()
    assert np.isfinite(result.log_loss_rise).all()


@pytest.mark.parametrize("name", ["repeats", "batch_size"])
def test_counts_must_be_positive(name):
    model = shared_model("FM")

    with pytest.raises(ValueError, match=f"`{name}` must be.*{name}=0"):
        deepfm_tf.explain.permutation_importance(
            model, data(model)[2], **{name: 0}
        )


def test_no_rows_are_refused():
    model = shared_model("FM")

    with pytest.raises(ValueError, match="to permute has no rows"):
        deepfm_tf.explain.permutation_importance(model, data(model)[2].take(0))
