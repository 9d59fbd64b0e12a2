"""One rule for embeddings, one for first order, one for the rest."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.layers import SharedEmbedding
from deepfm_tf.optimizers import (
    CompositeOptimizer,
    LazyAdam,
    LazyFTRL,
    LazyOptimizer,
    RowwiseAdagrad,
)
from tests.catalogue import build
from tests.conftest import make_log
from tests.optimizers import rules

ROWS = [[1, 4, 1], [4, 5, 0]]


class LazySGD(LazyOptimizer, keras.optimizers.SGD):
    """A rule whose steps are plain to see."""

    def state_columns(self, num_columns):
        return 1

    def update_rows(self, gradient, values, state, learning_rate):
        return values - learning_rate * gradient, state


def composite(**options):
    return CompositeOptimizer(
        embeddings=LazyAdam(learning_rate=0.1, weight_decay=0.2),
        first_order=LazyFTRL(learning_rate=0.3, l1_regularization_strength=0.1),
        dense=keras.optimizers.SGD(learning_rate=0.5),
        **options,
    )


def joint_table():
    # Of some tables, Adam makes a rounding into more than the tolerance.
    keras.utils.set_random_seed(0)
    layer = SharedEmbedding((6,), embedding_dim=3, first_order=True)
    layer.build((None, 1))
    return layer.embeddings


def test_each_part_follows_its_own_rule():
    table = joint_table()
    bias = keras.Variable(np.ones(2), name="bias", dtype="float32")
    random = np.random.default_rng(0)
    latent, first = np.split(table.numpy().astype("float64"), [3], axis=1)
    adam, ftrl = rules.Adam(0.1, decay=0.2), rules.FTRL(0.3, l1=0.1)
    expected_bias = np.ones(2)
    rule = composite()

    for t, rows in enumerate(ROWS, 1):
        gradient = random.normal(size=(3, 4))
        dense = random.normal(size=2)
        slices = tf.IndexedSlices(
            tf.constant(gradient, "float32"),
            tf.constant(rows),
            tf.constant([6, 4]),
        )
        rule.apply([slices, tf.constant(dense, "float32")], [table, bias])
        adam.step(latent, rules.merged(rows, gradient[:, :3]), t)
        ftrl.step(first, rules.merged(rows, gradient[:, 3:]), t)
        expected_bias -= 0.5 * dense

    np.testing.assert_allclose(
        table.numpy(), np.hstack([latent, first]), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(bias.numpy(), expected_bias, rtol=1e-6)


def test_the_table_of_a_linear_term_is_all_first_order(vocabulary):
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    rule = composite()

    rule.build(model.trainable_variables)

    state = [v.shape for v in rule.variables if len(v.shape) == 2]
    assert state == [(sum(vocabulary.schema.vocabulary_sizes), 2)]


def test_the_learning_rate_multiplies_those_of_all_three(small_vocabulary):
    log = make_log(64)
    packed = deepfm_tf.encode(log, small_vocabulary)
    label = log["clicked"].to_numpy("float32")[:, None]
    moved = {}
    deepfm_tf.set_seed(0)
    model = build("DeepFM", small_vocabulary.schema, hidden_units=(4,))
    before = model.get_weights()
    for scale in (1.0, 0.1, 0.0):
        model.set_weights(before)
        rule = CompositeOptimizer(
            LazyAdam(), RowwiseAdagrad(), keras.optimizers.SGD()
        )
        model.compile(rule, "binary_crossentropy", run_eagerly=True)
        rule.learning_rate = scale
        model.train_on_batch(packed, label)
        moved[scale] = [
            b - a for a, b in zip(before, model.get_weights(), strict=True)
        ]

    for factor in (0.1, 0.0):
        for whole, part in zip(moved[1.0], moved[factor], strict=True):
            assert np.any(whole != 0)
            np.testing.assert_allclose(
                part, factor * whole, rtol=0.01, atol=3e-7
            )


def test_training_goes_on_from_a_file_as_if_undisturbed(
    small_vocabulary, tmp_path
):
    log = make_log(64)
    packed = deepfm_tf.encode(log, small_vocabulary)
    label = log["clicked"].to_numpy("float32")[:, None]
    deepfm_tf.set_seed(0)
    model = deepfm_tf.DeepFM(
        small_vocabulary.schema, hidden_units=(4,), dropout=0.0, embedding_dim=2
    )
    model.compile(
        composite(global_clipnorm=0.5),
        loss="binary_crossentropy",
        run_eagerly=True,
    )
    model.train_on_batch(packed, label)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")

    for each in (model, restored):
        each.train_on_batch(packed, label)

    assert restored.optimizer.get_config() == model.optimizer.get_config()
    for a, b in zip(model.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# Of three kinds, two of which depend on the number of the step. With a large
# epsilon Adam's steps follow the gradient, and do not blow the rounding of a
# near-zero one up to a step.
@pytest.mark.replicas
def test_two_replicas_equal_one(small_vocabulary):
    dataset = deepfm_tf.dataset_from_memory(make_log(64), small_vocabulary, 32)
    weights = []

    for replicas in (1, 2):
        with deepfm_tf.create_strategy(replicas).scope():
            deepfm_tf.set_seed(3)
            model = deepfm_tf.FM(small_vocabulary.schema, embedding_dim=3)
            rule = CompositeOptimizer(
                LazyAdam(0.01, epsilon=0.01, weight_decay=0.1),
                LazyFTRL(),
                keras.optimizers.Adam(0.01, epsilon=0.01),
                global_clipnorm=0.05,
            )
            model.compile(rule, loss="binary_crossentropy", jit_compile=False)
        model.fit(dataset, verbose=0, shuffle=False)
        weights.append(model.get_weights())
        for part in (rule, rule.embeddings, rule.first_order, rule.dense):
            assert part.iterations.numpy() == 2

    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


KERAS_RULES = [
    name
    for name in (
        *("SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax"),
        *("Nadam", "Ftrl", "Lion", "Lamb", "Adafactor", "Muon"),
        "ScheduleFreeAdamW",
    )
    if hasattr(keras.optimizers, name)
    # Keras 3.12's Muon fails by itself too, on a plain variable.
    and not (name == "Muon" and keras.__version__.startswith("3.12."))
]


def new_weights():
    keras.utils.set_random_seed(0)
    return [
        keras.Variable(np.ones((4, 2)), name="embeddings", dtype="float32"),
        keras.Variable(
            np.random.normal(size=(3, 4)), name="kernel", dtype="float32"
        ),
        keras.Variable(np.ones(4), name="bias", dtype="float32"),
    ]


@keras.saving.register_keras_serializable("tests")
def constant_rate():
    return 0.01


# Each rule with one of the kinds of rate, in turn: any of them goes one way.
# Here the plainest one, those with most state of their own, and those that
# other rules are made of; all of them where CI runs.
HERE = {"SGD", "RMSprop", "Adam", "Nadam", "Muon", "ScheduleFreeAdamW"}


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        pytest.param(
            name, rate, marks=[] if name in HERE else [pytest.mark.long]
        )
        for name, rate in zip(
            KERAS_RULES,
            itertools.cycle(["schedule", "number", "function"]),
            strict=False,
        )
    ],
)
def test_dense_weights_get_the_whole_rule_also_after_a_restart(name, rate):
    rate = {
        "number": 0.05,
        "schedule": keras.optimizers.schedules.CosineDecay(0.05, 10),
        "function": constant_rate,
    }[rate]
    # One that says 1 always, so that the rates are those of the three.
    scale = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 1.0)
    kind = getattr(keras.optimizers, name)
    decay = {"weight_decay": 0.1}
    rule, weights = kind(rate, **decay), new_weights()
    ours, ours_weights = (
        CompositeOptimizer(
            LazyAdam(rate), LazyFTRL(rate), kind(rate, **decay), scale
        ),
        new_weights(),
    )
    random = np.random.default_rng(0)

    for step in range(2):
        dense = [
            tf.constant(random.normal(size=w.shape), "float32")
            for w in weights[1:]
        ]
        slices = tf.IndexedSlices(
            tf.ones((1, 2)), tf.constant([1]), tf.constant([4, 2])
        )
        rule.apply(dense, weights[1:])
        ours.apply([slices, *dense], ours_weights)
        if step == 0:
            ours = restarted(ours, ours_weights)

    for found, right in zip(ours_weights[1:], weights[1:], strict=True):
        assert np.isfinite(right.numpy()).all()
        np.testing.assert_array_equal(found.numpy(), right.numpy())


def restarted(optimizer, weights):
    """As Keras loads one from a file."""
    store = {}
    optimizer.save_own_variables(store)
    config = keras.saving.serialize_keras_object(optimizer)
    optimizer = keras.saving.deserialize_keras_object(config)
    optimizer.build(weights)
    optimizer.load_own_variables(store)
    return optimizer


def test_the_learning_rate_multiplies_the_decay_of_dense_weights():
    nothing = [tf.zeros(4)]
    for scale, kept in ((1.0, 1 - 0.1 * 0.5), (0.5, 1 - 0.1 * 0.5 * 0.5)):
        rule = CompositeOptimizer(
            LazyAdam(),
            LazyFTRL(),
            keras.optimizers.SGD(0.5, weight_decay=0.1),
            scale,
        )
        bias = keras.Variable(np.ones(4), name="bias", dtype="float32")

        rule.apply(nothing, [bias])

        np.testing.assert_allclose(bias.numpy(), kept, rtol=1e-6)


def test_one_optimizer_twice_is_refused():
    rule = LazyAdam()
    with pytest.raises(ValueError, match="three optimizers. Received one of"):
        CompositeOptimizer(rule, rule, keras.optimizers.SGD())


@pytest.mark.parametrize(
    ("part", "optimizer", "error", "message"),
    [
        ("embeddings", keras.optimizers.Adam(), TypeError, "a LazyOptimizer"),
        ("dense", "adam", TypeError, "`dense` must be a .*'adam'"),
        ("first_order", LazyFTRL(clipnorm=1.0), ValueError, "have `clipnorm`"),
        ("dense", keras.optimizers.SGD(use_ema=True), ValueError, "`use_ema`"),
        (
            "dense",
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
            TypeError,
            "`dense` must update .* Received: LossScaleOptimizer",
        ),
        (
            "dense",
            keras.optimizers.SGD(gradient_accumulation_steps=2),
            ValueError,
            "`gradient_accumulation_steps`",
        ),
    ],
)
def test_parts_that_act_on_all_variables_are_refused(
    part, optimizer, error, message
):
    parts = {
        "embeddings": LazyAdam(),
        "first_order": LazyFTRL(),
        "dense": keras.optimizers.Adam(),
    }
    with pytest.raises(error, match=message):
        CompositeOptimizer(**(parts | {part: optimizer}))


@pytest.mark.parametrize("option", ["weight_decay", "batch_l2"])
def test_decay_for_all_is_refused(option):
    with pytest.raises(ValueError, match=f"`{option}` must be given to"):
        composite(**{option: 0.1})


def test_a_penalty_of_first_order_weights_may_come_with_the_embeddings():
    """As `Preset.compile_arguments` has both."""
    both = {"batch_l2": 0.3, "first_order_l2": 0.02}
    random = np.random.default_rng(0)
    rows, gradient = [1, 4], random.normal(size=(2, 4))
    slices = tf.IndexedSlices(
        tf.constant(gradient, "float32"), tf.constant(rows), tf.constant([6, 4])
    )
    for vectors, first_order, expected in (
        (both, {}, 0.02),
        ({"batch_l2": 0.3}, both, 0.02),
        (both, {"batch_l2": 0.07}, 0.07),
        ({"batch_l2": 0.3}, {}, 0.0),
    ):
        table = joint_table()
        before = table.numpy()[rows]
        rule = CompositeOptimizer(
            *(
                LazySGD(learning_rate=0.1, **l2)
                for l2 in (vectors, first_order)
            ),
            keras.optimizers.SGD(),
        )

        rule.apply([slices], [table])

        # The first step, which touches these rows: t / c is 1.
        moved = gradient + [0.3, 0.3, 0.3, expected] * before
        np.testing.assert_allclose(
            table.numpy()[rows], before - 0.1 * moved, rtol=1e-5, atol=1e-7
        )
