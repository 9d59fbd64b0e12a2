"""A constant that is added to the logits in training only."""

from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import refuse_unknown


@keras.saving.register_keras_serializable("deepfm_tf")
class SamplingOffset(keras.layers.Layer):
    """Lets a model learn from down-sampled data what holds for all of it.

    If training data keeps a share `w` of the negatives, drawn at random, and
    all positives, the odds of a click in it are `1 / w` times the true ones.
    With `-log w` added to the logits, but in training only, the loss is that
    of the sampled data, while the logits underneath, which inference gives,
    are those of the true odds:

        training:   sigma(z - log w) = p
        inference:  sigma(z) = p / (p + (1 - p) / w)

    Args:
        offset: float. `-log w`.

    Call arguments:
        logits: Float tensor.
        training: bool. Whether to add the offset.

    Input shape:
        Any.

    Output shape:
        That of the input.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf.layers import SamplingOffset
    >>> offset = SamplingOffset(2.0)
    >>> logits = np.array([[0.5], [-1.0]])
    >>> offset(logits, training=True).numpy().tolist()
    [[2.5], [1.0]]
    >>> offset(logits).numpy().tolist()
    [[0.5], [-1.0]]

    Reference:
        [He et al., 2014](https://doi.org/10.1145/2648584.2648589), section
        6.3.
    """

    def __init__(self, offset: float, **kwargs: Any) -> None:
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.offset = offset

    def call(self, logits: Any, training: bool | None = None) -> Any:
        return ops.add(logits, self.offset) if training else logits

    def compute_output_shape(self, logits_shape: Any) -> Any:
        return logits_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "offset": self.offset}
