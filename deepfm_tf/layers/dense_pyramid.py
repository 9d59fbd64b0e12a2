"""The multilayer perceptron of the deep part."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from deepfm_tf.errors import UserError, refuse_unknown

# Of batch normalization. Keras's .99 takes 300 steps to forget what it starts
# from, which on a small set is several epochs of wrong validation; its 1e-3
# drowns the first layer's variance where embeddings start at N(0, 1e-4).
_MOMENTUM = 0.9
_EPSILON = 1e-5


@keras.saving.register_keras_serializable("deepfm_tf")
class DensePyramid(keras.layers.Layer):
    """Stacks dense layers and ends in an affine map without activation.

    The deep part of DeepFM, Wide & Deep and NFM. The name comes from the
    book's narrowing 30-20-10 layers; any widths do, also none at all, which
    leaves the final map alone. For each entry of `hidden_units`:

        z^l = dropout(a(W^l z^(l-1) + b^l))

    where `z^0` is the input, `a` the activation, `W^l` and `b^l` kernel and
    bias. With batch normalization, `a(BN(W^l z^(l-1)))` stands in its place:
    the normalization has its own offset, so those layers have no bias. The
    output is `W z^L + b`.

    Where a block of `z^0` is `x v`, an input `x` times a vector `v` that all
    examples have in common, `W (x v) = x (W v)` costs one column of the
    product in place of as many as `v` has numbers. For that, `inputs` hold
    `x` alone, and `vectors` hold `v`. The kernels are the same either way.

    Args:
        hidden_units: Sequence of ints. Width of each hidden layer, first to
            last; may be empty. Defaults to `(30, 20, 10)`, the book's.
        activation: Activation after each hidden layer. Defaults to `"relu"`.
        dropout: float. Probability of dropping a hidden unit in training, at
            least 0 and less than 1. Defaults to 0.1, the book's.
        batch_normalization: bool. Whether to normalize before each activation
            (momentum 0.9, epsilon 1e-5), by the whole batch of all replicas.
            Defaults to `False`.
        output_units: int. Width of the output. Defaults to 1, the logits.
        kernel_initializer: Initializer of every kernel, cloned for each.
            Defaults to `"glorot_uniform"`, the book's Xavier initialisation.
        kernel_regularizer: Regularizer of every kernel, the last one included.
            Defaults to `None`.
        factor_blocks: Sequence of ints. For each of `vectors`, which block of
            `z^0` it goes to, of those that come after the other features; all
            that go to one block are added up. Defaults to `()`.

    Call arguments:
        inputs: Float tensor. The embeddings side by side, or pooled; then the
            factors of `vectors`.
        vectors: Float tensor. Defaults to `None`.
        training: bool. Whether to drop units and to normalize by the batch.

    Input shape:
        `inputs`: `(batch, features)`, the last `num_vectors` of them factors.
        `vectors`: `(num_vectors, columns)`.

    Output shape:
        `(batch, output_units)`.

    Raises:
        ValueError: If a width or `dropout` is out of range, or if `inputs` do
            not have two axes, the last one known.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import DensePyramid
    >>> pyramid = DensePyramid(hidden_units=(4, 3))
    >>> pyramid(np.ones((2, 6))).shape
    TensorShape([2, 1])
    >>> [kernel.shape for kernel in pyramid.trainable_weights[::2]]
    [TensorShape([6, 4]), TensorShape([4, 3]), TensorShape([3, 1])]

    Reference:
        [Guo et al., 2017](https://arxiv.org/abs/1703.04247), equation 4.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (30, 20, 10),
        activation: Any = "relu",
        dropout: float = 0.1,
        batch_normalization: bool = False,
        output_units: int = 1,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        factor_blocks: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        if not isinstance(hidden_units, Sequence) or not all(
            map(_is_positive_integer, hidden_units)
        ):
            raise UserError(
                "`hidden_units` must be a sequence of positive integers. "
                f"Received: hidden_units={hidden_units}."
            )
        if not 0 <= dropout < 1:
            raise UserError(
                "`dropout` must be a drop probability, at least 0 and less "
                f"than 1. Received: dropout={dropout}."
            )
        if not _is_positive_integer(output_units):
            raise UserError(
                "`output_units` must be a positive integer. "
                f"Received: output_units={output_units}."
            )
        self.hidden_units = tuple(map(int, hidden_units))
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.output_units = int(output_units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.factor_blocks = tuple(map(int, factor_blocks))

    def build(self, inputs_shape: Any, vectors_shape: Any = None) -> None:
        if len(inputs_shape) != 2 or inputs_shape[1] is None:
            raise UserError(
                "`inputs` must have shape (batch, features), features known. "
                f"Received: shape={tuple(inputs_shape)}."
            )
        policy = self.dtype_policy
        num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.dense_layers: list[Any] = []
        self.normalization_layers: list[Any] = []
        self.dropout_layers: list[Any] = []
        shape = tuple(inputs_shape)
        if vectors_shape is not None:
            num_vectors, columns = vectors_shape
            if num_vectors != len(self.factor_blocks):
                raise UserError(
                    "`vectors` must have one row for each of "
                    f"`factor_blocks`, {self.factor_blocks}. Received: "
                    f"shape={tuple(vectors_shape)}."
                )
            num_blocks = max(self.factor_blocks, default=-1) + 1
            width = num_blocks * columns
            shape = (shape[0], shape[1] - num_vectors + width)
        for index, units in enumerate(self.hidden_units):
            use_bias = not self.batch_normalization
            dense = self._dense(units, f"dense_{index}", use_bias)
            dense.build(shape)
            self.dense_layers.append(dense)
            shape = (shape[0], units)
            if self.batch_normalization:
                normalization = keras.layers.BatchNormalization(
                    momentum=_MOMENTUM,
                    epsilon=_EPSILON,
                    # By the examples of all replicas, not of each.
                    synchronized=num_replicas > 1,
                    dtype=policy,
                    name=f"batch_normalization_{index}",
                )
                normalization.build(shape)
                self.normalization_layers.append(normalization)
            dropout = keras.layers.Dropout(
                self.dropout, dtype=policy, name=f"dropout_{index}"
            )
            dropout.build(shape)
            self.dropout_layers.append(dropout)
        self.output_layer = self._dense(self.output_units, "output")
        self.output_layer.build(shape)

    def call(
        self, inputs: Any, vectors: Any = None, training: bool | None = None
    ) -> Any:
        # (batch, features)
        hidden = inputs
        for index, dense in enumerate(self.dense_layers):
            # (batch, hidden_units[index])
            hidden = self._map(dense, hidden, vectors)
            vectors = None
            hidden = self._activate(index, hidden, training)
        # (batch, output_units)
        return self._map(self.output_layer, hidden, vectors)

    def first_kernel(self, features: Sequence[int]) -> Any:
        """Rows of the first layer's kernel.

        Args:
            features: Sequence of ints. Columns of the layer's input; -1 gives
                a row of zeros, for a column that the layer does not see.

        Returns:
            (len(features), units of the first layer).
        """
        columns = ops.convert_to_tensor(features, "int32")
        rows = ops.take(
            self._first_layer.kernel, ops.maximum(columns, 0), axis=0
        )
        return ops.where(ops.expand_dims(columns, 1) < 0, 0.0, rows)

    def project(self, inputs: Any, kernel: Any) -> Any:
        """What some of the features contribute to the first layer; no bias.

        The projections of two groups of features add up to that of both, `W^1
        z^0`, so that a part which many examples have in common need be
        computed only once.

        Args:
            inputs: (batch, features), some of the columns of the layer's
                input.
            kernel: `first_kernel` of these columns.

        Returns:
            (batch, units of the first layer), float32 or wider.
        """
        # Half precision rounds the factors, as in `call`, but not the sums:
        # they are yet to be added up.
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        factors = [
            ops.cast(ops.cast(x, self.compute_dtype), dtype)
            for x in (inputs, kernel)
        ]
        return ops.matmul(*factors)

    def from_projection(self, projection: Any) -> Any:
        """What `call` gives in inference, from `project` of all features."""
        first = self._first_layer
        hidden = ops.cast(projection, self.compute_dtype)
        if first.use_bias:
            bias = ops.cast(first.bias, self.compute_dtype)
            hidden = ops.add(hidden, bias)
        if not self.dense_layers:
            return hidden
        hidden = self._activate(0, hidden, training=False)
        for index, dense in enumerate(self.dense_layers[1:], start=1):
            hidden = self._activate(index, dense(hidden), training=False)
        return self.output_layer(hidden)

    def compute_output_shape(
        self, inputs_shape: Any, vectors_shape: Any = None
    ) -> tuple[Any, ...]:
        return (inputs_shape[0], self.output_units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "batch_normalization": self.batch_normalization,
            "output_units": self.output_units,
            "kernel_initializer": keras.initializers.serialize(
                self.kernel_initializer
            ),
            "kernel_regularizer": keras.regularizers.serialize(
                self.kernel_regularizer
            ),
            "factor_blocks": self.factor_blocks,
        }

    @property
    def _first_layer(self) -> Any:
        return (*self.dense_layers, self.output_layer)[0]

    def _activate(self, index: int, hidden: Any, training: bool | None) -> Any:
        """All that follows the kernel and bias of a hidden layer."""
        if self.batch_normalization:
            normalization = self.normalization_layers[index]
            hidden = normalization(hidden, training=training)
        hidden = self.activation(hidden)
        return self.dropout_layers[index](hidden, training=training)

    def _map(self, dense: Any, inputs: Any, vectors: Any) -> Any:
        """`dense` of `inputs`, whose last columns may be factors."""
        if vectors is None or not self.factor_blocks:
            return dense(inputs)
        num_vectors, columns = vectors.shape
        # (features, units)
        kernel = ops.convert_to_tensor(dense.kernel)
        width = inputs.shape[1] - num_vectors
        # (blocks, columns, units)
        blocks = ops.reshape(kernel[width:], (-1, columns, kernel.shape[1]))
        blocks = ops.take(blocks, self.factor_blocks, axis=0)
        # (num_vectors, units)
        mapped = ops.sum(ops.multiply(vectors[:, :, None], blocks), axis=1)
        kernel = ops.concatenate([kernel[:width], mapped], axis=0)
        outputs = ops.matmul(inputs, kernel)
        return outputs if dense.bias is None else ops.add(outputs, dense.bias)

    def _dense(self, units: int, name: str, use_bias: bool = True) -> Any:
        """Returns an unbuilt Dense layer with an initializer of its own."""
        initializer = self.kernel_initializer
        if isinstance(initializer, keras.Initializer):
            # Called twice, an unseeded instance draws the same values twice.
            initializer = initializer.clone()
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=initializer,
            kernel_regularizer=self.kernel_regularizer,
            dtype=self.dtype_policy,
            name=name,
        )


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1
