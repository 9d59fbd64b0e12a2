"""DeepFM in plain Keras 3, as an engineer writes it today.

26 `Embedding` layers of width k, 26 of width 1, stock Adam.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tests.benchmarks.data import NUM_CATEGORICAL, NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.keras_loop import KerasTrainer, packed_batches
from tests.benchmarks.peers.serve import serve

DIFFERS = "numbers go raw to the pyramid, which is 26 k + 13 wide"


def pyramid(inputs: Any, hidden_units: Sequence[int]) -> Any:
    """Dense layers down to one logit."""
    for units in hidden_units:
        inputs = keras.layers.Dense(units, activation="relu")(inputs)
    return keras.layers.Dense(1)(inputs)


def deepfm(
    inputs: Any,
    factors: Any,
    weights: Any,
    hidden_units: Sequence[int],
    raw_values: bool = True,
) -> keras.Model:
    """DeepFM over embedded fields.

    Args:
        inputs: dict of Keras inputs, among them "values".
        factors: (batch, fields, k).
        weights: (batch, fields), first order.
        hidden_units: of the pyramid.
        raw_values: whether the numbers go to the pyramid as they are.
    """
    values = inputs["values"]
    first_order = ops.sum(weights, axis=1, keepdims=True)
    first_order += keras.layers.Dense(1)(values)
    square_of_sum = ops.square(ops.sum(factors, axis=1))
    sum_of_squares = ops.sum(ops.square(factors), axis=1)
    second_order = 0.5 * ops.sum(
        square_of_sum - sum_of_squares, axis=1, keepdims=True
    )
    flat = keras.layers.Flatten()(factors)
    if raw_values:
        flat = ops.concatenate([flat, values], axis=1)
    deep = pyramid(flat, hidden_units)
    logits = first_order + second_order + deep
    probability = keras.layers.Activation("sigmoid", dtype="float32")(logits)
    return keras.Model(inputs, probability)


def packed_inputs() -> dict[str, Any]:
    """The two inputs of `packed_batches`."""
    return {
        "ids": keras.Input((NUM_CATEGORICAL,), dtype="int32", name="ids"),
        "values": keras.Input((NUM_NUMERIC,), name="values"),
    }


def compile_plainly(model: keras.Model, settings: dict) -> None:
    """Stock Adam."""
    model.compile(
        optimizer=keras.optimizers.Adam(settings["learning_rate"]),
        loss="binary_crossentropy",
        jit_compile=False,
    )


def build(settings: dict) -> KerasTrainer:
    keras.utils.set_random_seed(0)
    if settings["policy"] != "float32":
        keras.config.set_dtype_policy(settings["policy"])
    inputs = packed_inputs()
    factors, weights = [], []
    for field, size in enumerate(field_sizes(settings["vocabulary"])):
        ids = inputs["ids"][:, field]
        embed = keras.layers.Embedding(size, settings["embedding_dim"])
        factors.append(embed(ids))
        weights.append(keras.layers.Embedding(size, 1)(ids))
    model = deepfm(
        inputs,
        ops.stack(factors, axis=1),
        ops.concatenate(weights, axis=1),
        settings["hidden_units"],
    )
    compile_plainly(model, settings)
    return KerasTrainer(model, *packed_batches(settings), differs=DIFFERS)


if __name__ == "__main__":
    serve(build)
