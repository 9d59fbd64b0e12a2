"""L2 on the whole table: beside plain Keras loss by loss, and its cost."""

from __future__ import annotations

import time

import keras
import numpy as np

import deepfm_tf
from tests.plain_keras import plain_deepfm

# Frappe_x1: 10 fields, 5,382 features, 202,027 rows of training data.
SIZES = (957, 4082, 7, 7, 2, 3, 9, 80, 233, 2)
ROWS = 202_027
BATCH, L2 = 4096, 0.05


def frappe_shaped(num_rows: int = ROWS, seed: int = 0):
    """A schema, and ids and labels with planted second-order effects."""
    random = np.random.default_rng(seed)
    ids = np.stack(
        [
            np.minimum(random.zipf(1.3, num_rows) - 1, size - 1)
            if size > 100
            else random.integers(0, size, num_rows)
            for size in SIZES
        ],
        axis=1,
    ).astype("int32")
    planted = [random.normal(0, 0.5, (size, 4)) for size in SIZES]
    vectors = np.stack(
        [part[ids[:, i]] for i, part in enumerate(planted)], axis=1
    )
    logits = (vectors.sum(1) ** 2 - (vectors**2).sum(1)).sum(-1) - 2.0
    label = random.random(num_rows) < 1 / (1 + np.exp(-logits))
    schema = deepfm_tf.Schema(
        tuple(
            deepfm_tf.CategoricalField(f"field_{i}", vocabulary_size=size)
            for i, size in enumerate(SIZES)
        ),
        label="used",
    )
    return schema, {"ids": ids}, label.astype("float32")


def recipe_model(schema, dropout=0.2):
    """The benchmark's DeepFM for Frappe."""
    return deepfm_tf.DeepFM(
        schema,
        embedding_dim=10,
        hidden_units=(400, 400, 400),
        dropout=dropout,
        batch_normalization=True,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=1e-4),
        embeddings_regularizer=keras.regularizers.L2(L2 / 2),
    )


def main() -> None:
    """Print losses side by side, then the seconds of an epoch of each."""
    schema, packed, label = frappe_shaped()
    data = deepfm_tf.dataset_from_ids(
        packed, label, schema, BATCH, shuffle=True
    )
    deepfm_tf.set_seed(1)
    model = recipe_model(schema)
    twin = plain_deepfm(model, L2)
    deepfm_tf.compile_model(model, learning_rate=0.001)
    twin.compile(
        keras.optimizers.Adam(0.001), "binary_crossentropy", jit_compile=False
    )
    largest = 0.0
    for epoch in range(2):
        for step, (inputs, labels) in enumerate(data):
            ours = float(model.train_on_batch(inputs, labels))
            theirs = float(twin.train_on_batch(inputs, labels))
            largest = max(largest, abs(ours - theirs) / theirs)
            if step % 12 == 0:
                print(
                    f"epoch {epoch} step {step:2d}  ours {ours:.6f}  "
                    f"plain Keras {theirs:.6f}"
                )
    print(f"largest relative difference of a loss: {largest:.1e}")
    for name, each in (("ours", model), ("plain Keras", twin)):
        each.fit(data, epochs=1, verbose=0, shuffle=False)
        begin = time.perf_counter()
        each.fit(data, epochs=3, verbose=0, shuffle=False)
        seconds = (time.perf_counter() - begin) / 3
        print(f"{name}: {seconds:.2f} s per epoch, L2 on the whole table")
    deepfm_tf.set_seed(1)
    lazy = deepfm_tf.DeepFM(
        schema, 10, (400, 400, 400), dropout=0.2, batch_normalization=True
    )
    deepfm_tf.compile_model(lazy, learning_rate=0.001)
    lazy.fit(data, epochs=1, verbose=0, shuffle=False)
    begin = time.perf_counter()
    lazy.fit(data, epochs=3, verbose=0, shuffle=False)
    seconds = (time.perf_counter() - begin) / 3
    print(f"ours: {seconds:.2f} s per epoch, no L2")


if __name__ == "__main__":
    main()
