"""A model of mixed precision is one of 16 bits in training alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.layers import DensePyramid, FirstOrderBias
from deepfm_tf.models import CTRModel, packed_inputs, shared_embedding
from deepfm_tf.models.training_precision import TrainingPrecision
from tests.catalogue import MODELS, build
from tests.conftest import make_log
from tests.test_conformance import randomize

MIXED = ("mixed_bfloat16", "mixed_float16")


class Seen(keras.layers.Layer):
    """Notes what it gets; `fails` once if told to."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dtypes, self.fails = [], False

    def call(self, inputs):
        self.dtypes.append(inputs.dtype.name)
        if self.fails:
            self.fails = False
            raise RuntimeError("not today")
        return inputs


class Around(keras.layers.Layer):
    """A layer of one's own with a layer in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = DensePyramid((4,), dropout=0.0, dtype="mixed_bfloat16")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, inputs):
        return self.inner(inputs)


class Own(CTRModel):
    """A user's own: layers of the model's precision, and of their own."""

    def __init__(self, schema, **kwargs):
        self.shared_embedding = shared_embedding(schema, embedding_dim=2)
        self.linear_term = FirstOrderBias()
        self.flat = keras.layers.Flatten()
        self.seen, self.around = Seen(), Around()
        self.chosen = keras.layers.Dense(4, "tanh", dtype="mixed_bfloat16")
        inputs, features = packed_inputs(schema)
        embeddings, linear = self.shared_embedding(**features)
        logits = self.linear_term(linear) + self.deep_logits(embeddings)
        super().__init__(schema, inputs, logits, **kwargs)

    def deep_logits(self, embeddings):
        hidden = self.seen(self.chosen(self.flat(embeddings)))
        return self.around(hidden)


@pytest.fixture(scope="module")
def packed(small_vocabulary):
    return deepfm_tf.encode(make_log(30, seed=4), small_vocabulary)


LABELS = (np.arange(30) % 3 == 0).astype("float32")[:, None]


def pair_of(name, schema, policy="mixed_bfloat16", **arguments):
    """A model of mixed precision, and that of float32 with its weights."""
    if name not in ("FM", "LogisticRegression"):
        arguments = {"batch_normalization": True, "dropout": 0.5, **arguments}
    mixed = build(name, schema, dtype=policy, **arguments)
    plain = build(name, schema, **arguments)
    randomize(mixed)
    mixed.set_weights([abs(weight) for weight in mixed.get_weights()])
    plain.set_weights(mixed.get_weights())
    return mixed, plain


@pytest.mark.parametrize("policy", MIXED)
@pytest.mark.parametrize("name", MODELS)
def test_inference_is_that_of_a_float32_model(
    name, policy, small_vocabulary, packed
):
    mixed, plain = pair_of(name, small_vocabulary.schema, policy)

    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(
            mixed(packed, **arguments)["probability"],
            plain(packed)["probability"],
        )
    assert mixed.dtype_policy.name == policy


def test_predict_and_evaluate_are_those_of_a_float32_model(
    small_vocabulary, packed
):
    mixed, plain = pair_of("DeepFM", small_vocabulary.schema)
    mixed.compile(loss="binary_crossentropy")
    dataset = tf.data.Dataset.from_tensors((packed, LABELS))

    probability = mixed.predict(dataset, verbose=0)["probability"]
    loss = mixed.evaluate(dataset, verbose=0)
    log_loss = deepfm_tf.evaluate(mixed, dataset)["log_loss"]

    expected = plain(packed)["probability"].numpy()
    chosen = np.where(LABELS == 1, expected, 1 - expected).astype("float64")
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    np.testing.assert_allclose(
        [loss, log_loss], -np.log(chosen).mean(), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["DeepFM", "WideAndDeep", "NFM"])
def test_training_computes_in_16_bits(name, small_vocabulary, packed):
    mixed, plain = pair_of(name, small_vocabulary.schema, dropout=0.0)

    ours, theirs = (
        np.asarray(model(packed, training=True)["probability"])
        for model in (mixed, plain)
    )

    # bfloat16 has 8 bits.
    assert 1e-6 < np.abs(ours - theirs).max() < 5e-2


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("float32", ["float32"]),
        ("mixed_bfloat16", ["bfloat16", "float32"]),
        ("mixed_float16", ["float16", "float32"]),
    ],
)
def test_layers_of_ones_own_model_train_in_its_precision(
    policy, expected, small_vocabulary, packed
):
    model = Own(small_vocabulary.schema, dtype=policy)
    model.compile("sgd", loss="binary_crossentropy")
    dataset = tf.data.Dataset.from_tensors((packed, LABELS))
    model.seen.dtypes.clear()

    model.fit(dataset, shuffle=False, validation_data=dataset, verbose=0)

    # Of the traces of a training step, and then of validation.
    assert list(dict.fromkeys(model.seen.dtypes)) == expected


def test_a_precision_that_a_layer_was_given_is_for_training_too(
    small_vocabulary, packed
):
    model = Own(small_vocabulary.schema)
    hidden = model.chosen(np.ones((1, 6), "float32"))

    logits = model.around(hidden)

    # The pyramid within `around`, too.
    assert (hidden.dtype, logits.dtype) == ("float32", "float32")
    assert model.chosen.dtype_policy.name == "mixed_bfloat16"
    assert model.around.inner.dtype_policy.name == "mixed_bfloat16"
    trained, inferred = (
        np.asarray(model(packed, training=training)["probability"])
        for training in (True, False)
    )
    assert np.abs(trained - inferred).max() > 1e-6


def test_a_layer_that_fails_leaves_nothing_behind(small_vocabulary, packed):
    model = Own(small_vocabulary.schema, dtype="mixed_bfloat16")
    model.seen.dtypes.clear()
    model.seen.fails = True

    with pytest.raises(RuntimeError, match="not today"):
        model(packed, training=True)
    model(packed)

    assert model.seen.dtypes == ["bfloat16", "float32"]


def test_a_layer_by_itself_is_keras_s():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")

    assert layer(np.ones((1, 2), "float32")).dtype == "bfloat16"


def test_the_policy_is_kept_in_configs(small_vocabulary):
    model = build("DeepFM", small_vocabulary.schema, dtype="mixed_bfloat16")
    config = keras.dtype_policies.serialize(model.dtype_policy)

    policy = keras.dtype_policies.deserialize(config)
    layer = DensePyramid.from_config(model.dense_pyramid.get_config())

    assert policy == TrainingPrecision("mixed_bfloat16")
    assert layer.dtype_policy.name == "mixed_bfloat16"


def test_validation_in_fit_is_that_of_a_float32_model(small_vocabulary, packed):
    mixed, plain = pair_of("DeepFM", small_vocabulary.schema)
    dataset = tf.data.Dataset.from_tensors((packed, LABELS))
    deepfm_tf.compile_model(mixed)

    history = mixed.fit(
        dataset,
        shuffle=False,
        verbose=0,
        callbacks=[deepfm_tf.callbacks.ValidationMetrics(dataset)],
    ).history

    plain.set_weights(mixed.get_weights())
    expected = deepfm_tf.evaluate(plain, dataset)["log_loss"]
    np.testing.assert_allclose(history["val_log_loss"], expected, rtol=1e-6)


@pytest.mark.replicas
def test_replicas_train_in_16_bits_and_validate_in_float32(
    small_vocabulary, packed
):
    with deepfm_tf.create_strategy(2).scope():
        model = Own(small_vocabulary.schema, dtype="mixed_bfloat16")
        deepfm_tf.compile_model(model)
    dataset = tf.data.Dataset.from_tensors((packed, LABELS)).unbatch().batch(30)
    model.seen.dtypes.clear()

    model.fit(dataset, shuffle=False, validation_data=dataset, verbose=0)

    # Before that, Keras calls the model to learn its outputs' shapes.
    assert model.seen.dtypes[-4:] == ["bfloat16"] * 2 + ["float32"] * 2
