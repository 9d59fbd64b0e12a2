"""A trained model and its preprocessing as one SavedModel for serving."""

from deepfm_tf.export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
