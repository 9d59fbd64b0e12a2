"""Products of pairs that are known before a layer asks for them.

Our kernels form them while they look up the vectors (see `deepfm_tf.native`):
the layer that needs them, if there is one, is another one. As Keras hands on
the mask of a tensor, they are noted on the vectors themselves; whatever makes
other vectors of these leaves the note behind.
"""

from __future__ import annotations

from typing import Any

_NOTE = "deepfm_tf_pair_products"


def note_products(embeddings: Any, products: Any) -> None:
    """Note `sum_{i<j} v_i * v_j` on the vectors.

    Args:
        embeddings: (batch, num_fields, embedding_dim).
        products: (batch, embedding_dim).
    """
    setattr(embeddings, _NOTE, products)


def known_products(embeddings: Any) -> Any:
    """What was noted on the vectors; None if nothing was."""
    return getattr(embeddings, _NOTE, None)
