"""Where each field stands in the packed inputs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.fields import Field
from deepfm_tf.fields.encoding import encoding_fields


class PackedLayout:
    """Which columns of `ids`, `values` and `weights` belong to which field.

    The one place that counts columns. In `ids` each field has `num_ids`
    columns, and as many in `weights` if its values carry weights; a numeric
    field has one column of `values`. Fields follow each other as in the
    schema; the numbers that they bring (`encodings`) stand last.

    Args:
        fields: those of a schema, or some of them, in its order.

    Attributes:
        fields: tuple of Field. The fields with ids, then the numeric ones: the
            order of the embeddings.
        num_ids, num_weights, num_values: int. Columns of each input.

    Example:

    >>> from deepfm_tf.fields import CategoricalField, MultiValuedField
    >>> fields = (CategoricalField("site"), MultiValuedField("tags"))
    >>> layout = PackedLayout(fields)
    >>> layout.columns("tags")
    {'ids': slice(1, 9, None)}
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        fields = tuple(fields)
        id_fields = tuple(f for f in fields if not f.is_numeric)
        numeric = tuple(f for f in fields if f.is_numeric)
        self.fields = id_fields + numeric + encoding_fields(fields)
        self.num_ids = self.num_weights = self.num_values = 0
        self._columns: dict[str, dict[str, slice]] = {}
        for field in self.fields:
            columns = self._columns[field.name] = {}
            if field.is_numeric:
                columns["values"] = slice(self.num_values, self.num_values + 1)
                self.num_values += 1
                continue
            columns["ids"] = slice(self.num_ids, self.num_ids + field.num_ids)
            self.num_ids += field.num_ids
            if field.has_weights:
                stop = self.num_weights + field.num_ids
                columns["weights"] = slice(self.num_weights, stop)
                self.num_weights = stop

    @property
    def widths(self) -> dict[str, int]:
        """Name of each packed input there is -> its number of columns."""
        widths = {
            "ids": self.num_ids,
            "weights": self.num_weights,
            "values": self.num_values,
        }
        return {name: width for name, width in widths.items() if width}

    def columns(self, name: str) -> dict[str, slice]:
        """The columns of the field called `name`, in each input it is in."""
        return self._columns[name]

    def place(self, name: str) -> tuple[str, slice]:
        """The input that holds the field's ids or values, and its columns."""
        columns = self._columns[name]
        main = "ids" if "ids" in columns else "values"
        return main, columns[main]

    @property
    def column_fields(self) -> Array:
        """(num_ids + num_values,): whose each column is, a place in `fields`.

        First the columns of `ids`, then those of `values`.
        """
        counts = [max(1, field.num_ids) for field in self.fields]
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def weight_columns(self) -> Array:
        """(num_ids,) int32: which of the weights each id column has.

        It is `num_weights`, one past the last, where there is none.
        """
        columns = np.full(self.num_ids, self.num_weights, dtype=np.int32)
        for place in self._columns.values():
            if "weights" in place:
                weights = place["weights"]
                columns[place["ids"]] = np.arange(weights.start, weights.stop)
        return columns

    @property
    def is_in_mean(self) -> Array:
        """(num_ids,) bool: whether the column's field is pooled by mean.

        So are the first-order weights of a field that is by attention.
        """
        is_mean = np.array([f.pooling != "sum" for f in self.fields], bool)
        return is_mean[self.column_fields[: self.num_ids]]
