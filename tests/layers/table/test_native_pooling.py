"""What a layer gives by our kernels, and without."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers import FMInteraction, SharedEmbedding
from deepfm_tf.layers.table.known_products import known_products
from tests.native.kernels import needs_kernels

pytestmark = needs_kernels
NAN = float("nan")
IDS = np.array([[1, 0, -1, 2], [3, -1, -1, -1], [0, 2, 2, -1]], "int32")
WEIGHTS = np.array([[0.5, 2, NAN, 1], [1, NAN, NAN, 1], [3, -1, 1, 1]], "f4")
VALUES = np.array([[0.5, NAN], [NAN, 2.0], [-1.0, 3.0]], "f4")


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "auto")


def build(**options):
    """One id, then three of a field; two numbers, one with a missing row."""
    layer = SharedEmbedding(
        (5, 4, 2, 1),
        embedding_dim=2,
        columns_per_field=(1, 3, 1, 1),
        first_order=True,
        embeddings_initializer=keras.initializers.RandomNormal(seed=1),
        **options,
    )
    layer.build(IDS.shape, WEIGHTS.shape, VALUES.shape)
    random = np.random.default_rng(0)
    table = random.normal(size=layer.embeddings.shape)
    layer.embeddings.assign(table)
    return layer


@pytest.mark.parametrize(
    ("factored", "weighted"), [(False, True), (True, False)]
)
def test_values_and_gradients_are_those_of_inference(factored, weighted):
    layer, interaction = build(factored=factored), FMInteraction()
    weights = tf.constant(WEIGHTS) if weighted else None

    def step(training):
        with tf.GradientTape() as tape:
            outputs = layer(IDS, weights, VALUES, training=training)
            assert training == (known_products(outputs[0]) is not None)
            logits = interaction(outputs[0], training=training)
            loss = tf.reduce_sum(tf.square(logits))
            loss += sum(tf.reduce_sum(tf.square(x)) for x in outputs)
        gradient = tape.gradient(loss, layer.embeddings.value)
        return [logits, *outputs, tf.convert_to_tensor(gradient)]

    # Which has TensorFlow's own operations, and their gradients.
    for ours, theirs in zip(step(True), step(False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_interaction_takes_what_is_known():
    layer = build()

    def logits():
        embeddings, _ = layer(IDS, None, VALUES, training=True)
        return FMInteraction()(embeddings, training=True)

    graph = tf.function(logits, autograph=False).get_concrete_function().graph

    calls = [op for op in graph.get_operations() if "Call" in op.type]
    assert not calls  # of what XLA compiles


def test_inference_has_none_of_ours():
    # The C++ of TensorFlow Serving could not load an export.
    layer = build()

    graph = (
        tf.function(lambda: layer(IDS, None, VALUES), autograph=False)
        .get_concrete_function()
        .graph
    )

    types = {op.type for op in graph.get_operations()}
    assert not [x for x in types if x.startswith("Deepfm")]


def test_the_gradient_of_weights_from_outside_is_an_error():
    layer, weights = build(), tf.constant(WEIGHTS)
    compiled = tf.function(
        lambda weights: layer(IDS, weights, VALUES, training=True)[0],
        autograph=False,
    )
    compiled(weights)

    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = tf.reduce_sum(compiled(weights))
        with pytest.raises(
            tf.errors.UnimplementedError, match="DEEPFM_TF_KERNELS=off"
        ):
            tape.gradient(outputs, weights)
