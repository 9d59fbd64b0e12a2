"""How strongly a model uses its fields and their pairs, over a data set."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.html_table import html_table
from deepfm_tf.models import CTRModel
from deepfm_tf.text_table import text_table

# Terms that a table shows.
_TOP = 20


@dataclasses.dataclass(frozen=True)
class FieldStrengths:
    """Mean absolute terms of the logit, as `field_strengths` gives them.

    Args:
        fields: tuple of str. Names of the F fields.
        first_order: (F,) float64. Means of `|w_i x_i|`.
        pairs: (F, F) float64, symmetric, zeros on the diagonal. Means of
            `|<v_i, v_j> x_i x_j|`; all zero if the model has no such terms.
        num_rows: int. Rows of the data set.
    """

    fields: tuple[str, ...]
    first_order: Array
    pairs: Array
    num_rows: int

    def ranking(self) -> list[dict[str, Any]]:
        """Pairs and fields, the strongest first.

        Returns:
            A list of `{"term": "site × hour", "kind": "pair" or "first
            order", "strength": float}`.
        """
        terms = [
            {"term": name, "kind": "first order", "strength": float(value)}
            for name, value in zip(self.fields, self.first_order, strict=True)
        ]
        if self.pairs.any():
            terms += [
                {
                    "term": f"{self.fields[i]} × {self.fields[j]}",
                    "kind": "pair",
                    "strength": float(self.pairs[i, j]),
                }
                for i, j in combinations(range(len(self.fields)), 2)
            ]
        return sorted(terms, key=lambda term: -term["strength"])

    def strongest(self, num_fields: int) -> FieldStrengths:
        """Those of the fields with the strongest terms, in their order."""
        reach = np.maximum(self.pairs.max(axis=1), self.first_order)
        kept = np.sort(np.argsort(-reach, kind="stable")[:num_fields])
        return FieldStrengths(
            tuple(self.fields[i] for i in kept),
            self.first_order[kept],
            self.pairs[np.ix_(kept, kept)],
            self.num_rows,
        )

    def table(self, top: int = _TOP) -> str:
        """The `top` strongest terms as text."""
        return text_table(self.ranking()[:top], decimals=4)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return html_table(
            self.ranking()[:_TOP],
            decimals=4,
            caption=f"Mean |term| of the logit over {self.num_rows:,} rows",
        )


def field_strengths(model: CTRModel, dataset: Any) -> FieldStrengths:
    """Mean absolute first-order and pair terms over a data set.

    What a field and a pair of fields move the logit by, on average: in FM
    and DeepFM the terms `w_i x_i` and `<v_i, v_j> x_i x_j`. The pyramid of a
    DeepFM may use a pair as well, which does not show here; permutation
    importance sees all of a model. One pass, batch by batch.

    Args:
        model: as for `Explainer`; the pairs of WideAndDeep and NFM go through
            the pyramid and are no terms.
        dataset: `tf.data.Dataset` of packed inputs, with or without labels.

    Raises:
        ValueError: the data set has no rows.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf import FM, CategoricalField, Schema, dataset_from_ids
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=5),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = FM(Schema(fields, label="click"), embedding_dim=2)
    >>> table = np.zeros((29, 3), "float32")
    >>> table[2], table[5 + 23] = [1, 2, -0.5], [3, 0, 0]  # site 2, hour 23
    >>> _ = model.shared_embedding.embeddings.assign(table)
    >>> ids = {"ids": np.array([[2, 23], [2, 7]])}
    >>> strengths = field_strengths(
    ...     model, dataset_from_ids(ids, [0, 1], model.schema)
    ... )
    >>> print(strengths.table())
    term         kind         strength
    -----------  -----------  --------
    site × hour  pair           1.5000
    site         first order    0.5000
    hour         first order    0.0000
    """
    return strengths_of(ModelTerms(model), dataset)


def strengths_of(model_terms: ModelTerms, dataset: Any) -> FieldStrengths:
    """`field_strengths` of a model that is taken apart already."""
    has_pairs = model_terms.has_pairs and bool(model_terms.pair_fields)

    def sums(packed: Any) -> list[tf.Tensor]:
        vectors, first_order = model_terms.pooled(packed)
        pairs = model_terms.pairs(vectors) if has_pairs else first_order[:, :0]
        return [tf.reduce_sum(tf.abs(x), axis=0) for x in (first_order, pairs)]

    graph = model_terms.traced(sums)
    num_fields = len(model_terms.fields)
    first_order = np.zeros(num_fields)
    pairs = np.zeros(len(model_terms.pair_fields) if has_pairs else 0)
    num_rows = 0
    for packed in model_terms.batches(dataset):
        first_sum, pair_sum = graph(packed)
        first_order += first_sum.numpy()
        pairs += pair_sum.numpy()
        num_rows += int(tf.shape(next(iter(packed.values())))[0])
    matrix = np.zeros((num_fields, num_fields))
    for number, (i, j) in enumerate(
        model_terms.pair_fields if has_pairs else ()
    ):
        matrix[i, j] = matrix[j, i] = pairs[number] / num_rows
    return FieldStrengths(
        model_terms.fields, first_order / num_rows, matrix, num_rows
    )
