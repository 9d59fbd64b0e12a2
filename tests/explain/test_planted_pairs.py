"""Models trained on planted pairs name them, field and feature."""

import numpy as np
import pandas as pd
import pytest

import deepfm_tf

SIZES = {"hour": 12, "app": 8, "site": 6, "ad": 9, "noise": 7}
FIELD_PAIRS = {"hour × app", "site × ad"}


def planted(num_rows, seed):
    """Clicks that depend on two pairs of fields; chess at 11 on most."""
    random = np.random.default_rng(seed)
    values = {
        name: random.integers(0, size, num_rows) for name, size in SIZES.items()
    }
    effects = np.random.default_rng(0)
    hour_app = effects.choice([-1.2, 1.2], (12, 8))
    hour_app[11, 3] = 4.0
    site_ad = effects.choice([-1.5, 1.5], (6, 9))
    logits = hour_app[values["hour"], values["app"]]
    logits = logits + site_ad[values["site"], values["ad"]]
    columns = {name: values[name].astype(str) for name in SIZES}
    columns["app"] = np.where(values["app"] == 3, "chess", columns["app"])
    clicks = random.random(num_rows) < 1 / (1 + np.exp(-logits))
    return pd.DataFrame({**columns, "click": clicks.astype(int)})


@pytest.fixture(scope="module")
def data():
    schema = deepfm_tf.Schema(
        tuple(map(deepfm_tf.CategoricalField, SIZES)), "click"
    )
    train, test = planted(12000, 1), planted(4000, 2)
    return train, test, deepfm_tf.fit_vocabulary(train, schema)


@pytest.fixture(
    scope="module",
    params=[pytest.param("FM", marks=pytest.mark.long), "DeepFM"],
)
def model(request, data):
    train, _, vocabulary = data
    deepfm_tf.set_seed(3)
    arguments = {}
    if request.param == "DeepFM":  # a pyramid that leaves pairs to the FM
        arguments = {"hidden_units": (16, 8), "batch_normalization": False}
    model = getattr(deepfm_tf, request.param)(
        vocabulary.schema, embedding_dim=8, **arguments
    )
    deepfm_tf.compile_model(model, learning_rate=0.02)
    dataset = deepfm_tf.dataset_from_memory(
        train, vocabulary, 256, shuffle=True
    )
    model.fit(dataset, epochs=4, verbose=0, shuffle=False)
    return model


def test_planted_pairs_and_only_they_rank_on_top(model, data):
    _, test, vocabulary = data
    dataset = deepfm_tf.dataset_from_memory(test, vocabulary)

    ranking = deepfm_tf.explain.field_strengths(model, dataset).ranking()

    pairs = [t for t in ranking if t["kind"] == "pair"]
    assert {t["term"] for t in pairs[:2]} == FIELD_PAIRS
    assert {t["term"] for t in ranking[:2]} == FIELD_PAIRS


def test_the_strongest_feature_pair_is_the_planted_one(model, data):
    _, test, vocabulary = data
    dataset = deepfm_tf.dataset_from_memory(test, vocabulary)

    pairs = deepfm_tf.explain.top_feature_pairs(
        model, dataset, vocabulary, field_pairs=[("hour", "app")]
    )

    best = max(pairs, key=lambda pair: pair["effect"])
    assert best["pair"] == "hour=11 × app=chess"


def test_a_field_without_meaning_is_found(model, data):
    train, test, vocabulary = data
    dataset = deepfm_tf.dataset_from_memory(test, vocabulary)

    importance = deepfm_tf.explain.permutation_importance(
        model, dataset, repeats=3
    )
    report = deepfm_tf.explain.field_report(
        model, dataset, importance=importance
    )

    assert report.verdicts[:4] == ("helps",) * 4
    # Four standard errors: no more of a chance than one in ten thousand.
    assert abs(report.log_loss_rise[4]) < 2 * report.log_loss_margin[4]
    assert importance.ranking()[-1]["field"] == "noise"


def test_predictions_are_explained_to_a_ten_thousandth(model, data):
    train, test, vocabulary = data
    explainer = deepfm_tf.Explainer(
        model, deepfm_tf.dataset_from_memory(train, vocabulary)
    )
    chess = test[(test["hour"] == "11") & (test["app"] == "chess")]

    result = explainer.explain(
        deepfm_tf.encode(chess.head(20), vocabulary), vocabulary
    )

    assert np.abs(result.completeness_error).max() <= 1e-4
    column = result.pair_fields.index((0, 1))  # hour × app
    assert (result.pairs[:, column] > 0.5).all()
    assert result.labels[0][:2] == ("hour=11", "app=chess")
