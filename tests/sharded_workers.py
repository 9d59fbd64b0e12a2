"""What the workers of the tests do with tables that they share out."""

from __future__ import annotations

import keras
import numpy as np

import deepfm_tf
from deepfm_tf import strategies
from deepfm_tf.callbacks.checkpoints import Checkpoints
from deepfm_tf.cluster import read_cluster
from deepfm_tf.copies import TOUCHED
from deepfm_tf.errors import UserError
from tests.workers import BATCH_SIZE, model_of, trace_quickly

# Optimizer, and the norm that gradients are clipped to.
CASES = (("lazy_adam", None), ("lazy_ftrl", 0.1))
SAVED = ("rowwise_adagrad", None)


def begin(folder):
    """The strategy and the data."""
    trace_quickly()
    strategy = deepfm_tf.create_strategy(shard_tables=True)
    return strategy, deepfm_tf.PreparedData.load(folder / "train")


def fit(strategy, model, data, epochs, first_epoch=0, callbacks=()):
    """Train a model; its losses, what the chief has of it, and rows held."""
    history = model.fit(
        data.distributed(strategy, BATCH_SIZE),
        initial_epoch=first_epoch,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    # As early stopping does, to go back to the best epoch.
    weights = model.get_weights()
    model.set_weights([np.zeros_like(weight) for weight in weights])
    model.set_weights(weights)
    alone = strategies.on_one_host(model)
    assert (alone is None) == (strategy.cluster.index > 0)
    weights = alone.weights if alone else ()
    metrics = deepfm_tf.evaluate(model, data.dataset(BATCH_SIZE))
    return {
        "loss": history.history["loss"],
        "held": model.embedding_layer.embeddings.shape[0],
        "touched": getattr(alone, TOUCHED, ()),
        "metrics": [metrics["auc"], metrics["log_loss"], metrics["rows"]],
        **{str(n): weight.numpy() for n, weight in enumerate(weights)},
    }


def go_on(folder):
    """Train one more epoch of the model that others have kept."""
    strategy, data = begin(folder)
    with strategy.scope():
        model, epoch = deepfm_tf.load_checkpoint(folder / "saved")
    callbacks = [Checkpoints(folder / "saved")]
    kept = fit(strategy, model, data, epoch + 1, epoch, callbacks)
    name = f"epoch {epoch + 1} {strategy.cluster.index}.npz"
    np.savez(folder / name, **kept)
    return 0


def learn(folder):
    """The same, then other models, and what is refused."""
    go_on(folder)
    strategy, data = begin(folder)
    index = strategy.cluster.index
    for number, case in enumerate(CASES):
        with strategy.scope():
            model = model_of(data.schema, *case)
        kept = fit(strategy, model, data, 2)
        np.savez(folder / f"{number} {index}.npz", **kept)
    told = [refusal(strategy, model, data, kind) for kind in REFUSED]
    np.save(folder / f"refused {index}.npy", told)
    return 0


def disagree():
    """The chief alone would share out its tables."""
    try:
        deepfm_tf.create_strategy(shard_tables=read_cluster().is_chief)
    except UserError as error:
        print(error)
        return 2


REFUSED = ("adam", "keras", "clipnorm", "regularizer", "call")


def refusal(strategy, model, data, kind):
    """What is said of a mistake."""
    batch = next(iter(data.dataset(BATCH_SIZE)))
    try:
        with strategy.scope():
            if kind == "adam":
                model_of(data.schema, "adam", None)
            elif kind == "keras":
                model.compile(keras.optimizers.SGD(), "binary_crossentropy")
            elif kind == "clipnorm":
                rule = deepfm_tf.optimizers.LazyAdam(clipnorm=1.0)
                rule.build(model.trainable_variables)
            elif kind == "regularizer":
                deepfm_tf.FM(data.schema, embeddings_regularizer="l2")
        if kind == "keras":
            model.fit(
                data.distributed(strategy, BATCH_SIZE), verbose=0, shuffle=False
            )
        if kind == "call":
            model(batch[0])
    except UserError as error:
        return str(error)
