"""Tests of the first-order term."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from deepfm_tf.layers import LinearTerm
from tests import reference

FIELDS = {
    "vocabulary_sizes": (5, 7),
    "columns_per_field": (1, 1, 3),
    "field_tables": (0, 1, 0),
}
IDS = np.array(
    [
        [1, 6, 4, 4, 0],
        [0, 0, 2, -1, -1],
        [4, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1],
        [2, 3, 1, 0, -7],
    ]
)
WEIGHTS = np.random.default_rng(3).normal(size=IDS.shape)


def build(**kwargs):
    """Returns a built layer with a bias of 0.75 and weights that differ."""
    layer = LinearTerm(**FIELDS, **kwargs)
    layer.build((None, 5))
    first_order = np.random.default_rng(4).normal(size=(12, 1))
    layer.first_order.embeddings.assign(first_order)
    if layer.use_bias:
        layer.bias.assign(0.75)
    return layer


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_output_matches_loop_over_id_columns(batch, weighted):
    layer = build()
    ids = IDS[:batch]
    weights = WEIGHTS[:batch] if weighted else None

    logits = layer(ids, weights)

    first_order = layer.first_order.embeddings.numpy()
    expected = reference.linear_term(
        first_order, ids, 0.75, weights=weights, **FIELDS
    )
    # float32 sums of six numbers.
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_without_bias_only_weights_are_summed():
    layer = build(use_bias=False)

    logits = layer(IDS)

    first_order = layer.first_order.embeddings.numpy()
    expected = reference.linear_term(first_order, IDS, 0.0, **FIELDS)
    assert len(layer.weights) == 1
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_gradients_match_central_difference():
    layer = build(dtype="float64")
    upstream = np.array([[0.5], [-2.0], [3.0], [1.5], [-1.0]])
    first_order = layer.first_order.embeddings.numpy()

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IDS, WEIGHTS) * upstream)
    gradient, bias_gradient = tape.gradient(
        loss, [layer.first_order.embeddings, layer.bias]
    )

    def loss_of(array):
        logits = reference.linear_term(
            array, IDS, 0.75, weights=WEIGHTS, **FIELDS
        )
        return np.sum(logits * upstream)

    # Linear: the difference is exact up to 1e-15 / epsilon.
    expected = reference.central_difference(loss_of, first_order, 1e-3)
    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_allclose(
        tf.convert_to_tensor(gradient), expected, atol=1e-10
    )
    np.testing.assert_allclose(bias_gradient, np.sum(upstream))


def test_untrained_term_is_zero():
    logits = LinearTerm(**FIELDS)(IDS)

    np.testing.assert_array_equal(logits, np.zeros((5, 1)))


def test_example_without_values_gets_the_bias():
    logits = build()(np.full((2, 5), -1))

    np.testing.assert_array_equal(logits, [[0.75], [0.75]])


def test_half_precision_sums_in_float32():
    layer = build(dtype="mixed_float16")
    # In float16 1 + 2^-11 is 1 and 2049 is 2048.
    layer.first_order.embeddings.assign(np.ones((12, 1)))
    layer.bias.assign(1 + 2**-11)
    weights = np.array([[2049, -2048, -1, 0, -1]], "float32")

    logits = layer(np.ones((1, 5), "int32"), weights)

    assert logits.dtype == "float16"
    np.testing.assert_array_equal(logits, [[2**-11]])


def test_compiled_output_equals_eager_output():
    layer = build()

    compiled = tf.function(layer, jit_compile=True, autograph=False)(
        tf.constant(IDS)
    )

    # XLA may sum in another order.
    np.testing.assert_allclose(compiled, layer(IDS), rtol=1e-5, atol=1e-6)


def test_regularizer_penalises_weights_and_not_the_bias():
    layer = build(weights_regularizer=keras.regularizers.L2(3.0))

    first_order = layer.first_order.embeddings.numpy()
    expected = 3.0 * np.sum(first_order**2)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)


def test_config_round_trip_keeps_every_argument():
    layer = LinearTerm(
        weights_regularizer=keras.regularizers.L1(0.2),
        use_bias=False,
        name="wide",
        **FIELDS,
    )

    config = layer.get_config()
    clone = LinearTerm.from_config(config)

    assert clone.get_config() == config
    assert config["columns_per_field"] == (1, 1, 3)
    assert config["field_tables"] == (0, 1, 0)
    assert config["use_bias"] is False
    assert float(clone.weights_regularizer.l1) == pytest.approx(0.2)


def test_saved_model_file_restores_outputs(tmp_path):
    layer = build()
    ids = keras.Input((5,), dtype="int32")
    model = keras.Model(ids, layer(ids))
    model.save(tmp_path / "model.keras")

    restored = keras.models.load_model(tmp_path / "model.keras")

    assert np.ptp(model(IDS)) > 0
    np.testing.assert_array_equal(restored(IDS), model(IDS))


def test_weights_have_fixed_paths():
    layer = build(name="linear")

    paths = sorted(weight.path for weight in layer.weights)

    assert paths == ["linear/bias", "linear/first_order/embeddings"]


# Keras's own test fits on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.parametrize("use_bias", [False, True])
def test_keras_layer_contract_holds(use_bias):
    TestCase().run_layer_test(
        LinearTerm,
        init_kwargs={"use_bias": use_bias, **FIELDS},
        input_data=IDS,
        expected_output_shape=(5, 1),
        expected_num_trainable_weights=2 if use_bias else 1,
        expected_num_non_trainable_weights=0,
        run_training_check=use_bias,  # it fits a model, which takes longest
    )


def test_symbolic_batch_stays_unknown():
    logits = LinearTerm(**FIELDS)(keras.Input((5,), dtype="int32"))

    assert logits.shape == (None, 1)


def test_bad_argument_is_refused():
    with pytest.raises(ValueError, match=r"`vocabulary_sizes` .*\(5, 0\)\."):
        LinearTerm((5, 0))


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"`ids` must have shape \(batch, 5\)"):
        LinearTerm(**FIELDS)(np.zeros((2, 4), "int32"))


def test_the_sum_of_the_weights_leads_to_the_same():
    layer = LinearTerm((5, 7))
    ids = np.array([[1, 6], [0, 2]])
    layer(ids)
    layer.bias.assign(0.5)
    layer.first_order.embeddings.assign(np.arange(12.0)[:, None])

    logits = layer.from_sum(np.array([[1.0 + 11.0], [0.0 + 7.0]]))

    np.testing.assert_allclose(logits, layer(ids))
    np.testing.assert_allclose(logits, [[12.5], [7.5]])
