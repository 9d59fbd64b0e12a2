"""The models, all from packed inputs to `{"probability": (batch, 1)}`."""

from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.deepfm import DeepFM
from deepfm_tf.models.field_terms import FieldTerms
from deepfm_tf.models.field_vectors import (
    FieldVectors,
    VectorsSet,
    embeddings_of,
    set_embeddings,
)
from deepfm_tf.models.fm import FM
from deepfm_tf.models.joined_terms import JoinedTerms, add_terms
from deepfm_tf.models.logistic_regression import LogisticRegression
from deepfm_tf.models.nfm import NFM
from deepfm_tf.models.packed_inputs import packed_inputs
from deepfm_tf.models.shared_table import shared_embedding
from deepfm_tf.models.wide_and_deep import WideAndDeep

__all__ = [
    "CTRModel",
    "DeepFM",
    "FM",
    "FieldTerms",
    "FieldVectors",
    "JoinedTerms",
    "LogisticRegression",
    "NFM",
    "VectorsSet",
    "WideAndDeep",
    "add_terms",
    "embeddings_of",
    "packed_inputs",
    "set_embeddings",
    "shared_embedding",
]
