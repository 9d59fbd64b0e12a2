"""Ids in words: `hour=23`, `site=(OOV)`, `price=12.5`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.fields import Field
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.schema import Schema

OOV = "(OOV)"
MISSING = "(missing)"


class FeatureNames:
    """Names of the features of a schema.

    Args:
        schema: the schema of the model.
        vocabulary: a Vocabulary; or a mapping of field names to sequences,
            where position i names id i; or None, for which ids stand as `#7`.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema
    >>> field = CategoricalField("site", vocabulary_size=3)
    >>> names = FeatureNames(Schema((field,), "y"), {"site": ["", "", "a"]})
    >>> names.feature(field, 2)
    'site=a'
    """

    def __init__(self, schema: Schema, vocabulary: Any = None) -> None:
        self._schema = schema
        self._names: Mapping[str, Any] = {}
        # Of the fields that were asked for, what `value_names` gave.
        self._known: dict[str, Any] = {}
        self._vocabulary = None
        if isinstance(vocabulary, Mapping):
            self._names = vocabulary
        elif vocabulary is not None:
            self._vocabulary = vocabulary

    def feature(self, field: Field, id_: int) -> str:
        """Field and value. A numeric field has the ids 0, and 1: missing."""
        if field.is_numeric and not id_:
            return field.name
        return f"{field.name}={self.value(field, id_)}"

    def value(self, field: Field, id_: int) -> str:
        """The name of an id within its field."""
        if field.is_numeric:
            return MISSING if id_ else ""
        owner = self._schema.owner(field)
        names = self._names.get(field.name, self._names.get(owner.name, ()))
        if id_ < len(names):
            return str(names[id_])
        if self._vocabulary is None:
            return f"#{id_}"
        first = self._vocabulary.first_id(field)
        if id_ < first:
            return MISSING if id_ else OOV
        if field.name not in self._known:
            self._known[field.name] = self._vocabulary.value_names(field)
        known = self._known[field.name]
        return (
            f"bucket {id_ - first}"
            if known is None
            else str(known[id_ - first])
        )

    def examples(
        self, packed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], ...]:
        """For each row of packed inputs, each field with its value."""
        layout = PackedLayout(self._schema.fields)
        texts: list[list[str]] = []
        for field in layout.fields:
            own = {
                name: np.asarray(packed[name])[:, columns]
                for name, columns in layout.columns(field.name).items()
            }
            if field.is_numeric:
                texts.append([self._number(field, x) for (x,) in own["values"]])
                continue
            ids = own["ids"]
            weights = own.get("weights", np.ones(ids.shape))
            texts.append(
                [
                    self._values(field, *row)
                    for row in zip(ids, weights, strict=True)
                ]
            )
        return tuple(zip(*texts, strict=True))

    def _values(self, field: Field, ids: Any, weights: Any) -> str:
        texts = [
            self.value(field, int(id_))
            + ("" if weight == 1 else f":{weight:.4g}")
            for id_, weight in zip(ids, weights, strict=True)
            if id_ >= 0
        ]
        return f"{field.name}={'|'.join(texts) or MISSING}"

    def _number(self, field: Any, x: float) -> str:
        if not np.isfinite(x):
            return f"{field.name}={MISSING}"
        if self._vocabulary is None or field.scaling == "none":
            return f"{field.name}={x:.4g}"
        return f"{field.name}={self._vocabulary.unscale(field, x):.4g}"
