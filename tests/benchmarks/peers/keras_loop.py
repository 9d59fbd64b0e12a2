"""Steps of a compiled Keras model, the way `fit` takes them."""

from typing import Any

import numpy as np
import tensorflow as tf

from tests.benchmarks.data import make_batches


class KerasTrainer:
    """One call of the model's own train function per step.

    Args:
        model: compiled; Keras 3, or the Keras 2 of TensorFlow 2.15.
        inputs, label: of all batches: (batches, batch size, columns) each.
        differs: see `Trainer`.
        packages: see `Trainer`.
    """

    def __init__(
        self,
        model: Any,
        inputs: dict[str, np.ndarray],
        label: np.ndarray,
        differs: str = "",
        packages: tuple[str, ...] = ("tensorflow", "keras"),
    ) -> None:
        self.differs = differs
        self.packages = packages
        dataset = tf.data.Dataset.from_tensor_slices((inputs, label))
        options = tf.data.Options()
        options.autotune.enabled = False
        self._batches = iter(dataset.repeat().prefetch(2).with_options(options))
        self._model = model
        model.make_train_function()
        self._train = model.train_function
        self._logs: dict = {}

    def step(self) -> None:
        self._logs = self._train(self._batches)

    def take_loss(self) -> float:
        loss = float(self._logs["loss"])
        self._model.reset_metrics()
        return loss


def packed_batches(settings: dict) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Batches with all ids in one input and all numbers in another."""
    ids, values, label = make_batches(
        settings["vocabulary"], settings["batch_size"], settings["num_batches"]
    )
    return {"ids": ids, "values": values}, label
