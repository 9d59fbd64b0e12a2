"""keras-rs's `DistributedEmbedding`, off TPU, in the plain Keras model."""

import keras
import keras_rs
from keras import ops

from tests.benchmarks.data import field_sizes
from tests.benchmarks.peers.keras_loop import KerasTrainer, packed_batches
from tests.benchmarks.peers.plain_keras import (
    DIFFERS,
    compile_plainly,
    deepfm,
    packed_inputs,
)
from tests.benchmarks.peers.serve import serve


def build(settings: dict) -> KerasTrainer:
    keras.utils.set_random_seed(0)
    inputs = packed_inputs()
    batch_size = settings["batch_size"]
    features, ids = {}, {}
    for field, size in enumerate(field_sizes(settings["vocabulary"])):
        for width in (settings["embedding_dim"], 1):
            name = f"C{field + 1}_{width}"
            table = keras_rs.layers.TableConfig(
                name, size, width, initializer="uniform"
            )
            features[name] = keras_rs.layers.FeatureConfig(
                name, table, (batch_size,), (batch_size, width)
            )
            ids[name] = inputs["ids"][:, field]
    embedded = keras_rs.layers.DistributedEmbedding(features)(ids)
    factors = [e for e in embedded.values() if e.shape[-1] != 1]
    weights = [e for e in embedded.values() if e.shape[-1] == 1]
    model = deepfm(
        inputs,
        ops.stack(factors, axis=1),
        ops.concatenate(weights, axis=1),
        settings["hidden_units"],
    )
    compile_plainly(model, settings)
    return KerasTrainer(
        model,
        *packed_batches(settings),
        differs=DIFFERS,
        packages=("tensorflow-cpu", "keras", "keras-rs"),
    )


if __name__ == "__main__":
    serve(build)
