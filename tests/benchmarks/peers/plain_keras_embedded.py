"""`plain_keras`, but for the numbers: they have latent vectors, as in ours.

The same model as ours, to tell what the table costs from what the width of
the pyramid costs.
"""

import keras
from keras import ops

from tests.benchmarks.data import NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.keras_loop import KerasTrainer, packed_batches
from tests.benchmarks.peers.plain_keras import (
    compile_plainly,
    deepfm,
    packed_inputs,
)
from tests.benchmarks.peers.serve import serve


def build(settings: dict) -> KerasTrainer:
    keras.utils.set_random_seed(0)
    dim = settings["embedding_dim"]
    inputs = packed_inputs()
    factors, weights = [], []
    for field, size in enumerate(field_sizes(settings["vocabulary"])):
        ids = inputs["ids"][:, field]
        factors.append(keras.layers.Embedding(size, dim)(ids))
        weights.append(keras.layers.Embedding(size, 1)(ids))
    # (batch, 13, k): each number times a vector of its own
    embed = keras.layers.EinsumDense("bf,fk->bfk", (NUM_NUMERIC, dim))
    model = deepfm(
        inputs,
        ops.concatenate(
            [ops.stack(factors, axis=1), embed(inputs["values"])], axis=1
        ),
        ops.concatenate(weights, axis=1),
        settings["hidden_units"],
        raw_values=False,
    )
    compile_plainly(model, settings)
    return KerasTrainer(
        model, *packed_batches(settings), differs="the same model as ours"
    )


if __name__ == "__main__":
    serve(build)
