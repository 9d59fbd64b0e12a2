"""Evaluation over a whole data set, and the table to compare by."""

import math
import warnings

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

import deepfm_tf
from deepfm_tf.evaluation import predict_with_labels
from tests.catalogue import build
from tests.conftest import make_log


# Batches have 300, 64 or 44 rows where their size is no matter: XLA compiles
# each size anew.
@pytest.fixture(scope="module")
def model(vocabulary):
    deepfm_tf.set_seed(2)
    model = build("DeepFM", vocabulary.schema, dropout=0.5)
    random = np.random.default_rng(1)
    # So small that not all probabilities are all but 0 and 1.
    model.set_weights([random.normal(0, 0.2, w.shape) for w in model.weights])
    return model


@pytest.mark.parametrize("batch_size", [1000, 64])
def test_metrics_are_those_of_all_rows_whatever_the_batch(
    batch_size, model, vocabulary
):
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, batch_size)

    metrics = deepfm_tf.evaluate(model, dataset)

    packed = deepfm_tf.encode(log, vocabulary)
    p = np.array(model(packed, training=False)["probability"], "float64")
    label = log["clicked"]
    assert metrics["rows"] == 300
    # Batches of another size round the last bits otherwise.
    assert metrics["auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(label, p), abs=1e-4
    )
    assert metrics["log_loss"] == pytest.approx(
        sklearn.metrics.log_loss(label, np.clip(p, 1e-7, 1 - 1e-7)), rel=1e-5
    )


def test_two_evaluations_of_a_dropout_model_agree(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(108), vocabulary, 64)

    first, second = (deepfm_tf.evaluate(model, dataset) for _ in range(2))

    assert first == second


def test_a_data_set_is_read_once_and_in_any_order(model, vocabulary):
    log = make_log(300, 6)
    ordered = deepfm_tf.dataset_from_memory(log, vocabulary, 64)
    shuffled = deepfm_tf.dataset_from_memory(
        log, vocabulary, 64, shuffle=True, seed=1
    )
    passes = []

    def batches():
        passes.append(1)
        yield from shuffled

    dataset = tf.data.Dataset.from_generator(
        batches, output_signature=shuffled.element_spec
    )

    metrics = deepfm_tf.evaluate(model, dataset)

    assert len(passes) == 1
    expected = deepfm_tf.evaluate(model, ordered)
    for name in ("auc", "log_loss", "rows"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("name", ["slice_by", "group_by"])
def test_columns_beside_the_data_set_need_its_order(name, model, vocabulary):
    log = make_log(300)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64, shuffle=True)
    column = np.arange(300) % 3
    beside = {"slice_by": {"third": column}, "group_by": column}

    with pytest.raises(ValueError, match="in the same order in each pass"):
        deepfm_tf.evaluate(model, dataset, **{name: beside[name]})
    with pytest.raises(ValueError, match="in the same order in each pass"):
        predict_with_labels(model, dataset)


def test_labels_and_probabilities_belong_together(model, vocabulary):
    log = make_log(108, 7)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)

    label, probability = predict_with_labels(model, dataset)

    packed = deepfm_tf.encode(log, vocabulary)
    np.testing.assert_array_equal(label, log["clicked"])
    np.testing.assert_allclose(
        probability, model(packed)["probability"][:, 0], atol=1e-5
    )


def test_weights_belong_to_their_rows(model, vocabulary):
    log = make_log(108, 7)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)
    weighted = dataset.map(lambda x, y: (x, y, 2.0 + y))

    rows = deepfm_tf.evaluation.predict_with_weights(model, weighted)
    plain = deepfm_tf.evaluation.predict_with_weights(model, dataset)

    np.testing.assert_array_equal(rows[2], 2.0 + log["clicked"])
    np.testing.assert_allclose(rows[:2], plain[:2], atol=1e-6)
    assert plain[2] is None


def test_one_class_has_a_log_loss_alone(model, vocabulary):
    log = make_log(44)
    log["clicked"] = 0
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary)

    metrics = deepfm_tf.evaluate(model, dataset)

    assert math.isnan(metrics["auc"])
    assert metrics["log_loss"] > 0


def test_a_diverged_model_is_said_to_be_one(vocabulary):
    model = build("FM", vocabulary.schema)
    model.linear_term.bias.assign(np.nan)
    dataset = deepfm_tf.dataset_from_memory(make_log(44), vocabulary)

    with pytest.raises(ValueError, match="NaN in 44 of 44 rows.*diverged"):
        deepfm_tf.evaluate(model, dataset)


def test_an_empty_data_set_is_refused(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(44), vocabulary).take(0)

    with pytest.raises(ValueError, match="has no rows"):
        deepfm_tf.evaluate(model, dataset)


