"""What a model learnt, and why it predicts what it predicts."""

from deepfm_tf.explain.attributions import Attributions
from deepfm_tf.explain.embeddings import export_embeddings
from deepfm_tf.explain.explainer import Explainer
from deepfm_tf.explain.feature_pairs import top_feature_pairs
from deepfm_tf.explain.field_report import FieldReport, field_report
from deepfm_tf.explain.importance import Importance, permutation_importance
from deepfm_tf.explain.plots import plot_field_strengths, plot_waterfall
from deepfm_tf.explain.strengths import FieldStrengths, field_strengths

__all__ = [
    "Attributions",
    "Explainer",
    "FieldReport",
    "FieldStrengths",
    "Importance",
    "export_embeddings",
    "field_report",
    "field_strengths",
    "permutation_importance",
    "plot_field_strengths",
    "plot_waterfall",
    "top_feature_pairs",
]
