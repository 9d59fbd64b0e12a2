"""The schema: which columns there are, and what stands in them."""

from deepfm_tf.schema.schema import (
    Schema,
)

__all__ = [
    "Schema",
]
