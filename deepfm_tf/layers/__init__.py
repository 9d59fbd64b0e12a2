"""Keras layers of the CTR models, each usable alone."""

from deepfm_tf.layers.bi_interaction import BiInteraction
from deepfm_tf.layers.dense_pyramid import DensePyramid
from deepfm_tf.layers.first_order_bias import FirstOrderBias
from deepfm_tf.layers.fm_interaction import FMInteraction
from deepfm_tf.layers.linear_term import LinearTerm
from deepfm_tf.layers.sampling_offset import SamplingOffset
from deepfm_tf.layers.shared_embedding import SharedEmbedding

__all__ = [
    "BiInteraction",
    "DensePyramid",
    "FMInteraction",
    "FirstOrderBias",
    "LinearTerm",
    "SamplingOffset",
    "SharedEmbedding",
]
