"""Which fields earn their place: use, importance, gaps, untrained ids."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.explain.importance import Importance
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.explain.strengths import strengths_of
from deepfm_tf.html_table import html_table
from deepfm_tf.models import CTRModel
from deepfm_tf.text_table import text_table

# Id 0 of every field; id 1 where missing is a value of its own.
_OOV, _MISSING = 0, 1
# Terms below this share of the strongest field's count as next to nothing.
_WEAK = 0.05


@dataclasses.dataclass(frozen=True)
class FieldReport:
    """One entry a field, as `field_report` gives it.

    Args:
        fields: tuple of str. Names of the fields.
        first_order: (fields,). Mean absolute first-order term, in logits.
        pairs: (fields,). Mean absolute pair terms, summed over the partners.
        auc_drop, auc_margin, log_loss_rise, log_loss_margin: (fields,). Of
            `permutation_importance`; NaN if none was passed.
        oov_share: (fields,). OOV among the values of the data set; NaN for a
            numeric field, which has no ids.
        missing_share: (fields,). Rows of the data set that lack the field.
        num_ids: (fields,) int. Rows of the table that the field reads.
        untrained_ids: (fields,) int. Of these, the ones never trained.
        verdicts: tuple of str. `"helps"` or `"harms"`, by the interval of
            the log loss or, where that holds 0, of the AUC. Where both hold
            0, `"adds nothing"` if the field's terms are below 5 % of the
            strongest field's, else `"used without gain"`: the model goes by
            it, and predicts no better for it. `""` without an importance.
    """

    fields: tuple[str, ...]
    first_order: Array
    pairs: Array
    auc_drop: Array
    auc_margin: Array
    log_loss_rise: Array
    log_loss_margin: Array
    oov_share: Array
    missing_share: Array
    num_ids: Array
    untrained_ids: Array
    verdicts: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One dict a field, in the order of the fields."""
        names = [f.name for f in dataclasses.fields(self)[1:-1]]
        return [
            {
                "field": field,
                **{name: getattr(self, name)[i].item() for name in names},
                "verdict": self.verdicts[i],
            }
            for i, field in enumerate(self.fields)
        ]

    def table(self) -> str:
        """The report as text, without the margins."""
        return text_table(self._shown(), decimals=4)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return html_table(self._shown(), decimals=4)

    def _shown(self) -> list[dict[str, Any]]:
        return [
            {
                "field": row["field"],
                "first order": row["first_order"],
                "pairs": row["pairs"],
                "AUC drop": row["auc_drop"],
                "OOV": row["oov_share"],
                "missing": row["missing_share"],
                "ids": row["num_ids"],
                "untrained": row["untrained_ids"],
                "verdict": row["verdict"],
            }
            for row in self.rows()
        ]


def field_report(
    model: CTRModel,
    dataset: Any,
    *,
    training: Any = None,
    importance: Importance | None = None,
) -> FieldReport:
    """What each field does, and what is wrong with it.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of packed inputs to evaluate on, with or
            without labels. Two passes are made.
        training: the data set that the model was trained on, or None. With
            it, an id is untrained if no row of it holds the id: exact.
            Without, if its first-order weight is still exactly the 0 that it
            starts from, which no training that touches the id leaves
            alone, but for an L1 penalty (FTRL's), which pulls back to 0.
        importance: what `permutation_importance` gave on `dataset`, or None.

    Id 0 is read as OOV in each field, and id 1 as missing in a field that
    takes missing as a value: what a Vocabulary makes of them. A field that
    shares its rows with another reports all of them.

    Example:

    >>> from deepfm_tf import CategoricalField, LogisticRegression, Schema
    >>> from deepfm_tf import dataset_from_ids
    >>> field = CategoricalField("site", vocabulary_size=4)
    >>> model = LogisticRegression(Schema((field,), label="click"))
    >>> data = dataset_from_ids(
    ...     {"ids": np.array([[0], [1], [2], [2]])}, [0, 1, 0, 1], model.schema
    ... )
    >>> report = field_report(model, data, training=data)
    >>> report.oov_share.round(2).tolist(), report.missing_share.tolist()
    ([0.33], [0.25])
    >>> report.num_ids.tolist(), report.untrained_ids.tolist()
    ([4], [1])
    """
    model_terms = ModelTerms(model)
    num_fields = len(model_terms.fields)
    strengths = strengths_of(model_terms, dataset)
    oov_share, missing_share = _gaps(model_terms, dataset)
    untrained = _untrained(model_terms, training)
    num_ids, untrained_ids = [], []
    for table in model_terms.schema.field_tables:
        rows = slice(
            model_terms.first_rows[table], model_terms.first_rows[table + 1]
        )
        num_ids.append(rows.stop - rows.start)
        untrained_ids.append(int(untrained[rows].sum()))
    unknown = np.full(num_fields, np.nan)
    pairs = strengths.pairs.sum(axis=1)
    verdicts = ("",) * num_fields
    measured = dict.fromkeys(
        ("auc_drop", "auc_margin", "log_loss_rise", "log_loss_margin"), unknown
    )
    if importance is not None:
        if importance.fields != model_terms.fields:
            raise UserError(
                "`importance` must be that of the same model. Received: "
                f"importance of the fields {', '.join(importance.fields)}."
            )
        verdicts = _verdicts(importance, strengths.first_order + pairs)
        measured = {name: getattr(importance, name) for name in measured}
    return FieldReport(
        fields=model_terms.fields,
        first_order=strengths.first_order,
        pairs=pairs,
        **measured,
        oov_share=oov_share,
        missing_share=missing_share,
        num_ids=np.array(num_ids),
        untrained_ids=np.array(untrained_ids),
        verdicts=verdicts,
    )


