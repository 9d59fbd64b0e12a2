"""`deepfm_tf.DeepFM` with the pyramid of its peers."""

import keras

import deepfm_tf
from tests.benchmarks.data import NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.keras_loop import KerasTrainer, packed_batches
from tests.benchmarks.peers.serve import serve


def schema(vocabulary: int) -> deepfm_tf.Schema:
    """The benchmark's fields."""
    numbers = [
        deepfm_tf.NumericField(f"I{i + 1}", missing="nothing")
        for i in range(NUM_NUMERIC)
    ]
    categories = [
        deepfm_tf.CategoricalField(f"C{i + 1}", vocabulary_size=size)
        for i, size in enumerate(field_sizes(vocabulary))
    ]
    return deepfm_tf.Schema((*numbers, *categories), label="label")


def model_of(settings: dict) -> deepfm_tf.DeepFM:
    """The model, compiled."""
    model = deepfm_tf.DeepFM(
        schema(settings["vocabulary"]),
        embedding_dim=settings["embedding_dim"],
        hidden_units=settings["hidden_units"],
        dropout=0.0,
        # The peers have none either.
        batch_normalization=False,
    )
    deepfm_tf.compile_model(
        model,
        optimizer=settings["optimizer"],
        learning_rate=settings["learning_rate"],
    )
    return model


def build(settings: dict) -> KerasTrainer:
    keras.utils.set_random_seed(0)
    if settings["policy"] != "float32":
        keras.config.set_dtype_policy(settings["policy"])
    return KerasTrainer(
        model_of(settings),
        *packed_batches(settings),
        differs="numbers are embedded too: the pyramid's input is 39 k wide",
        packages=("deepfm_tf", "tensorflow", "keras"),
    )


if __name__ == "__main__":
    serve(build)
