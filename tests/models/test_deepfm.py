"""Tests of DeepFM alone; `test_conformance` has those of every model."""

import inspect

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.export.scoring import make_score
from deepfm_tf.models import deepfm
from deepfm_tf.optimizers import LazyAdam
from tests.benchmarks.bench_l2 import frappe_shaped
from tests.catalogue import build
from tests.conftest import make_log
from tests.plain_keras import plain_deepfm
from tests.test_conformance import expected_probability, randomize

FIELDS = tuple(
    deepfm_tf.CategoricalField(name, vocabulary_size=size)
    for name, size in (("a", 4), ("b", 3), ("c", 5))
)
SCHEMA = deepfm_tf.Schema(FIELDS, label="y")
IDS = {"ids": np.array([[1, 2, 3], [0, 0, 4], [3, 1, 0]], "int32")}


def test_defaults_are_those_of_the_default_preset():
    parameters = inspect.signature(deepfm_tf.DeepFM).parameters
    many = deepfm_tf.choose_preset("DeepFM", SCHEMA, num_examples=10**6)

    defaults = {name: p.default for name, p in parameters.items()}

    assert many.model_arguments().items() <= defaults.items()
    assert defaults["hidden_units"] == (128, 64)
    assert defaults["activation"] == "relu"


def test_one_table_feeds_both_parts():
    model = deepfm_tf.DeepFM(
        SCHEMA, embedding_dim=2, hidden_units=(4,), batch_normalization=False
    )

    tables = [w for w in model.weights if w.path.endswith("embeddings")]

    # The latent vectors and, as a last column, the first-order weights.
    assert [tuple(table.shape) for table in tables] == [(12, 3)]
    # 12 rows of 2 + 1, the bias, 6 -> 4 -> 1.
    assert model.count_params() == 12 * 3 + 1 + (6 * 4 + 4) + (4 + 1)


def test_without_the_pyramids_output_it_is_fm():
    model = deepfm_tf.DeepFM(SCHEMA, embedding_dim=2)
    machine = deepfm_tf.FM(SCHEMA, embedding_dim=2)
    for name in ("shared_embedding", "linear_term"):
        machine.get_layer(name).set_weights(model.get_layer(name).get_weights())
    output = model.dense_pyramid.output_layer
    output.set_weights([np.zeros(w.shape) for w in output.get_weights()])

    probability = model(IDS)["probability"]

    np.testing.assert_array_equal(probability, machine(IDS)["probability"])


def test_dropout_acts_in_training_alone():
    deepfm_tf.set_seed(0)
    model = build("DeepFM", SCHEMA, dropout=0.9, hidden_units=(64,))
    whole = model(IDS, training=False)["probability"]

    dropped = model(IDS, training=True)["probability"]

    assert np.abs(np.subtract(whole, dropped)).max() > 1e-3
    np.testing.assert_array_equal(whole, model(IDS)["probability"])


def test_batch_normalization_learns_moving_averages():
    model = deepfm_tf.DeepFM(SCHEMA, hidden_units=(4, 4, 4))

    names = [weight.name for weight in model.non_trainable_weights]

    assert names == ["moving_mean", "moving_variance"] * 3


WIDE = {"hidden_units": (deepfm.FACTORED_UNITS, 3)}


@pytest.mark.parametrize("training", [False, True])
def test_a_wide_pyramid_gives_the_papers_sums(training, vocabulary):
    packed = deepfm_tf.encode(make_log(41, seed=9), vocabulary)
    packed["values"][:3] = [[np.nan], [np.inf], [-40.0]]
    model = build("DeepFM", vocabulary.schema, **WIDE)
    randomize(model)

    probability = model(packed, training=training)["probability"]

    assert model.shared_embedding.factored
    expected = expected_probability("DeepFM", model, packed)
    np.testing.assert_allclose(probability[:, 0], expected, atol=2e-6)


