"""A history's vectors added up by how they bear on a candidate."""

from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import UserError, refuse_unknown
from deepfm_tf.layers.table.id_range import are_integers


@keras.saving.register_keras_serializable("deepfm_tf")
class TargetAttention(keras.layers.Layer):
    """Pools a sequence of vectors, each weighed by what it means to a target.

    The local activation of Deep Interest Network: of what a user has seen,
    that counts which has to do with the candidate. For the vectors `e_j` of
    the history and the vector `v_A` of the candidate,

        v_U(A) = sum_j a(e_j, v_A) e_j
        a(e, v) = u . act(W [e, e * v, v] + b) + c

    where `*` multiplies element by element. The weights are not normalised
    by a softmax: a history with more of what bears on the candidate gives a
    longer vector. The difference `e - v` is no input of its own, as `W` can
    form it of the other two. At first `c` is 1 and the rest of `a` small, so
    that training starts from the plain sum.

    Args:
        units: int. Rows of `W`, the hidden units of `a`. Defaults to 36, as
            in the paper's figure 2.
        activation: `act`. Defaults to `"relu"`.
        kernel_initializer: Initializer of `W` and `u`, cloned for each.
            Defaults to `"glorot_uniform"`.

    Call arguments:
        sequence: Float tensor, the `e_j`.
        target: Float tensor, `v_A`.
        present: Boolean tensor. Which of the `e_j` there are; the others
            (padding) neither count nor get a gradient. Defaults to `None`:
            all.

    Input shape:
        `sequence`: `(batch, length, dim)`. `target`: `(batch, dim)`.
        `present`: `(batch, length)`. A batch of 1 goes with any other.

    Output shape:
        `(batch, dim)`.

    Raises:
        ValueError: If `units` is no positive integer, or if the vectors of
            `sequence` and `target` differ in length.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import TargetAttention
    >>> history, candidate = np.ones((2, 5, 4)), np.ones((2, 4))
    >>> TargetAttention()(history, candidate).shape
    TensorShape([2, 4])

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978), equation 3 and
        figure 2.
    """

    def __init__(
        self,
        units: int = 36,
        activation: Any = "relu",
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        if not are_integers([units], minimum=1):
            raise UserError(
                f"`units` must be a positive integer. Received: units={units}."
            )
        self.units = int(units)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(
        self, sequence_shape: Any, target_shape: Any, present_shape: Any = None
    ) -> None:
        dim = sequence_shape[-1]
        if (
            len(sequence_shape) != 3
            or len(target_shape) != 2
            or dim is None
            or dim != target_shape[-1]
        ):
            raise UserError(
                "`sequence` and `target` must have shapes (batch, length, "
                "dim) and (batch, dim), dim known. Received: "
                f"{tuple(sequence_shape)} and {tuple(target_shape)}."
            )
        self.kernel = self._add(
            "kernel", (3 * dim, self.units), self.kernel_initializer.clone()
        )
        self.bias = self._add("bias", (self.units,), "zeros")
        self.output_kernel = self._add(
            "output_kernel", (self.units, 1), self.kernel_initializer.clone()
        )
        self.output_bias = self._add("output_bias", (1,), "ones")

    def call(self, sequence: Any, target: Any, present: Any = None) -> Any:
        dim = target.shape[-1]
        kernel = ops.convert_to_tensor(self.kernel)
        # (dim, units) each
        of_sequence, of_product = kernel[:dim], kernel[dim : 2 * dim]
        of_target = kernel[2 * dim :]
        # (batch, length, dim)
        products = ops.multiply(sequence, ops.expand_dims(target, 1))
        # (batch, 1, units): the same for the whole history.
        shift = ops.add(ops.matmul(target, of_target), self.bias)
        shift = ops.expand_dims(shift, 1)
        # (batch, length, units)
        hidden = ops.add(
            ops.matmul(sequence, of_sequence), ops.matmul(products, of_product)
        )
        hidden = self.activation(ops.add(hidden, shift))
        # (batch, length, 1)
        weights = ops.matmul(hidden, self.output_kernel)
        weights = ops.add(weights, self.output_bias)
        if present is not None:
            present = ops.expand_dims(ops.cast(present, "bool"), -1)
            zero = ops.zeros((), weights.dtype)
            weights = ops.where(present, weights, zero)
        # (batch, dim)
        return ops.sum(ops.multiply(weights, sequence), axis=1)

    def compute_output_shape(
        self, sequence_shape: Any, target_shape: Any, present_shape: Any = None
    ) -> tuple[Any, ...]:
        return (target_shape[0], target_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
        }

    def _add(self, name: str, shape: Any, initializer: Any) -> Any:
        return self.add_weight(name=name, shape=shape, initializer=initializer)
