"""The ceiling: our pyramid with no table at all, stock Adam.

Ids and numbers are cast and repeated k times to the width of our pyramid.
"""

import keras
from keras import ops

from tests.benchmarks.peers.keras_loop import KerasTrainer, packed_batches
from tests.benchmarks.peers.plain_keras import (
    compile_plainly,
    packed_inputs,
    pyramid,
)
from tests.benchmarks.peers.serve import serve


def build(settings: dict) -> KerasTrainer:
    keras.utils.set_random_seed(0)
    inputs = packed_inputs()
    numbers = ops.cast(inputs["ids"], "float32") / settings["vocabulary"]
    # (batch, 39 k)
    wide = ops.repeat(
        ops.concatenate([numbers, inputs["values"]], axis=1),
        settings["embedding_dim"],
        axis=1,
    )
    logits = pyramid(wide, settings["hidden_units"])
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(logits))
    compile_plainly(model, settings)
    return KerasTrainer(
        model,
        *packed_batches(settings),
        differs="no table, no first order, no FM: a ceiling, not a peer",
    )


if __name__ == "__main__":
    serve(build)
