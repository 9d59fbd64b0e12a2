"""Attributions: against loops, finite differences, and the logit itself."""

import functools

import numpy as np
import pandas
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.explain import Explainer
from deepfm_tf.explain.model_terms import ModelTerms
from tests import reference
from tests.catalogue import MODELS
from tests.explain.small import (
    deep_part,
    integrated_gradients,
    logits,
    pair_terms,
    pooled,
    shared_model,
    small_rows,
)
from tests.models.test_ctr_model import SCHEMA
from tests.models.test_joined_terms import draw, model_of

EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
DEEP = pytest.mark.parametrize("name", ["DeepFM", "WideAndDeep", "NFM"])


def background(num_rows=50, batch=20):
    rows = small_rows(num_rows, seed=7)
    return tf.data.Dataset.from_tensor_slices(rows).batch(batch)


@functools.cache
def explained(name):
    """A model, rows, an explainer and what it says of them."""
    model, packed = shared_model(name), small_rows(30)
    explainer = Explainer(model, background())
    return model, packed, explainer, explainer.explain(packed)


@EVERY_MODEL
def test_the_terms_add_up_to_the_logit(name):
    model, packed, _, result = explained(name)

    total = (
        result.bias
        + result.baseline
        + result.first_order.sum(axis=1)
        + result.pairs.sum(axis=1)
        + result.deep.sum(axis=1)
    )
    expected = logits(model, packed)
    np.testing.assert_allclose(result.logit, expected, atol=1e-5)
    np.testing.assert_allclose(total, expected, atol=1.2e-4)
    np.testing.assert_allclose(
        result.completeness_error, expected - total, atol=1e-5
    )


@EVERY_MODEL
def test_first_order_and_pairs_are_the_terms_of_the_equations(name):
    model, packed, _, result = explained(name)

    vectors, first_order = pooled(model, packed)
    np.testing.assert_allclose(result.first_order, first_order, atol=1e-6)
    if name in ("FM", "DeepFM"):
        np.testing.assert_allclose(result.pairs, pair_terms(vectors), atol=1e-5)
    else:
        assert result.pairs.shape == (30, 0)


@DEEP
def test_the_baseline_is_the_pyramid_at_the_mean_vectors(name):
    model, _, explainer, result = explained(name)

    mean = pooled(model, small_rows(50, seed=7))[0].mean(axis=0)
    np.testing.assert_allclose(explainer.mean_vectors, mean, atol=1e-6)
    assert result.baseline == pytest.approx(
        deep_part(model, mean[None])[0], abs=1e-5
    )


@DEEP
def test_the_deep_part_is_the_integral_of_finite_differences(name):
    model, packed, _, result = explained(name)

    vectors, _ = pooled(model, packed)
    mean = pooled(model, small_rows(50, seed=7))[0].mean(axis=0)
    ends = deep_part(model, np.stack([mean, vectors[0]]))
    expected = integrated_gradients(model, vectors[0], mean, 400)
    # Midpoints miss a kink of a ReLU by up to half a piece.
    np.testing.assert_allclose(result.deep[0], expected, atol=3e-3)
    assert result.deep[0].sum() == pytest.approx(ends[1] - ends[0], abs=1e-4)


def test_the_steps_of_hard_rows_are_doubled_until_they_are_right():
    model = deepfm_tf.DeepFM(
        SCHEMA,
        embedding_dim=2,
        hidden_units=(50, 50),
        batch_normalization=False,
    )
    weights = [
        np.random.default_rng(3).normal(size=w.shape)
        for w in model.get_weights()
    ]
    model.set_weights(weights)
    packed = small_rows(40)
    explainer = Explainer(model, background(), steps=4, tolerance=1e9)

    before = np.abs(explainer(packed)["completeness_error"])
    explainer.tolerance = 1e-3
    after = np.abs(explainer(packed)["completeness_error"])

    assert before.max() > 2e-2
    assert after.max() < before.max() / 4
    fine = before <= 1e-3
    assert fine.any()
    np.testing.assert_allclose(after[fine], before[fine], atol=1e-5)


def test_a_field_at_its_mean_gets_nothing_of_the_deep_part():
    model, packed, _, _ = explained("DeepFM")
    one = {name: value[:1] for name, value in packed.items()}
    background = {name: value.copy() for name, value in one.items()}
    background["values"][:] = 5.0  # x and z, the last two fields

    result = Explainer(model, [background])(one)

    np.testing.assert_allclose(result["deep"][0, :3], 0, atol=1e-6)
    assert np.abs(result["deep"][0, 3:]).min() > 1e-5


# With a deep part and without; `export/test_explain` has graphs of all models.
@pytest.mark.parametrize("name", ["DeepFM", "FM"])
def test_in_a_graph_with_any_number_of_rows_it_says_the_same(name):
    _, packed, explainer, _ = explained(name)
    signature = {
        key: tf.TensorSpec((None, *value.shape[1:]), value.dtype)
        for key, value in packed.items()
    }
    graph = tf.function(explainer.__call__, input_signature=[signature])

    eager = explainer(packed)
    whole = graph({k: tf.constant(v) for k, v in packed.items()})
    empty = graph({k: tf.constant(v[:0]) for k, v in packed.items()})

    for key, value in whole.items():
        np.testing.assert_allclose(value, eager[key], atol=2e-5)
    assert empty["deep"].shape == empty["contributions"].shape == (0, 5)
    assert empty["logit"].shape == empty["baseline"].shape == (0,)


