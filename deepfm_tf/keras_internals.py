"""The private names of TensorFlow and Keras that we need, in one place.

All of them ran on TensorFlow 2.20 and 2.21 and on Keras 3.12 to 3.15. The test
of each fails by its name if a release takes it away or means something else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python import pywrap_tfe
from tensorflow.python.ops.resource_variable_ops import variable_accessed

from deepfm_tf.arrays import Array
from deepfm_tf.kernels import tf_variable


class StepHooks(keras.optimizers.Optimizer):
    """The parts of a step of a Keras optimizer, to be overridden.

    Keras calls `_backend_apply_gradients` from `apply`, and from there
    `_clip_gradients`, `_apply_weight_decay` and `_backend_update_step`, in
    this order; nothing public is between the gradients and the variables.
    """

    def begin(self, variables: Sequence[Any]) -> None:
        """Told first: the variables that have a gradient in this step."""

    def clip(self, grads: Sequence[Any]) -> list[Any]:
        """What is made of the gradients of one replica first."""
        clipped: list[Any] = super()._clip_gradients(grads)
        return clipped

    def decay(self, variables: Sequence[Any]) -> None:
        """Apply weight decay to the variables that have any."""
        super()._apply_weight_decay(variables)

    def update(
        self, grads: Sequence[Any], variables: Sequence[Any], rate: Any
    ) -> None:
        """Update the variables; without it, Keras adds up the replicas too."""
        super()._backend_update_step(grads, variables, rate)

    def _backend_apply_gradients(
        self, grads: Sequence[Any], trainable_variables: Any
    ) -> None:
        self.begin(trainable_variables)
        super()._backend_apply_gradients(grads, trainable_variables)

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        return self.clip(grads)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        self.decay(variables)

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Any, learning_rate: Any
    ) -> None:
        self.update(grads, trainable_variables, learning_rate)


def update_with(
    optimizer: keras.optimizers.Optimizer,
    grads: Sequence[Any],
    variables: Sequence[Any],
    rate: Any,
) -> None:
    """Let any Keras optimizer update variables, at a rate that we choose.

    `_backend_update_step`. Not the public `update_step`: some rules do more
    than that for each variable (Nadam).
    """
    optimizer._backend_update_step(grads, variables, rate)


def weight_decay_of(
    optimizer: keras.optimizers.Optimizer, variable: Any
) -> float | None:
    """The weight decay of a variable; None if it has none.

    `_use_weight_decay` alone knows what `exclude_from_weight_decay` was told;
    Muon has a second decay for what it gives to Adam (`_should_use_adamw`).
    """
    decay: float | None = optimizer.weight_decay
    uses_adam = getattr(optimizer, "_should_use_adamw", None)
    if uses_adam is not None and uses_adam(variable):
        decay = optimizer.adam_weight_decay
    # By the variable that Keras asks with: names are matched against its name.
    used = decay is not None and optimizer._use_weight_decay(
        tf_variable(variable)
    )
    return decay if used else None


def adam_moments(
    optimizer: keras.optimizers.Adam, variable: Any
) -> tuple[Any, Any] | None:
    """The variables of Adam's two moments; None for one that has none.

    `_momentums`, `_velocities` and `_get_variable_index`.
    """
    index = optimizer._get_variable_index(variable)
    m, v = optimizer._momentums[index], optimizer._velocities[index]
    return None if m is None else (m, v)


def merged(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function once for all replicas, with the strategy first.

    `tf.__internal__.distribute.interim.maybe_merge_call`: unlike the public
    `merge_call`, it does without a merge where the strategy needs none, so
    that XLA can compile the step.
    """
    tf.__internal__.distribute.interim.maybe_merge_call(
        function, tf.distribute.get_strategy(), *arguments
    )


def trace_prediction(model: keras.Model, inputs: Mapping[str, Array]) -> None:
    """Let `predict_on_batch` be traced once, for any number of rows.

    `predict_function`, which Keras traces for the first batch as it is, and a
    second time for one of another size.

    Args:
        model: any model.
        inputs: of some rows.
    """
    if model.predict_function is not None:
        return
    model.make_predict_function()
    trace = getattr(model.predict_function, "get_concrete_function", None)
    if trace is not None:  # there is none with `run_eagerly`
        any_rows = {
            name: tf.TensorSpec((None, *array.shape[1:]), array.dtype)
            for name, array in inputs.items()
        }
        trace([(any_rows,)])


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """A model, its layers, and the layers within them.

    `_flatten_layers`; the public `layers` has none that are within others.
    """
    layers: list[keras.layers.Layer] = model._flatten_layers()
    return layers


def skip_epochs(model: keras.Model) -> None:
    """Let the `fit` that has just begun do no epoch.

    `_initial_epoch`, as Keras's own BackupAndRestore: `stop_training` would
    do a step first.
    """
    model._initial_epoch = sys.maxsize


def skip_no_epochs(model: keras.Model) -> None:
    """Undo `skip_epochs`."""
    model._initial_epoch = None


def is_config_and_variables(model: keras.Model) -> bool:
    """Whether a model made anew of its config lacks its variables alone.

    Layers that adapt to data, or that write assets or variables in a way of
    their own, keep more.
    """
    return not any(
        hasattr(layer, "adapt")
        or hasattr(layer, "save_assets")
        or not type(layer).load_own_variables.__module__.startswith("keras.")
        for layer in all_layers(model)
    )


def is_saving_hdf5() -> bool:
    """Whether `get_config` is called to write the old HDF5 format.

    `use_legacy_config`, which Keras's writer of that format sets meanwhile.
    """
    return bool(global_state.get_global_attribute("use_legacy_config", False))


def is_in_xla() -> bool:
    """Whether XLA compiles what is being traced.

    `tf.__internal__.get_enclosing_xla_context`.
    """
    return tf.__internal__.get_enclosing_xla_context() is not None


def note_read(variable: tf.Variable) -> None:
    """Let tapes watch a variable that an operation of ours reads.

    `variable_accessed`, as in all reads of TensorFlow's own.
    """
    variable_accessed(variable)


def is_watched(*tensors: Any) -> bool:
    """Whether a tape might be asked for the gradient of one of these.

    `TFE_Py_TapeSetPossibleGradientTypes`, by which TensorFlow's own functions
    decide what they keep. None for a tensor is none.
    """
    present = [tensor for tensor in tensors if tensor is not None]
    return bool(pywrap_tfe.TFE_Py_TapeSetPossibleGradientTypes(present))
