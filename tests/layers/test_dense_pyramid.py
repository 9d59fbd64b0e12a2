"""Tests of the multilayer perceptron."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

import deepfm_tf
from deepfm_tf.layers import DensePyramid
from tests import reference

FEATURES = 6


def draw(batch, dtype="float32"):
    generator = np.random.default_rng(5)
    return generator.normal(size=(batch, FEATURES)).astype(dtype)


def build(**kwargs):
    """Returns a built layer whose weights, biases too, are drawn anew."""
    layer = DensePyramid(**kwargs)
    layer.build((None, FEATURES))
    generator = np.random.default_rng(6)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    return layer


def kernels_and_biases(layer):
    layers = [*layer.dense_layers, layer.output_layer]
    kernels = [dense.kernel.numpy() for dense in layers]
    return kernels, [dense.bias.numpy() for dense in layers]


@pytest.mark.parametrize("hidden_units", [(), (4,), (5, 4, 3), (4, 4)])
@pytest.mark.parametrize("batch", [1, 5])
def test_output_matches_loop_over_units(hidden_units, batch):
    layer = build(hidden_units=hidden_units, output_units=2)
    inputs = draw(batch)

    outputs = layer(inputs)

    expected = reference.mlp(inputs, *kernels_and_biases(layer))
    # float32 sums of six products, four layers deep.
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-4)


def test_default_widths_are_the_book_s():
    layer = build()

    shapes = [dense.kernel.shape for dense in layer.dense_layers]

    assert shapes == [(FEATURES, 30), (30, 20), (20, 10)]
    assert layer.output_layer.kernel.shape == (10, 1)


def test_activation_is_applied_to_hidden_layers_only():
    layer = build(hidden_units=(4, 3), activation="tanh")
    inputs = draw(5)

    outputs = layer(inputs)

    expected = reference.mlp(inputs, *kernels_and_biases(layer), math.tanh)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_gradients_match_central_difference():
    layer = build(hidden_units=(4, 3), activation="tanh", dtype="float64")
    inputs = tf.constant(draw(3, "float64"))
    kernels, biases = kernels_and_biases(layer)

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(tf.square(layer(inputs)))
    by_inputs, by_kernel = tape.gradient(
        loss, [inputs, layer.dense_layers[0].kernel]
    )

    def loss_of(inputs, kernel):
        changed = [kernel, *kernels[1:]]
        return np.sum(reference.mlp(inputs, changed, biases, math.tanh) ** 2)

    # Truncation epsilon ** 2 and rounding 1e-15 / epsilon are both 1e-10.
    expected = reference.central_difference(
        lambda array: loss_of(array, kernels[0]), inputs.numpy(), 1e-5
    )
    np.testing.assert_allclose(by_inputs, expected, rtol=1e-7, atol=1e-7)
    expected = reference.central_difference(
        lambda array: loss_of(inputs.numpy(), array), kernels[0], 1e-5
    )
    np.testing.assert_allclose(by_kernel, expected, rtol=1e-7, atol=1e-7)


def test_batch_normalization_comes_before_the_activation():
    layer = build(hidden_units=(4,), batch_normalization=True)
    normalization = layer.normalization_layers[0]
    normalization.moving_mean.assign([0.5, -1.0, 2.0, 0.0])
    normalization.moving_variance.assign([4.0, 0.25, 1.0, 9.0])
    inputs = draw(5)

    outputs = layer(inputs, training=False)

    # gamma (W z - mean) / sqrt(variance + epsilon) + beta, as one affine map.
    gamma, beta = normalization.gamma.numpy(), normalization.beta.numpy()
    scale = gamma / np.sqrt(np.array([4.0, 0.25, 1.0, 9.0]) + 1e-5)
    kernel = layer.dense_layers[0].kernel.numpy() * scale
    bias = beta - np.array([0.5, -1.0, 2.0, 0.0]) * scale
    output = layer.output_layer
    expected = reference.mlp(
        inputs, [kernel, output.kernel.numpy()], [bias, output.bias.numpy()]
    )
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_batch_normalization_uses_the_batch_in_training():
    layer = build(hidden_units=(4,), dropout=0.0, batch_normalization=True)
    inputs = draw(5)

    shifted = layer(inputs + 3.0, training=True)

    # A shift of all examples falls out with the batch mean.
    np.testing.assert_allclose(
        shifted, layer(inputs, training=True), rtol=1e-3, atol=1e-3
    )
    assert np.all(layer(inputs + 3.0) != layer(inputs))


def test_batch_normalization_uses_the_batch_of_all_replicas():
    strategy = deepfm_tf.create_strategy(2)
    inputs = draw(5)
    with strategy.scope():
        layer = build(hidden_units=(4,), dropout=0.0, batch_normalization=True)
    alone = build(hidden_units=(4,), dropout=0.0, batch_normalization=True)

    def call():
        replica = tf.distribute.get_replica_context()
        number = int(replica.replica_id_in_sync_group)
        return layer(np.split(inputs, [2])[number], training=True)

    parts = strategy.experimental_local_results(strategy.run(call))

    expected = alone(inputs, training=True)
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-4)
    for ours, right in zip(layer.weights, alone.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), right.numpy(), atol=1e-5)


def test_batch_normalization_replaces_the_bias():
    layer = build(hidden_units=(4, 3), batch_normalization=True, name="deep")

    paths = [weight.path for weight in layer.trainable_weights]

    assert paths == [
        "deep/dense_0/kernel",
        "deep/batch_normalization_0/gamma",
        "deep/batch_normalization_0/beta",
        "deep/dense_1/kernel",
        "deep/batch_normalization_1/gamma",
        "deep/batch_normalization_1/beta",
        "deep/output/kernel",
        "deep/output/bias",
    ]


def test_dropout_is_off_outside_training():
    layer = build(dropout=0.5)
    inputs = draw(5)

    outputs = layer(inputs, training=False)

    np.testing.assert_array_equal(outputs, layer(inputs, training=False))
    np.testing.assert_array_equal(outputs, layer(inputs))


def test_dropout_is_on_in_training():
    keras.utils.set_random_seed(11)
    layer = build(dropout=0.5)
    inputs = draw(5)

    outputs = layer(inputs, training=True).numpy()

    assert np.any(outputs != layer(inputs, training=False))
    assert np.any(outputs != layer(inputs, training=True))


def test_dropout_is_the_probability_of_dropping():
    keras.utils.set_random_seed(12)
    layer = DensePyramid((4000,), dropout=0.25)
    layer.build((None, 1))
    layer.dense_layers[0].kernel.assign(np.ones((1, 4000)))
    layer.output_layer.kernel.assign(np.full((4000, 1), 1 / 4000))

    output = layer(np.ones((1, 1)), training=True).numpy().item()

    # The kept units are scaled by 1 / 0.75; five standard deviations are 0.034.
    assert output * 0.75 == pytest.approx(0.75, abs=0.034)


def test_output_itself_is_never_dropped():
    layer = build(hidden_units=(), output_units=50, dropout=0.9)
    inputs = draw(5)

    outputs = layer(inputs, training=True)

    np.testing.assert_array_equal(outputs, layer(inputs, training=False))


def test_equal_layers_start_different():
    initializer = keras.initializers.GlorotUniform()
    layer = DensePyramid((FEATURES, FEATURES), kernel_initializer=initializer)
    layer.build((None, FEATURES))

    first, second = (dense.kernel.numpy() for dense in layer.dense_layers)

    assert np.all(first != second)


def test_regularizer_penalises_every_kernel_and_no_bias():
    layer = build(
        hidden_units=(4, 3), kernel_regularizer=keras.regularizers.L2(2.0)
    )

    kernels, _ = kernels_and_biases(layer)
    expected = [2.0 * np.sum(kernel**2) for kernel in kernels]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-5)


@pytest.mark.parametrize("batch_normalization", [False, True])
def test_compiled_output_equals_eager_output(batch_normalization):
    layer = build(batch_normalization=batch_normalization)
    inputs = tf.constant(draw(5))

    compiled = tf.function(layer, jit_compile=True, autograph=False)(inputs)

    # XLA may sum in another order.
    np.testing.assert_allclose(compiled, layer(inputs), rtol=1e-4, atol=1e-4)


def test_empty_batch_gives_empty_output():
    assert build()(draw(0)).shape == (0, 1)


def test_symbolic_batch_stays_unknown():
    outputs = DensePyramid(output_units=2)(keras.Input((FEATURES,)))

    assert outputs.shape == (None, 2)


def test_config_round_trip_keeps_every_argument():
    layer = DensePyramid(
        hidden_units=[8, 4],
        activation="gelu",
        dropout=0.3,
        batch_normalization=True,
        output_units=2,
        kernel_initializer=keras.initializers.HeNormal(seed=4),
        kernel_regularizer=keras.regularizers.L2(0.2),
        factor_blocks=[0, 1, 0],
        name="deep",
    )

    config = layer.get_config()
    clone = DensePyramid.from_config(config)

    assert clone.get_config() == config
    assert config["hidden_units"] == (8, 4)
    assert config["activation"] == "gelu"
    assert config["dropout"] == 0.3
    assert config["batch_normalization"] is True
    assert config["output_units"] == 2
    assert config["factor_blocks"] == (0, 1, 0)
    assert config["kernel_initializer"]["config"]["seed"] == 4


@pytest.mark.parametrize("hidden_units", [(), (4, 4)])
def test_saved_model_file_restores_outputs(tmp_path, hidden_units):
    layer = build(hidden_units=hidden_units, batch_normalization=True)
    inputs = keras.Input((FEATURES,))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")

    restored = keras.models.load_model(tmp_path / "model.keras")

    np.testing.assert_array_equal(restored(draw(5)), model(draw(5)))


# Keras's own test fits on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.parametrize(
    "init_kwargs, num_weights, num_seeds",
    [
        ({}, (8, 0), 3),
        ({"hidden_units": ()}, (2, 0), 0),
        ({"batch_normalization": True}, (11, 6), 3),
        ({"dropout": 0.0}, (8, 0), 0),
    ],
)
def test_keras_layer_contract_holds(init_kwargs, num_weights, num_seeds):
    TestCase().run_layer_test(
        DensePyramid,
        init_kwargs={"output_units": 2, **init_kwargs},
        input_shape=(3, FEATURES),
        expected_output_shape=(3, 2),
        expected_num_trainable_weights=num_weights[0],
        expected_num_non_trainable_weights=num_weights[1],
        expected_num_seed_generators=num_seeds,
        # It fits a model, which takes longest; once, with all that there is.
        run_training_check="batch_normalization" in init_kwargs,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"hidden_units": 30}, r"`hidden_units` must .*hidden_units=30\."),
        ({"hidden_units": (3, 0)}, r"`hidden_units` must .*\(3, 0\)\."),
        ({"hidden_units": (2.5,)}, r"`hidden_units` must .*\(2\.5,\)\."),
        ({"dropout": 1.0}, r"`dropout` must .*dropout=1\.0\."),
        ({"dropout": -0.1}, r"`dropout` must .*dropout=-0\.1\."),
        ({"output_units": 0}, r"`output_units` must .*output_units=0\."),
    ],
)
def test_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DensePyramid(**arguments)


@pytest.mark.parametrize("shape", [(None, 3, FEATURES), (None, None), (3,)])
def test_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(batch,"):
        DensePyramid().build(shape)


@pytest.mark.parametrize("hidden_units", [(), (4,), (4, 3)])
@pytest.mark.parametrize("batch_normalization", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_projections_of_two_groups_of_features_add_up(
    hidden_units, batch_normalization, dtype
):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(3, 5)).astype("float32")
    layer = DensePyramid(
        hidden_units, batch_normalization=batch_normalization, dtype=dtype
    )
    layer.build((None, 5))
    for weight in layer.weights:
        weight.assign(np.abs(random.normal(size=weight.shape)) + 0.1)
    left, right = [1, 4], [0, 2, 3]

    projection = layer.project(
        inputs[:1, left], layer.first_kernel(left)
    ) + layer.project(inputs[:, right], layer.first_kernel(right))
    outputs = layer.from_projection(projection)

    repeated = inputs.copy()
    repeated[:, left] = inputs[:1, left]
    assert projection.dtype == "float32"
    np.testing.assert_allclose(
        np.asarray(outputs, "float32"),
        np.asarray(layer(repeated), "float32"),
        # bfloat16 has 8 bits.
        rtol=1e-5 if dtype == "float32" else 2e-2,
    )


def test_a_feature_the_layer_does_not_see_has_zeros():
    layer = DensePyramid((4,))
    layer.build((None, 2))

    kernel = np.asarray(layer.first_kernel([1, -1, 0]))

    own = np.asarray(layer.dense_layers[0].kernel)
    np.testing.assert_array_equal(kernel, [own[1], np.zeros(4), own[0]])


# Two features, then the factors of three vectors of two numbers: the first
# and the last one go to the first part of the input, the other to the second.
PARTS = (0, 1, 0)


def factored(batch=5):
    """Inputs and vectors, and the input that they stand for."""
    generator = np.random.default_rng(8)
    inputs = generator.normal(size=(batch, 2 + 3)).astype("float32")
    vectors = generator.normal(size=(3, 2)).astype("float32")
    whole = np.zeros((batch, FEATURES), "float32")
    whole[:, :2] = inputs[:, :2]
    for row, part in enumerate(PARTS):
        start = 2 + 2 * part
        for example in range(batch):
            x = inputs[example, 2 + row]
            whole[example, start : start + 2] += x * vectors[row]
    return inputs, vectors, whole


@pytest.mark.parametrize("batch_normalization", [False, True])
@pytest.mark.parametrize("hidden_units", [(), (5, 4)])
def test_factors_and_vectors_stand_for_their_products(
    hidden_units, batch_normalization
):
    arguments = {
        "hidden_units": hidden_units,
        "batch_normalization": batch_normalization,
        "dropout": 0.0,
    }
    inputs, vectors, whole = factored()
    plain = build(**arguments)
    layer = DensePyramid(factor_blocks=PARTS, **arguments)
    layer.build(inputs.shape, vectors.shape)
    layer.set_weights(plain.get_weights())
    assert [w.path.split("/")[-2:] for w in layer.weights] == [
        w.path.split("/")[-2:] for w in plain.weights
    ]

    with tf.GradientTape() as tape:
        outputs = layer(inputs, vectors, training=True)
    found = tape.gradient(outputs, layer.trainable_weights)
    with tf.GradientTape() as tape:
        expected = plain(whole, training=True)
    gradients = tape.gradient(expected, plain.trainable_weights)

    # The same sums, in another order.
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(found, gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradient_of_vectors_matches_central_difference():
    inputs, vectors, _ = (x.astype("float64") for x in factored(3))
    layer = DensePyramid(
        (4,), "tanh", 0.0, factor_blocks=PARTS, dtype="float64"
    )
    layer.build(inputs.shape, vectors.shape)
    variable = tf.constant(vectors)

    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss = tf.reduce_sum(tf.square(layer(inputs, variable)))
    gradient = tape.gradient(loss, variable)

    kernels, biases = kernels_and_biases(layer)

    def loss_of(vectors):
        whole = np.zeros((3, FEATURES))
        whole[:, :2] = inputs[:, :2]
        for row, part in enumerate(PARTS):
            columns = slice(2 + 2 * part, 4 + 2 * part)
            whole[:, columns] += np.outer(inputs[:, 2 + row], vectors[row])
        return np.sum(reference.mlp(whole, kernels, biases, math.tanh) ** 2)

    expected = reference.central_difference(loss_of, vectors, 1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7)


def test_vectors_without_a_part_are_refused():
    layer = DensePyramid(factor_blocks=(0, 1))

    with pytest.raises(ValueError, match="one row for each of.*\\(0, 1\\)"):
        layer.build((None, 5), (3, 2))