def rows_of(model, log, vocabulary):
    packed = deepfm_tf.encode(log, vocabulary)
    p = np.array(model(packed, training=False)["probability"])[:, 0]
    return log["clicked"].to_numpy(), p


def test_slices_by_names_are_those_of_the_raw_values(model, vocabulary):
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)

    metrics = deepfm_tf.evaluate(
        model,
        dataset,
        slice_by=["site", "ad2", "genres", "price", "user"],
        vocabulary=vocabulary,
        max_values=30,
    )

    label, p = rows_of(model, log, vocabulary)
    found = {(r["field"], r["value"]): r for r in metrics["slices"]}
    for value in ("s 0", "s 3"):
        rows = (log["site"] == value).to_numpy()
        expected = deepfm_tf.metrics.binary_metrics(label[rows], p[rows])
        row = found["site", value]
        # Batches of another size round the last bits otherwise.
        assert {k: row[k] for k in expected} == pytest.approx(
            expected, abs=1e-4
        )
    # Shares a vocabulary; missing contributes nothing there.
    assert found["ad2", "missing"]["rows"] == (log["ad2"] == "").sum()
    assert found["ad2", "001"]["rows"] == (log["ad2"] == "001").sum()
    genres = log["genres"].str.split("|")
    assert found["genres", "y"]["rows"] == genres.map(lambda g: "y" in g).sum()
    assert found["price", "missing"]["rows"] == log["price"].isna().sum()
    prices = [r for r in metrics["slices"] if r["field"] == "price"]
    assert len(prices) == 11
    assert any(f == "user" and v.startswith("id ") for f, v in found)


def test_slices_by_columns_of_your_own(model, vocabulary):
    log = make_log(172, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)
    hour = np.arange(172) % 3

    metrics = deepfm_tf.evaluate(
        model,
        dataset,
        slice_by={"hour": hour, "site": log["site"]},
        confidence=0.9,
    )

    found = {(r["field"], r["value"]): r for r in metrics["slices"]}
    assert found["hour", "2"]["rows"] == (hour == 2).sum()
    assert found["site", "s 1"]["rows"] == (log["site"] == "s 1").sum()
    for part in (metrics, found["site", "s 1"]):
        low, high = part["intervals"]["log_loss"]
        assert low < part["log_loss"] < high


@pytest.mark.parametrize("group_by", ["user", "array"])
def test_gauc_is_of_the_groups_named(group_by, model, vocabulary):
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)
    ids = deepfm_tf.encode(log, vocabulary)["ids"][:, 3]

    metrics = deepfm_tf.evaluate(
        model, dataset, group_by=ids if group_by == "array" else group_by
    )

    expected = deepfm_tf.metrics.grouped_auc(
        *rows_of(model, log, vocabulary), ids
    )
    assert metrics["grouped_auc"] == pytest.approx(expected.auc, abs=1e-3)
    assert metrics["grouped_share"] == expected.share


def pairwise_gauc(label, p, groups):
    """The mean AUC of groups by pairs, and the share of rows that count."""
    won = counted = 0
    for group in set(groups):
        rows = np.array([g == group for g in groups])
        high, low = p[rows & (label == 1)], p[rows & (label == 0)]
        if len(high) and len(low):
            wins = [(a > b) + (a == b) / 2 for a in high for b in low]
            won += rows.sum() * np.mean(wins)
            counted += rows.sum()
    return won / counted, counted / len(label)


def test_unseen_and_missing_users_are_no_group(model, vocabulary):
    log = make_log(300, 6)
    log.loc[:99, "site"] = [f"new {n % 4}" for n in range(100)]
    log.loc[100:119, "site"] = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so many unseen are told of
        dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 300)
        label, p = rows_of(model, log, vocabulary)

    with pytest.warns(UserWarning, match="120 of 300 rows.*frame.'site'"):
        encoded = deepfm_tf.evaluate(model, dataset, group_by="site")
    raw = deepfm_tf.evaluate(
        model, dataset, group_by=log["site"].replace("", None)
    )

    known = log["site"].str.startswith("s ").to_numpy()
    sites = log["site"].to_numpy()
    expected, share = pairwise_gauc(label[known], p[known], sites[known])
    assert encoded["grouped_auc"] == pytest.approx(expected, abs=1e-3)
    assert encoded["grouped_share"] == pytest.approx(share * known.mean())
    assert encoded["grouped_left_out"] == 120
    named = (log["site"] != "").to_numpy()
    expected, share = pairwise_gauc(label[named], p[named], sites[named])
    assert raw["grouped_auc"] == pytest.approx(expected, abs=1e-3)
    assert raw["grouped_left_out"] == 20


