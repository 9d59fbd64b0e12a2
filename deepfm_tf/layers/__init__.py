"""Keras layers of the CTR models, each usable alone."""

from deepfm_tf.layers.attentive_embedding import AttentiveEmbedding
from deepfm_tf.layers.bi_interaction import BiInteraction
from deepfm_tf.layers.dense_pyramid import DensePyramid
from deepfm_tf.layers.first_order_bias import FirstOrderBias
from deepfm_tf.layers.fm_interaction import FMInteraction
from deepfm_tf.layers.linear_term import LinearTerm
from deepfm_tf.layers.sampling_offset import SamplingOffset
from deepfm_tf.layers.shared_embedding import SharedEmbedding
from deepfm_tf.layers.target_attention import TargetAttention

__all__ = [
    "AttentiveEmbedding",
    "BiInteraction",
    "DensePyramid",
    "FMInteraction",
    "FirstOrderBias",
    "LinearTerm",
    "SamplingOffset",
    "SharedEmbedding",
    "TargetAttention",
]
