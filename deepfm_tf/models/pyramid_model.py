"""What the models with a dense pyramid share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.layers import DensePyramid
from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.models.shared_table import embedding_config, flatten_fields


class PyramidModel(CTRModel):
    """A model whose deep part is a `dense_pyramid` over all embeddings.

    The pyramid reads the embeddings side by side. Its first layer is linear,
    so that in `rank` each group of fields is mapped by itself, and the results
    are added up.
    """

    dense_pyramid: DensePyramid
    embedding_dim: int
    hidden_units: Sequence[int]
    activation: str
    dropout: float
    batch_normalization: bool

    def deep_logits(self, embeddings: Any) -> Any:
        """See `CTRModel.deep_logits`."""
        return self.dense_pyramid(flatten_fields(embeddings))

    def first_kernel(self, fields: Sequence[int]) -> Any:
        """The first layer's rows for all columns of the table of some fields.

        Args:
            fields: positions in `schema.embedded_fields`.
        """
        features: list[int] = []
        for field in fields:
            start = field * self.embedding_dim
            # The pyramid does not see the first-order weight.
            features += [*range(start, start + self.embedding_dim), -1]
        return self.dense_pyramid.first_kernel(features)

    def deep_terms(
        self, columns: Any, fields: Sequence[int], kernel: Any
    ) -> dict[str, Any]:
        """See `CTRModel.deep_terms`."""
        flat = flatten_fields(columns)
        return {"projection": self.dense_pyramid.project(flat, kernel)}

    def deep_logits_of_terms(self, terms: Mapping[str, Any]) -> Any:
        """See `CTRModel.deep_logits_of_terms`."""
        return self.dense_pyramid.from_projection(terms["projection"])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        return {
            **super().get_config(),
            "embedding_dim": self.embedding_dim,
            "hidden_units": list(self.hidden_units),
            "activation": self.activation,
            "dropout": self.dropout,
            "batch_normalization": self.batch_normalization,
            **embedding_config(self.shared_embedding),
        }
