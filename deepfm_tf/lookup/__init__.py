"""The look-up of raw columns in a graph, as readers and exports need it."""

from deepfm_tf.lookup.graph_lookup import (
    GraphLookup,
    number_fields,
    raw_dtype,
    text_fields,
)

__all__ = [
    "GraphLookup",
    "number_fields",
    "raw_dtype",
    "text_fields",
]
