"""The first-order part where the shared table holds its weights."""

from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import refuse_unknown


@keras.saving.register_keras_serializable("deepfm_tf", "FirstOrderTerm")
class FirstOrderBias(keras.layers.Layer):
    """Adds the bias to the sum of the first-order weights.

        y = w_0 + sum_i w_i x_i

    The sum is what `SharedEmbedding(first_order=True)` gives beside the latent
    vectors. `LinearTerm` is the same with a table of its own.

    Call arguments:
        linear: Float tensor, `sum_i w_i x_i`.

    Input shape:
        `(batch, 1)`.

    Output shape:
        `(batch, 1)`.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import FirstOrderBias, SharedEmbedding
    >>> embedding = SharedEmbedding((5, 7), embedding_dim=4, first_order=True)
    >>> _, linear = embedding(np.array([[1, 6], [0, 2]]))
    >>> FirstOrderBias()(linear).numpy().tolist()
    [[0.0], [0.0]]

    Reference:
        [Rendle, 2010](https://doi.org/10.1109/ICDM.2010.127), equation 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        # Else Keras rounds `linear` to the compute dtype on the way in.
        self.autocast = False

    def build(self, linear_shape: Any) -> None:
        self.bias = self.add_weight(
            name="bias", shape=(), initializer="zeros", autocast=False
        )

    def call(self, linear: Any) -> Any:
        return ops.cast(ops.add(linear, self.bias), self.compute_dtype)

    def compute_output_shape(self, linear_shape: Any) -> Any:
        return linear_shape

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


# In a file, Keras keeps a layer's weights under the name of its class. That is
# a format, and this the name that the class had before 0.5.
FirstOrderBias.__name__ = "FirstOrderTerm"
