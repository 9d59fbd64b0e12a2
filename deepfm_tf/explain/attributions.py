"""The terms of some predictions, to read and to print."""

from __future__ import annotations

import dataclasses
from typing import Any

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.html_table import html_table
from deepfm_tf.text_table import text_table

# Terms that a table shows.
_TOP = 20


@dataclasses.dataclass(frozen=True)
class Attributions:
    """The terms of some predictions, as `Explainer.explain` gives them.

    Args:
        fields: tuple of str. Names of the fields.
        labels: for each row, the field's value in words: `"hour=23"`.
        logit: (rows,). The model's own.
        bias: float.
        baseline: float. The pyramid at the mean embeddings; 0 if there is none.
        first_order: (rows, fields).
        pairs: (rows, pairs), in the order of `itertools.combinations` of the
            fields; no column if the model has no pair terms.
        deep: (rows, fields). The pyramid's part; 0 if there is none.
        completeness_error: (rows,). The logit less the sum of all terms.
    """

    fields: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    logit: Array
    bias: float
    baseline: float
    first_order: Array
    pairs: Array
    deep: Array
    completeness_error: Array

    @property
    def pair_fields(self) -> list[tuple[int, int]]:
        """Positions of the two fields of each column of `pairs`."""
        count = len(self.fields) if self.pairs.shape[1] else 0
        return [(i, j) for i in range(count) for j in range(i + 1, count)]

    @property
    def contributions(self) -> Array:
        """(rows, fields): a field's terms, and half of its pairs' terms."""
        total = self.first_order + self.deep
        for number, pair in enumerate(self.pair_fields):
            for field in pair:
                total[:, field] += 0.5 * self.pairs[:, number]
        return total

    def terms(
        self, row: int = 0, by_field: bool = False
    ) -> list[dict[str, Any]]:
        """The terms of a row, the largest first, bias and baseline ahead.

        Args:
            row: int. The row.
            by_field: bool. Whether to give each field's `contributions`, all
                its terms in one. Of forty fields there are 780 pairs, whose
                small terms may come to more than the large ones.

        Returns:
            A list of `{"term": str, "kind": str, "value": float}`; the kind
            is `"bias"`, `"baseline"`, and `"field"`, or `"first order"`,
            `"pair"` or `"deep"`. The values add up to the logit less the
            completeness error.

        Raises:
            ValueError: there is no such row.
        """
        num_rows = len(self.labels)
        if not -num_rows <= row < num_rows:
            raise UserError(
                f"`row` must be from 0 to {num_rows - 1}, the rows that were "
                f"explained. Received: row={row}."
            )
        labels = self.labels[row]
        terms = [("bias", "bias", self.bias)]
        if self.baseline or self.deep.any():
            terms.append(("deep part at the mean", "baseline", self.baseline))
        kind, values = "first order", self.first_order
        if by_field:
            kind, values = "field", self.contributions
        rest = [
            (label, kind, float(value))
            for label, value in zip(labels, values[row], strict=True)
        ]
        if not by_field:
            rest += self._pairs_and_deep(row)
        terms += sorted(rest, key=lambda term: -abs(term[2]))
        return [
            {"term": name, "kind": kind, "value": value}
            for name, kind, value in terms
        ]

    def _pairs_and_deep(self, row: int) -> list[tuple[str, str, float]]:
        labels = self.labels[row]
        terms = [
            (f"{labels[i]} × {labels[j]}", "pair", float(value))
            for (i, j), value in zip(
                self.pair_fields, self.pairs[row], strict=True
            )
        ]
        if self.deep.any():
            terms += [
                (label, "deep", float(value))
                for label, value in zip(labels, self.deep[row], strict=True)
            ]
        return terms

    def table(
        self, row: int = 0, top: int = _TOP, by_field: bool = False
    ) -> str:
        """A row's terms as text: the `top` largest, the rest in one line."""
        return text_table(self._shown(row, top, by_field), decimals=4)

    def _repr_html_(self) -> str:
        """The table of the first row, for notebooks."""
        caption = f"Row 0 of {len(self.labels):,}, in logits"
        shown = self._shown(0, _TOP, by_field=False)
        return html_table(shown, decimals=4, caption=caption)

    def _shown(
        self, row: int, top: int, by_field: bool
    ) -> list[dict[str, Any]]:
        terms = self.terms(row, by_field)
        top += sum(term["kind"] in ("bias", "baseline") for term in terms)
        shown, rest = terms[:top], terms[top:]
        if rest:
            total = sum(term["value"] for term in rest)
            name = f"{len(rest)} smaller terms"
            shown.append({"term": name, "kind": "", "value": total})
        error = float(self.completeness_error[row])
        logit = float(self.logit[row])
        return [
            *shown,
            {"term": "completeness error", "kind": "", "value": error},
            {"term": "logit", "kind": "sum", "value": logit},
        ]