def test_contributions_halve_the_pairs():
    _, packed, explainer, result = explained("DeepFM")

    terms = explainer(packed)

    total = (
        terms["bias"]
        + terms["baseline"]
        + tf.reduce_sum(terms["contributions"], axis=1)
    )
    np.testing.assert_allclose(total, terms["logit"], atol=1.2e-4)
    np.testing.assert_allclose(
        result.contributions, terms["contributions"], atol=2e-5
    )


def test_rows_are_explained_alike_alone_and_together(monkeypatch):
    monkeypatch.setattr("deepfm_tf.explain.explainer.BATCH_ROWS", 13)
    _, packed, explainer, _ = explained("DeepFM")

    together = explainer.explain(packed)

    for row in (0, 12, 13, 29):
        alone = explainer.explain({k: v[[row]] for k, v in packed.items()})
        np.testing.assert_allclose(alone.deep[0], together.deep[row], atol=2e-5)
        assert alone.labels[0] == together.labels[row]


def test_many_rows_take_fewer_pieces_at_a_time_and_say_the_same(monkeypatch):
    _, packed, explainer, expected = explained("DeepFM")
    monkeypatch.setattr("deepfm_tf.explain.explainer.MAX_POINTS", 90)  # 3 a row

    result = explainer(packed)

    np.testing.assert_allclose(result["deep"], expected.deep, atol=2e-5)


def test_a_model_that_trains_in_16_bits_is_explained_in_float32():
    config = {**shared_model("DeepFM").get_config(), "dtype": "mixed_bfloat16"}
    model = deepfm_tf.DeepFM.from_config(config)
    model.set_weights(shared_model("DeepFM").get_weights())
    _, packed, plain, _ = explained("DeepFM")

    found = Explainer(model, background())(packed)

    for name, expected in plain(packed).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-6)


def test_batch_normalization_and_tanh_add_up_too(small_vocabulary):
    model = deepfm_tf.DeepFM(
        small_vocabulary.schema,
        embedding_dim=3,
        hidden_units=(6,),
        activation="tanh",
        batch_normalization=True,
    )
    random = np.random.default_rng(2)
    model.set_weights(
        [random.uniform(0.1, 0.9, w.shape) for w in model.get_weights()]
    )
    rows = {
        "ids": random.integers(0, 2, (30, model.input["ids"].shape[1])),
        "weights": np.ones((30, 3), "float32"),
        "values": random.normal(size=(30, 1)).astype("float32"),
    }

    result = Explainer(model, [rows])(rows)

    assert np.abs(result["completeness_error"]).max() < 1e-4
    assert np.abs(result["deep"]).max() > 1e-3


def test_a_pyramid_asks_for_a_background():
    with pytest.raises(ValueError, match="`background` must be given"):
        Explainer(shared_model("NFM"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive.*steps=0"),
        ({"tolerance": 0.0}, "`tolerance` must be positive.*=0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Explainer(shared_model("FM"), **arguments)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        Explainer(shared_model("FM")).explain(small_rows(0))


@pytest.mark.parametrize(
    ("packed", "received"),
    [
        ({"site": ["a"], "hour": [1]}, "dict with site, hour"),
        (pandas.DataFrame({f"f{n}": [1] for n in range(9)}), "f7, …"),
        ([[1, 2]], "list"),
    ],
)
def test_raw_columns_are_told_how_they_become_packed(packed, received):
    with pytest.raises(ValueError, match=f"{received}. Make.*encode"):
        Explainer(shared_model("FM")).explain(packed)


def test_prepared_data_is_no_data_set_yet(tmp_path):
    log = {"site": ["a", "b", "a"], "click": [1, 0, 1]}
    field = deepfm_tf.CategoricalField("site", min_count=1)
    schema = deepfm_tf.Schema((field,), "click")
    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=schema)
    model = deepfm_tf.DeepFM(prepared.schema, hidden_units=(2,))

    for function in (
        Explainer,
        deepfm_tf.evaluate,
        deepfm_tf.explain.permutation_importance,
        deepfm_tf.explain.field_strengths,
        deepfm_tf.explain.field_report,
    ):
        with pytest.raises(TypeError, match=r"Give its `.dataset\(batch_size"):
            function(model, prepared)


def test_what_a_history_adds_is_that_of_its_attended_vector():
    model, packed = model_of("FM"), draw(12)

    result = Explainer(model).explain(packed)

    table = np.array(model.shared_embedding.embeddings, "float64")
    seen, item, user = np.split(packed["ids"], [3, 4], axis=1)
    item = table[item[:, 0]] * (item >= 0)
    user = table[7 + user[:, 0]] * (user >= 0)
    attended = reference.target_attention(
        table[np.maximum(seen, 0), :3],
        item[:, :3],
        seen >= 0,
        *(
            np.array(weight)
            for weight in model.shared_embedding.attention_units[0].weights
        ),
    )
    # Pairs are seen × item, seen × user and so on.
    by_item, by_user = (
        (attended * other[:, :3]).sum(axis=1) for other in (item, user)
    )
    np.testing.assert_allclose(result.pairs[:, 0], by_item, atol=1e-5)
    np.testing.assert_allclose(result.pairs[:, 1], by_user, atol=1e-5)
    first = [
        table[row[row >= 0], 3].sum() / max((row >= 0).sum(), 1) for row in seen
    ]
    np.testing.assert_allclose(result.first_order[:, 0], first, atol=1e-6)
    total = result.bias + result.contributions.sum(axis=1)
    np.testing.assert_allclose(total, logits(model, packed), atol=1e-5)


@DEEP
def test_a_model_with_a_history_declares_its_own_terms(name):
    # Which raises if the terms of made-up rows do not add up to the logits.
    assert ModelTerms(model_of(name)).fields[0] == "seen"
