"""DeepCTR's `DeepFM` on TensorFlow 2.15 and its Keras 2."""

import tensorflow as tf
from deepctr.feature_column import DenseFeat, SparseFeat
from deepctr.models import DeepFM

from tests.benchmarks.data import NUM_NUMERIC, field_sizes, make_batches
from tests.benchmarks.peers.keras_loop import KerasTrainer
from tests.benchmarks.peers.serve import serve


def build(settings: dict) -> KerasTrainer:
    tf.keras.utils.set_random_seed(0)
    ids, values, label = make_batches(
        settings["vocabulary"], settings["batch_size"], settings["num_batches"]
    )
    columns, inputs = [], {}
    for field, size in enumerate(field_sizes(settings["vocabulary"])):
        name = f"C{field + 1}"
        columns.append(SparseFeat(name, size, settings["embedding_dim"]))
        inputs[name] = ids[:, :, field : field + 1]
    for field in range(NUM_NUMERIC):
        columns.append(DenseFeat(f"I{field + 1}"))
        inputs[f"I{field + 1}"] = values[:, :, field : field + 1]
    model = DeepFM(columns, columns, dnn_hidden_units=settings["hidden_units"])
    # Its L2 of 1e-5 on both tables; told 0, it squares them all the same.
    for layer in model._flatten_layers():
        layer._callable_losses.clear()
    if model.losses:
        raise ValueError("DeepCTR must have no L2 penalty, but it has.")
    model.compile(
        optimizer=tf.keras.optimizers.Adam(settings["learning_rate"]),
        loss="binary_crossentropy",
        jit_compile=False,
    )
    return KerasTrainer(
        model,
        inputs,
        label,
        differs="numbers go raw to the pyramid, which is 26 k + 13 wide; an "
        "input per field",
        packages=("deepctr", "tensorflow-cpu", "keras"),
    )


if __name__ == "__main__":
    serve(build)
