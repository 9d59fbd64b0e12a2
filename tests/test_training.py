"""Compile, and what training promises."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.training import many_steps_a_call
from tests.catalogue import build
from tests.conftest import make_log


@pytest.fixture(scope="module")
def data(small_vocabulary):
    return deepfm_tf.dataset_from_memory(
        make_log(640, 3), small_vocabulary, 128
    )


def fit(model, data, epochs=1, eagerly=False):
    """The loss of each epoch; a step or two need no graph."""
    model.run_eagerly = eagerly
    history = model.fit(data, epochs=epochs, verbose=0, shuffle=False)
    return history.history["loss"]


def test_a_step_is_traced_once(data, small_vocabulary):
    model = build("FM", small_vocabulary.schema)
    deepfm_tf.compile_model(model)
    traced = []
    step = model.train_step
    model.train_step = lambda batch: (traced.append(1), step(batch))[1]

    fit(model, data, epochs=2)

    assert len(traced) == 1
    assert model.optimizer.iterations == 10


def test_steps_taken_together_are_the_same_steps():
    # Keras's own layer: what is taken together is no matter.
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.125), "mse")
    rows = np.array([[1.0], [2.0], [1.0], [0.5]], np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((rows, 2 * rows)).batch(1)
    ends = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(batch)
    )

    with many_steps_a_call(model, 4, 2**15):  # two of them are 2**16 rows
        model.fit(
            dataset.repeat(),
            epochs=2,
            steps_per_epoch=4,
            callbacks=[callback],
            shuffle=False,
            verbose=0,
        )

    weight = 0.0
    for x in [1.0, 2.0, 1.0, 0.5] * 2:
        weight -= 0.125 * 2 * x * (weight * x - 2 * x)
    assert ends == [1, 3, 1, 3]
    np.testing.assert_allclose(layer.kernel[0, 0], weight, rtol=1e-6)
    assert model.steps_per_execution == 1


@pytest.mark.replicas
def test_a_last_batch_that_leaves_a_replica_idle_is_trained_on(
    small_vocabulary,
):
    dataset = deepfm_tf.dataset_from_memory(make_log(129), small_vocabulary, 64)
    with deepfm_tf.create_strategy(2).scope():
        model = build("DeepFM", small_vocabulary.schema)
        deepfm_tf.compile_model(model)

    before = model.get_weights()

    # One epoch: to begin one takes two replicas longer than all these steps.
    loss = fit(model, dataset.repeat(2))

    assert np.isfinite(loss).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).any()
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.optimizer.iterations == 6


def test_seeds_make_runs_repeatable(small_vocabulary, data):
    runs = []
    for _ in range(2):
        deepfm_tf.set_seed(1)
        model = build("DeepFM", small_vocabulary.schema, dropout=0.3)
        deepfm_tf.compile_model(model, learning_rate=0.02)
        # The loss of the second step depends on the first one's dropout.
        runs.append(fit(model, data.take(2), eagerly=True))

    assert runs[0] == runs[1]


@pytest.mark.parametrize("optimizer", deepfm_tf.training.OPTIMIZERS)
def test_every_optimizer_steps(optimizer, small_vocabulary, data):
    model = build("FM", small_vocabulary.schema)
    deepfm_tf.compile_model(model, optimizer, learning_rate=0.02)
    before = model.get_weights()

    # One in a graph: Keras's rules are wrapped alike, and each lazy one steps
    # in a graph in its own tests.
    loss = fit(model, data.take(1), eagerly=optimizer != "adam")

    assert np.isfinite(loss).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        assert (old != new).any()


@pytest.mark.parametrize("optimizer", ["lazy_adam", "adam"])
def test_gradients_are_clipped_by_their_common_norm(
    optimizer, small_vocabulary, data
):
    norms = []
    for clip_norm in (None, 1e-9):
        deepfm_tf.set_seed(1)
        model = build("FM", small_vocabulary.schema)
        before = model.get_weights()
        deepfm_tf.compile_model(model, optimizer, clip_norm=clip_norm)
        fit(model, data.take(1), eagerly=True)
        moved = map(np.subtract, model.get_weights(), before)
        norms.append(np.sqrt(sum(np.sum(part**2) for part in moved)))

    # Next to Adam's epsilon of 1e-7, gradients of 1e-9 are small.
    assert norms[1] < 0.05 * norms[0]


def test_batch_l2_keeps_embeddings_small(small_vocabulary, data):
    norms = []
    for batch_l2 in (None, 0.1):
        deepfm_tf.set_seed(1)
        model = build("FM", small_vocabulary.schema)
        deepfm_tf.compile_model(model, learning_rate=0.05, batch_l2=batch_l2)
        fit(model, data, eagerly=True)
        norms.append(np.linalg.norm(model.embedding_layer.embeddings.numpy()))

    assert norms[1] < 0.7 * norms[0]


@pytest.mark.long
def test_sampled_training_data_leave_probabilities_calibrated(tmp_path):
    # One row in eight is a click, 50,000 of them: a standard deviation of
    # 0.4 %, here and in the rows of the test. A tenth of the negatives is kept.
    random = np.random.default_rng(0)
    site, other = random.integers(0, 8, (2, 400_000))
    click, other_click = (
        random.random(len(sites)) < 1 / (1 + np.exp(3 - 0.25 * sites))
        for sites in (site, other)
    )
    train = deepfm_tf.prepare(
        {"site": site.astype(str), "click": click.astype(int)},
        tmp_path / "train",
        schema=deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "click"),
        part=deepfm_tf.Part(0.0, 1.0, negative_sampling=0.1),
    )
    deepfm_tf.set_seed(1)
    model = deepfm_tf.LogisticRegression(
        train.schema, negative_sampling=train.negative_sampling
    )
    deepfm_tf.compile_model(model, learning_rate=0.05)
    data = train.dataset(4096, shuffle=True)
    fit(model, data, 5)
    # Else the bias wanders by the size of a step.
    model.optimizer.learning_rate = 0.002
    fit(model, data, 3)

    every_site = deepfm_tf.encode(
        {"site": np.arange(8).astype(str)}, train.vocabulary
    )
    served, sampled = (
        np.ravel(model(every_site, training=training)["probability"])
        for training in (False, True)
    )
    clicks = np.sum(other_click)
    assert np.sum(served[other]) / clicks == pytest.approx(1, abs=0.01)
    # What the sampled rows say, of which the model has learnt.
    assert np.sum(sampled[other]) / clicks > 3


@pytest.mark.parametrize(
    ("has_it", "hidden_units", "expected"),
    [
        (True, (400, 400), "mixed_bfloat16"),
        (True, (128, 64), "float32"),
        (True, (), "float32"),
        (False, (400, 400), "float32"),
    ],
)
def test_the_precision_is_half_where_that_pays(
    has_it, hidden_units, expected, monkeypatch
):
    monkeypatch.setattr("deepfm_tf.training.has_bfloat16", lambda: has_it)
    try:
        assert deepfm_tf.set_precision("auto", hidden_units) == expected
        assert keras.config.dtype_policy().name == expected
    finally:
        deepfm_tf.set_precision("float32")


def test_wrong_arguments_are_refused(small_vocabulary):
    model = build("FM", small_vocabulary.schema)
    with pytest.raises(ValueError, match="`optimizer` must be one of lazy"):
        deepfm_tf.compile_model(model, "adamm")
    with pytest.raises(ValueError, match="`learning_rate` must be a positive"):
        deepfm_tf.compile_model(model, learning_rate=0)
    with pytest.raises(ValueError, match="which rows a batch touches: lazy_"):
        deepfm_tf.compile_model(model, "adam", batch_l2=0.1)
    with pytest.raises(ValueError, match="`first_order_l2` must go with"):
        deepfm_tf.compile_model(model, "adam", first_order_l2=0.1)
    with pytest.raises(ValueError, match="`precision` must be one of.*'half'"):
        deepfm_tf.set_precision("half")