def test_factors_change_the_cost_of_training_alone(
    small_vocabulary, monkeypatch
):
    dataset = deepfm_tf.dataset_from_memory(make_log(128), small_vocabulary, 64)
    models = []
    for least in (deepfm.FACTORED_UNITS, 10**6):
        monkeypatch.setattr(deepfm, "FACTORED_UNITS", least)
        model = build("DeepFM", small_vocabulary.schema, **WIDE)
        randomize(model)
        model.compile(
            keras.optimizers.SGD(0.1), "binary_crossentropy", run_eagerly=True
        )
        model.fit(dataset, verbose=0, shuffle=False)
        models.append(model)

    factored, plain = models
    assert factored.shared_embedding.factored
    assert not plain.shared_embedding.factored
    for a, b in zip(factored.weights, plain.weights, strict=True):
        assert a.path == b.path
        # Two steps, the sums in another order.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    packed = deepfm_tf.encode(make_log(41, seed=9), small_vocabulary)
    np.testing.assert_allclose(
        make_score(factored)(packed),
        factored(packed, training=False)["probability"][:, 0],
        atol=1e-6,
    )


def test_without_numeric_fields_nothing_is_factored():
    model = deepfm_tf.DeepFM(SCHEMA, embedding_dim=2, **WIDE)

    assert not model.shared_embedding.factored


def few_fields(num_rows):
    """Four fields of Frappe's ten: six pairs to trace in place of 45."""
    schema, packed, label = frappe_shaped(num_rows)
    chosen = [1, 2, 7, 8]
    fields = tuple(schema.fields[i] for i in chosen)
    ids = np.ascontiguousarray(packed["ids"][:, chosen])
    return deepfm_tf.Schema(fields, schema.label), {"ids": ids}, label


# Steps of a graph, whose trace takes longer than them, are the same.
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_with_l2_on_the_table_it_learns_as_in_plain_keras(clip_norm):
    l2, batch = 0.05, 128
    schema, packed, label = few_fields(batch * 3)
    deepfm_tf.set_seed(1)
    model = deepfm_tf.DeepFM(
        schema,
        hidden_units=(16,),
        dropout=0.2,
        batch_normalization=True,
        embeddings_regularizer=keras.regularizers.L2(l2 / 2),
    )
    twin = plain_deepfm(model, l2)
    before = model.shared_embedding.embeddings.numpy()
    deepfm_tf.compile_model(model, learning_rate=1e-3, clip_norm=clip_norm)
    twin.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=clip_norm),
        "binary_crossentropy",
        jit_compile=False,
    )
    model.run_eagerly = twin.run_eagerly = True

    data = deepfm_tf.dataset_from_ids(packed, label, schema, batch)
    losses = [
        (model.train_on_batch(*one), twin.train_on_batch(*one))
        for one in data.take(3)
    ]

    ours, theirs = np.array(losses, "float64").T
    # Adam takes the rounding of a gradient near zero for a whole step.
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[-1] < ours[0]
    # Dense: rows that no batch held have moved too.
    after = model.shared_embedding.embeddings.numpy()
    assert np.all(np.any(after[:, :-1] != before[:, :-1], axis=1))


@pytest.mark.replicas
def test_l2_on_the_table_is_the_same_on_two_replicas():
    schema, packed, label = few_fields(64)
    data = deepfm_tf.dataset_from_ids(packed, label, schema, 32)
    tables = []
    for replicas in (1, 2):
        with deepfm_tf.create_strategy(replicas).scope():
            deepfm_tf.set_seed(1)
            model = deepfm_tf.DeepFM(
                schema,
                hidden_units=(4,),
                dropout=0.0,
                embeddings_regularizer=keras.regularizers.L2(0.025),
            )
            # Steps that follow the gradient, not its sign.
            rule = LazyAdam(0.01, epsilon=0.01)
            model.compile(rule, "binary_crossentropy", run_eagerly=True)
        model.fit(data, verbose=0, shuffle=False)
        tables.append(model.shared_embedding.embeddings.numpy())

    np.testing.assert_allclose(*tables, atol=1e-6)