def test_a_column_of_another_length_is_no_group(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(44), vocabulary)

    with pytest.raises(ValueError, match=r"shape \(44,\).*shape \(43,\)"):
        deepfm_tf.evaluate(model, dataset, group_by=np.arange(43))


def test_unseen_values_are_one_slice_named_so(model, vocabulary):
    log = make_log(44, 6)
    log.loc[:19, "site"] = [f"new {n}" for n in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = deepfm_tf.dataset_from_memory(log, vocabulary)

    for values in (None, vocabulary.values):
        metrics = deepfm_tf.evaluate(
            model, dataset, slice_by=["site"], vocabulary=values
        )
        slices = {row["value"]: row["rows"] for row in metrics["slices"]}
        assert slices["OOV"] == 20


def test_example_weights_of_the_data_set_count(model, vocabulary):
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)
    weighted = dataset.map(
        lambda inputs, label: (
            inputs,
            label,
            keras.ops.where(inputs["ids"][:, :1] == 2, 2.0, 0.0),
        )
    )

    exact = deepfm_tf.evaluate(model, weighted)
    stream = deepfm_tf.evaluation.evaluate_stream(model, weighted)

    label, p = rows_of(model, log, vocabulary)
    kept = deepfm_tf.encode(log, vocabulary)["ids"][:, 0] == 2
    expected = deepfm_tf.metrics.binary_metrics(label[kept], p[kept])
    for name in ("auc", "log_loss", "calibration_ratio", "mean_label"):
        assert exact[name] == pytest.approx(expected[name], abs=1e-4)
        assert stream[name] == pytest.approx(expected[name], abs=1e-4)


def test_a_stream_has_the_metrics_of_all_rows_in_any_order(
    model, vocabulary, monkeypatch
):
    monkeypatch.setattr("deepfm_tf.evaluation.STREAM_ROWS", 100)
    log = make_log(300, 6)
    dataset = deepfm_tf.dataset_from_memory(
        log, vocabulary, 64, shuffle=True, seed=1
    )

    metrics = deepfm_tf.evaluation.evaluate_stream(
        model, dataset, confidence=0.5
    )

    label, p = rows_of(model, log, vocabulary)
    expected = deepfm_tf.metrics.binary_metrics(label, p, confidence=0.5)
    assert metrics["rows"] == 300
    for name in ("auc", "log_loss", "normalized_entropy", "mean_label"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-4)
        low, high = expected["intervals"][name]
        assert metrics["intervals"][name] == pytest.approx(
            (low, high), abs=0.2 * (high - low)
        )
    assert metrics["auc_error"] < 1e-4


def test_wrong_slices_are_refused(model, vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(44), vocabulary)

    with pytest.raises(TypeError, match=r"Write \['site'\]"):
        deepfm_tf.evaluate(model, dataset, slice_by="site")
    with pytest.raises(ValueError, match="no field 'sight'"):
        deepfm_tf.evaluate(model, dataset, slice_by=["sight"])
    with pytest.raises(ValueError, match="'genres', which holds up to 4"):
        deepfm_tf.evaluate(model, dataset, group_by="genres")


def test_evaluating_leaves_a_compiled_model_trainable(small_vocabulary):
    # `predict` inside `fit`, as the validation callback does.
    dataset = deepfm_tf.dataset_from_memory(make_log(64), small_vocabulary, 32)
    fresh = build("LogisticRegression", small_vocabulary.schema)
    deepfm_tf.compile_model(fresh)

    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            deepfm_tf.evaluate(self.model, dataset)

    fresh.fit(
        dataset, epochs=2, callbacks=[Evaluate()], verbose=0, shuffle=False
    )

    assert fresh.optimizer.iterations == 4


def test_a_notebook_shows_metrics_slices_and_intervals(model, vocabulary):
    log = make_log(64, 6)
    dataset = deepfm_tf.dataset_from_memory(log, vocabulary, 64)

    metrics = deepfm_tf.evaluate(
        model, dataset, slice_by={"<b>": np.array(["x"] * 64)}, confidence=0.9
    )
    stream = deepfm_tf.evaluation.evaluate_stream(model, dataset)

    shown = metrics._repr_html_()
    low, high = metrics["intervals"]["auc"]
    assert f'<td class="number">{metrics["auc"]:.4f} ({low:.4f} to ' in shown
    assert '<th scope="row">&lt;b&gt; = x</th>' in shown
    assert shown.count("<tr>") == 3
    assert f">{stream['log_loss']:.4f} (" in stream._repr_html_()