def count_rows(model_terms: ModelTerms, dataset: Any) -> Array:
    """How often a data set holds each row of the table, (rows,) int64."""
    features = model_terms.traced(model_terms.features)
    counts = np.zeros(model_terms.first_rows[-1], np.int64)
    for packed in model_terms.batches(dataset):
        rows, _, present = features(packed)
        seen, times = np.unique(rows.numpy()[present], return_counts=True)
        counts[seen] += times
    return counts


def _untrained(model_terms: ModelTerms, training: Any) -> Array:
    """(rows of the table,) bool."""
    if training is not None:
        return np.asarray(count_rows(model_terms, training) == 0)
    return np.asarray(model_terms.first_order_weights() == 0)


def _gaps(model_terms: ModelTerms, dataset: Any) -> tuple[Array, Array]:
    """Share of OOV among the values, and of rows without any, by field."""
    features = model_terms.traced(model_terms.features)
    fields = model_terms.schema.embedded_fields
    has_missing_id = np.array([f.missing == "value" for f in fields])
    numeric = np.array([f.is_numeric for f in fields])
    starts = np.take(model_terms.first_rows, model_terms.schema.field_tables)
    # (columns, fields): 1 where a column is one of a field's.
    member = np.eye(len(fields), dtype=np.int64)[model_terms.column_fields]
    values, oov, missing, num_rows = 0, 0, 0, 0
    for packed in model_terms.batches(dataset):
        rows, _, present = (tensor.numpy() for tensor in features(packed))
        ids = rows - starts[model_terms.column_fields]
        named_missing = has_missing_id[model_terms.column_fields] & (
            ids == np.where(numeric[model_terms.column_fields], 1, _MISSING)
        )
        there = present & ~named_missing
        per_field = there @ member
        values = values + per_field.sum(axis=0)
        oov = oov + ((there & (ids == _OOV)) @ member).sum(axis=0)
        missing = missing + (per_field == 0).sum(axis=0)
        num_rows += len(rows)
    oov_share = np.divide(
        oov, values, out=np.zeros(len(fields)), where=np.asarray(values) > 0
    )
    return np.where(numeric, np.nan, oov_share), np.divide(missing, num_rows)


def _verdicts(importance: Importance, strength: Array) -> tuple[str, ...]:
    weak = strength <= _WEAK * strength.max()
    verdicts = np.where(weak, "adds nothing", "used without gain").astype(
        object
    )
    # The log loss has the last word. A NaN, of one class, decides nothing.
    for drop, margin in (
        (importance.auc_drop, importance.auc_margin),
        (importance.log_loss_rise, importance.log_loss_margin),
    ):
        verdicts = np.where(drop - margin > 0, "helps", verdicts)
        verdicts = np.where(drop + margin < 0, "harms", verdicts)
    return tuple(verdicts.tolist())
