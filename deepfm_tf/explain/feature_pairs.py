"""The strongest pairs of single features: `hour=23 × app=chess`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.explain.names import FeatureNames
from deepfm_tf.explain.strengths import strengths_of
from deepfm_tf.models import CTRModel

# Pairs of fields that are looked into unless the caller names some.
_FIELD_PAIRS = 10
# Feature pairs of one field pair that are counted; beyond, the rarest go.
MAX_PAIRS = 2_000_000
# Pairs that wait before adding them up is worth its time.
MERGE_AT = 500_000


def top_feature_pairs(
    model: CTRModel,
    dataset: Any,
    vocabulary: Any = None,
    *,
    field_pairs: Sequence[tuple[str, str]] | None = None,
    top: int = 20,
    min_rows: int = 10,
) -> list[dict[str, Any]]:
    """The pairs of features that move the logit most over a data set.

    A pair of features adds `<v_s, v_t> x_s x_t` to the logit of the rows that
    hold both. Ranked by what it adds on average over all rows of the data
    set, in absolute value: that is `effect` times the share of the rows where
    all `x` are 1. For fields of one value these add up to the pair's strength
    in `field_strengths`.

    Args:
        model: an FM or DeepFM.
        dataset: `tf.data.Dataset` of packed inputs, with or without labels.
        vocabulary: names of the ids: a Vocabulary, or a mapping of field
            names to sequences, where position i names id i.
        field_pairs: pairs of field names to look into. Defaults to the ten
            strongest, which another pass over the data set finds.
        top: int. How many to return.
        min_rows: int. Leave out pairs that fewer rows hold: little was learnt
            about them. Defaults to 10.

    Returns:
        A list of `{"pair": str, "effect": float, "rows": int, "strength":
        float}`: `<v_s, v_t>`, in logits per unit of `x_s x_t`; the rows that
        hold the pair; the mean over all rows. A numeric field is one feature,
        and another one where it is missing. Counts are exact up to two
        million different pairs of features in a pair of fields; beyond that
        the rarest are dropped.

    Fields that attend to a candidate are left out: what a value of theirs
    adds depends on the candidate, too.

    Raises:
        ValueError: the model has no pair terms, or a field does not exist, or
            attends to a candidate.

    Example:

    >>> from deepfm_tf import FM, CategoricalField, Schema, dataset_from_ids
    >>> fields = (
    ...     CategoricalField("app", vocabulary_size=3),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = FM(Schema(fields, label="click"), embedding_dim=2)
    >>> table = np.zeros((27, 3), "float32")
    >>> table[2], table[3 + 23] = [1, 2, 0], [3, 0, 0]
    >>> _ = model.shared_embedding.embeddings.assign(table)
    >>> ids = {"ids": np.array([[2, 23], [2, 7]])}
    >>> top_feature_pairs(
    ...     model,
    ...     dataset_from_ids(ids, [0, 1], model.schema),
    ...     {"app": ["", "go", "chess"], "hour": range(24)},
    ...     min_rows=1,
    ... )[0]
    {'pair': 'app=chess × hour=23', 'effect': 3.0, 'rows': 1, 'strength': 1.5}
    """
    model_terms = ModelTerms(model)
    if not model_terms.has_pairs:
        raise UserError(
            "`model` must have pair terms: an FM or a DeepFM. Received: "
            f"{type(model).__name__}."
        )
    if field_pairs is None:
        strengths = strengths_of(model_terms, dataset).pairs[
            tuple(
                np.transpose(model_terms.pair_fields or np.empty((0, 2), int))
            )
        ]
        order = np.argsort(-strengths)
        positions = [model_terms.pair_fields[number] for number in order]
        positions = [
            pair for pair in positions if not _attending(model_terms, pair)
        ][:_FIELD_PAIRS]
    else:
        positions = [_positions(model_terms, pair) for pair in field_pairs]
    totals = {pair: _PairTotals() for pair in positions}
    features = model_terms.traced(model_terms.features)
    columns = [
        np.flatnonzero(model_terms.column_fields == field)
        for field in range(len(model_terms.fields))
    ]
    num_rows = 0
    for packed in model_terms.batches(dataset):
        rows, x, present = (tensor.numpy() for tensor in features(packed))
        num_rows += len(rows)
        for (i, j), total in totals.items():
            for left in columns[i]:
                for right in columns[j]:
                    both = present[:, left] & present[:, right]
                    total.add(
                        rows[both, left],
                        rows[both, right],
                        np.abs(x[both, left] * x[both, right]),
                    )
    names = FeatureNames(model_terms.schema, vocabulary)
    found = [
        entry
        for pair, total in totals.items()
        for entry in _strongest(
            model_terms, pair, total, num_rows, top, min_rows
        )
    ]
    found.sort(key=lambda entry: -entry["strength"])
    return [_named(model_terms, names, entry) for entry in found[:top]]


def _positions(
    model_terms: ModelTerms, pair: tuple[str, str]
) -> tuple[int, int]:
    for name in pair:
        model_terms.schema.field(
            name
        )  # raises for a name that it does not know
    first, second = sorted(model_terms.fields.index(name) for name in pair)
    if first == second:
        raise UserError(
            "`field_pairs` must pair different fields. Received: "
            f"{tuple(pair)}."
        )
    if attending := _attending(model_terms, (first, second)):
        raise UserError(
            "`field_pairs` must not name fields with pooling='attention', "
            "whose values contribute differently for each candidate. "
            f"Received: '{attending[0]}'."
        )
    return first, second


def _attending(model_terms: ModelTerms, pair: tuple[int, int]) -> list[str]:
    fields = model_terms.schema.embedded_fields
    return [fields[i].name for i in pair if fields[i].candidate is not None]


class _PairTotals:
    """Rows, and sums of `|x_s x_t|`, of each pair of table rows seen."""

    def __init__(self) -> None:
        self.pairs: Array = np.empty((0, 2), np.int64)
        self.counts: Array = np.empty((0, 2))
        self._waiting: list[tuple[Array, Array]] = []
        self._num_waiting = 0

    def add(self, left: Array, right: Array, x: Array) -> None:
        counts = np.stack([np.ones(len(x)), x], axis=1)
        self._waiting.append((np.stack([left, right], axis=1), counts))
        self._num_waiting += len(x)
        if self._num_waiting > MERGE_AT:
            self.merge()

    def merge(self) -> None:
        pairs, counts = (
            np.concatenate(arrays)
            for arrays in zip(
                (self.pairs, self.counts), *self._waiting, strict=True
            )
        )
        self._waiting, self._num_waiting = [], 0
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        pairs, counts = pairs[order], counts[order]
        new = np.ones(len(pairs), bool)
        new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        starts = np.flatnonzero(new)
        self.pairs = pairs[starts]
        self.counts = np.add.reduceat(counts, starts) if len(starts) else counts
        if len(starts) > MAX_PAIRS:
            keep = np.argsort(-self.counts[:, 0], kind="stable")
            keep = keep[: MAX_PAIRS // 2]
            self.pairs, self.counts = self.pairs[keep], self.counts[keep]


def _strongest(
    model_terms: ModelTerms,
    pair: tuple[int, int],
    total: _PairTotals,
    num_rows: int,
    top: int,
    min_rows: int,
) -> list[dict[str, Any]]:
    total.merge()
    often = total.counts[:, 0] >= min_rows
    pairs, counts = total.pairs[often], total.counts[often]
    effects = np.empty(len(pairs))
    for start in range(0, len(pairs), MERGE_AT):
        part = slice(start, start + MERGE_AT)
        left, right = (
            model_terms.table_rows(pairs[part, side])[:, :-1].numpy()
            for side in (0, 1)
        )
        effects[part] = (left * right).sum(axis=1, dtype=np.float64)
    strengths = np.abs(effects) * counts[:, 1] / num_rows
    return [
        {
            "fields": pair,
            "rows_of_table": pairs[number].tolist(),
            "effect": float(effects[number]),
            "rows": int(counts[number, 0]),
            "strength": float(strengths[number]),
        }
        for number in np.argsort(-strengths, kind="stable")[:top]
    ]


def _named(
    model_terms: ModelTerms, names: FeatureNames, entry: dict[str, Any]
) -> dict[str, Any]:
    fields = model_terms.schema.embedded_fields
    features = []
    for number, row in zip(
        entry.pop("fields"), entry.pop("rows_of_table"), strict=True
    ):
        first = model_terms.first_rows[model_terms.schema.field_tables[number]]
        features.append(names.feature(fields[number], row - first))
    return {"pair": " × ".join(features), **entry}
