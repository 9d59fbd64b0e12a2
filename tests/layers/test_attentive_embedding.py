"""Tests of the shared table with fields that attend to a candidate."""

import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from deepfm_tf.layers import AttentiveEmbedding, SharedEmbedding
from tests import reference

DIM = 3
# Fields: item (block 0), a history of it, site, a history with its own rows.
FIELDS = {
    "vocabulary_sizes": (5, 4, 6),
    "columns_per_field": (1, 3, 1, 2),
    "field_tables": (0, 0, 1, 2),
}
ATTENTION = ((1, 0), (3, 0))
SIZES = (5, 5, 5, 5, 4, 6, 6)


def build(dtype="float32", **kwargs):
    layer = AttentiveEmbedding(
        embedding_dim=DIM, attention=ATTENTION, dtype=dtype, **FIELDS, **kwargs
    )
    layer.build((None, 7), None, kwargs.get("factored") and (None, 1))
    random = np.random.default_rng(1)
    layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
    return layer


def draw(batch):
    random = np.random.default_rng(2)
    ids = random.integers(0, SIZES, (batch, 7))
    ids[random.random(ids.shape) < 0.25] = -1
    return ids.astype("int32")


def expected_embeddings(layer, table, ids):
    """The sums of all fields, then the histories in their place, by loops."""
    embeddings = reference.pooled_embeddings(table, ids, **FIELDS)
    starts = {1: (0, range(1, 4)), 3: (9, range(5, 7))}
    for unit, (field, candidate) in zip(
        layer.attention_units, ATTENTION, strict=True
    ):
        start, columns = starts[field]
        own = ids[:, columns]
        embeddings[:, field] = reference.target_attention(
            table[start + np.maximum(own, 0)],
            embeddings[:, candidate],
            own >= 0,
            *(np.array(w) for w in unit.weights),
        )
    return embeddings


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("batch", [1, 5])
def test_histories_are_attended_sums(batch, training):
    layer, ids = build(), draw(batch)

    embeddings = layer(ids, training=training)

    expected = expected_embeddings(layer, np.array(layer.embeddings), ids)
    np.testing.assert_allclose(embeddings, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_the_x_of_a_history_are_for_its_first_order_weights(training):
    layer, ids = build(first_order=True), draw(5)
    weights = np.ones(ids.shape, "float32")
    weights[:, 1:4], weights[:, 5:] = 0.25, 0.5

    embeddings, linear = layer(ids, weights, training=training)

    table = np.array(layer.embeddings)
    added = reference.pooled_embeddings(table, ids, weights=weights, **FIELDS)
    np.testing.assert_allclose(linear[:, 0], added[:, :, DIM].sum(1), atol=1e-5)
    np.testing.assert_allclose(
        embeddings,
        expected_embeddings(layer, table[:, :DIM], ids),
        rtol=1e-4,
        atol=1e-4,
    )


def test_gradient_of_the_table_matches_central_differences():
    layer, ids = build("float64"), draw(2)
    upstream = np.random.default_rng(5).normal(size=(2, 4, DIM))

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids, training=True) * upstream)
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value))

    expected = reference.central_difference(
        lambda table: np.sum(expected_embeddings(layer, table, ids) * upstream),
        np.array(layer.embeddings),
        1e-5,
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_padding_touches_no_row_of_its_own():
    layer = build()
    ids = np.array([[2, 1, -1, -1, 3, -1, -1]], "int32")

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids, training=True))
    gradient = tape.gradient(loss, layer.embeddings.value)

    assert set(gradient.indices.numpy()) == {2, 1, 5 + 3}


@pytest.mark.parametrize("training", [False, True])
def test_the_factored_output_holds_the_attended_vectors(training):
    arguments = {**FIELDS, "vocabulary_sizes": (5, 4, 6, 2)}
    arguments["columns_per_field"] = (1, 3, 1, 2, 1)
    arguments["field_tables"] = (0, 0, 1, 2, 3)
    layer = AttentiveEmbedding(
        embedding_dim=DIM, attention=ATTENTION, factored=True, **arguments
    )
    values = np.array([[0.5], [np.nan]], "float32")

    embeddings, flat, _ = layer(draw(2), values=values, training=training)

    np.testing.assert_array_equal(
        flat[:, : 4 * DIM], np.reshape(embeddings[:, :4], (2, 4 * DIM))
    )
    # The number, and whether it is missing.
    np.testing.assert_array_equal(flat[:, 4 * DIM :], [[0.5, 0], [0, 1]])


def test_without_a_pair_it_is_the_plain_table():
    layer, ids = AttentiveEmbedding(embedding_dim=DIM, **FIELDS), draw(5)
    plain = SharedEmbedding(embedding_dim=DIM, **FIELDS)
    plain.build((None, 7))
    layer.build((None, 7))
    plain.set_weights(layer.get_weights())

    np.testing.assert_array_equal(layer(ids), plain(ids))


def test_compiled_output_equals_eager_output():
    layer, ids = build(), tf.constant(draw(5))

    compiled = tf.function(layer, jit_compile=True, autograph=False)(ids)

    np.testing.assert_allclose(compiled, layer(ids), rtol=1e-4, atol=1e-4)


def test_keras_layer_contract_holds():
    TestCase().run_layer_test(
        AttentiveEmbedding,
        init_kwargs={"embedding_dim": DIM, "attention": ATTENTION, **FIELDS},
        input_data=draw(2),
        expected_output_shape=(2, 4, DIM),
        expected_num_trainable_weights=9,
        expected_num_non_trainable_weights=0,
        run_training_check=False,  # it would fit a whole model, for seconds
    )


@pytest.mark.parametrize(
    "attention", [((1, 4),), ((3, 0), (1, 0)), ((1, 3), (3, 0)), ((1, -1),)]
)
def test_pairs_that_are_none_are_refused(attention):
    with pytest.raises(ValueError, match=r"`attention` must be pairs of"):
        AttentiveEmbedding(embedding_dim=DIM, attention=attention, **FIELDS)


def test_a_number_attends_to_nothing():
    layer = AttentiveEmbedding((5, 1), DIM, attention=((1, 0),))

    with pytest.raises(ValueError, match="`attention` must be of fields with"):
        layer.build((None, 1), None, (None, 1))
