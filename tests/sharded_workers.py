"""What the workers of the tests do with tables that they share out."""

from __future__ import annotations

import keras
import numpy as np

import deepfm_tf
from deepfm_tf import strategies
from deepfm_tf.errors import UserError
from tests.workers import BATCH_SIZE, trace_quickly

# Optimizer, and the norm that gradients are clipped to.
CASES = {
    2: (("lazy_adam", None), ("rowwise_adagrad", 0.1)),
    3: (("rowwise_adagrad", None),),
}


def model_of(schema, case):
    """A small DeepFM, compiled."""
    optimizer, clip_norm = case
    deepfm_tf.set_seed(1)
    model = deepfm_tf.DeepFM(
        schema,
        embedding_dim=4,
        hidden_units=(8,),
        dropout=0.0,
        batch_normalization=False,
    )
    deepfm_tf.compile_model(model, optimizer, 0.05, clip_norm=clip_norm)
    return model


def learn(folder):
    """Train one model a case; keep its losses and what the chief has of it."""
    trace_quickly()
    strategy = deepfm_tf.create_strategy(shard_tables=True)
    index, count = strategy.cluster.index, strategy.cluster.num_workers
    data = deepfm_tf.PreparedData.load(folder / "train")
    kept = {}
    for name, case in enumerate(CASES[count]):
        with strategy.scope():
            model = model_of(data.schema, case)
        history = model.fit(
            data.distributed(strategy, BATCH_SIZE),
            epochs=2,
            shuffle=False,
            verbose=0,
        )
        kept[f"{name} loss"] = history.history["loss"]
        alone = strategies.on_one_host(model)
        assert (alone is None) == (index > 0)
        for number, weight in enumerate(alone.weights if alone else ()):
            kept[f"{name} weight {number}"] = weight.numpy()
        held = model.embedding_layer.embeddings.shape[0]
        kept[f"{name} held"] = held
    metrics = deepfm_tf.evaluate(model, data.dataset(BATCH_SIZE))
    kept["metrics"] = [metrics["auc"], metrics["log_loss"], metrics["rows"]]
    kept["refused"] = [refusal(strategy, model, data, kind) for kind in REFUSED]
    np.savez(folder / f"{index}.npz", **kept)
    return 0


REFUSED = ("adam", "keras", "clipnorm", "regularizer", "call")


def refusal(strategy, model, data, kind):
    """What is said of a mistake."""
    batch = next(iter(data.dataset(BATCH_SIZE)))
    try:
        with strategy.scope():
            if kind == "adam":
                model_of(data.schema, ("adam", None))
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
