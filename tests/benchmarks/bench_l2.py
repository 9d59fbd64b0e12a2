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


def compiled_as_the_recipe(model):
    """Any model, with plain Keras's Adam."""
    model.compile(
        keras.optimizers.Adam(0.001), "binary_crossentropy", jit_compile=False
    )
    return model


def seconds_per_epoch(model, data) -> float:
    """The mean of three, after one that traces."""
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    begin = time.perf_counter()
    model.fit(data, epochs=3, verbose=0, shuffle=False)
    return (time.perf_counter() - begin) / 3


def compare_losses(model, twin, control, data) -> None:
    """Step by step; the control says what rounding alone makes of a loss."""
    differences: list[list[float]] = [[], []]
    for step, (inputs, labels) in enumerate(data):
        ours, theirs, nearly = (
            float(each.train_on_batch(inputs, labels))
            for each in (model, twin, control)
        )
        for loss, all_of_them in zip((ours, nearly), differences, strict=True):
            all_of_them.append(abs(loss - theirs) / theirs)
        if step % 8 == 0:
            print(f"step {step:2d}  ours {ours:.6f}  plain Keras {theirs:.6f}")
    for name, each in zip(
        ("ours", "plain Keras, one weight in the last place changed"),
        differences,
        strict=True,
    ):
        print(
            f"{name}, beside plain Keras: the first 8 losses differ by "
            f"{max(each[:8]):.0e}, all {len(each)} by {max(each):.0e}"
        )


def main() -> None:
    """Print losses side by side, then the seconds of an epoch of each."""
    schema, packed, label = frappe_shaped()
    data = deepfm_tf.dataset_from_ids(
        packed, label, schema, BATCH, shuffle=True
    )
    deepfm_tf.set_seed(1)
    model = recipe_model(schema)
    twin, control = (
        compiled_as_the_recipe(plain_deepfm(model, L2)) for _ in range(2)
    )
    kernel = control.trainable_weights[-2]
    kernel.assign(np.nextafter(kernel.numpy(), np.float32(1)))
    deepfm_tf.compile_model(model, learning_rate=0.001)
    compare_losses(model, twin, control, data)
    deepfm_tf.set_seed(1)
    without = deepfm_tf.DeepFM(
        schema, 10, (400, 400, 400), dropout=0.2, batch_normalization=True
    )
    deepfm_tf.compile_model(without, learning_rate=0.001)
    for name, each in (
        ("ours, L2 on the table", model),
        ("plain Keras, L2 on the table", twin),
        ("ours, no L2", without),
    ):
        print(f"{name}: {seconds_per_epoch(each, data):.2f} s per epoch")


if __name__ == "__main__":
    main()
