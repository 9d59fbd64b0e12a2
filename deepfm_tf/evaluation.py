"""Models on an evaluation set: exact metrics, of all rows and of slices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import keras
import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.drift import (
    DataCounts,
    DriftEntry,
    compare_counts,
    warn_of_drift,
)
from deepfm_tf.errors import UserError, UserTypeError, with_known_arguments
from deepfm_tf.html_table import html_table
from deepfm_tf.keras_internals import trace_prediction
from deepfm_tf.metrics import (
    METRIC_TITLES,
    Metrics,
    SliceMetrics,
    StreamingMetrics,
    StreamMetrics,
    binary_metrics,
    slice_metrics,
)
from deepfm_tf.models.batches import check_model, labelled_batches
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.slicing import groups_of_field, slices_of_field

# Rows that a stream keeps in memory at a time: `predict` takes a tenth of a
# second to begin. And rows in one step of it.
STREAM_ROWS = 2**17
_PREDICT_ROWS = 2**12


class Evaluation(Metrics, total=False):
    """What `evaluate` returns: the Metrics, and what was asked for besides."""

    slices: list[SliceMetrics]
    drift: list[DriftEntry]


def predict_with_labels(
    model: keras.Model, dataset: Any
) -> tuple[Array, Array]:
    """Labels and probabilities of a data set, row by row, dropout off.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)` in a fixed order.

    Returns:
        `(label, probability)`, each (rows,) float32.

    Raises:
        ValueError: the data set changes its order from pass to pass.
    """
    label, probability, _ = predict_with_weights(model, dataset)
    return label, probability


def predict_with_weights(
    model: keras.Model, dataset: Any
) -> tuple[Array, Array, Array | None]:
    """`predict_with_labels`, and what each row counts.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)`, or of `(inputs,
            label, weight)` with example weights, in a fixed order.

    Returns:
        `(label, probability, weight)`, each (rows,) float32; the weight is
        None if the data set has none. All metrics take the three.

    Raises:
        ValueError: the data set changes its order from pass to pass.
    """
    rows, probability = _predict(model, dataset, in_order=True)
    return rows.label, probability, rows.weight


def predict_unordered(
    model: keras.Model, dataset: Any
) -> tuple[Array, Array, Array | None]:
    """`predict_with_weights` in one pass, so that the order may be any."""
    rows, probability = _predict(model, dataset)
    return rows.label, probability, rows.weight


@with_known_arguments
def evaluate(
    model: keras.Model,
    dataset: Any,
    *,
    slice_by: Sequence[str] | Mapping[str, Any] = (),
    group_by: str | Array | None = None,
    vocabulary: Any = None,
    max_values: int = 30,
    confidence: float | None = None,
) -> Evaluation:
    """Exact metrics over a whole data set, and over slices of it.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)`, or of `(inputs,
            label, weight)` with example weights. Read once.
        slice_by: names of fields of the schema, as the model sees them:
            rare values are OOV. Or, for anything else,
            a mapping of names to columns as for `slice_metrics`, in the
            order of the data set, which must then keep it. Adds `slices`.
        group_by: the raw column to group by (the user, say), (rows,) of any
            values in the order of the data set: an array or a Series. Adds
            `grouped_auc` and `grouped_share`, and `grouped_left_out`, the
            number of rows without a value, if there are any. Or the name of
            a field with one value a row: its ids tell unseen and rare values
            (OOV) not apart, so these rows are left out too, with a warning.
        vocabulary: the Vocabulary, to call slices by name and by the data's own
            numbers, and to compare the shares of unseen and missing values
            with training's: adds `drift`, a list of what `Drift.to_dict`
            gives, and warns if it is not empty. Or a mapping of fields to the
            names of their ids, such as `vocabulary.values`, with which
            numbers stay as they are scaled and buckets are told by their
            place.
        max_values: int. As for `slice_metrics`. Defaults to 30.
        confidence: float, such as 0.95. Adds `intervals`, those of
            `metric_intervals`, of the whole and of each slice.

    Returns:
        The Evaluation.

    Example:

    >>> import deepfm_tf
    >>> field = deepfm_tf.CategoricalField("site", min_count=1)
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> schema = deepfm_tf.Schema((field,), "click")
    >>> vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    >>> model = deepfm_tf.LogisticRegression(vocabulary.schema)  # all zeros
    >>> dataset = deepfm_tf.dataset_from_memory(data, vocabulary)
    >>> metrics = evaluate(
    ...     model, dataset, slice_by=["site"], vocabulary=vocabulary
    ... )
    >>> metrics["auc"], metrics["log_loss"], metrics["rows"]
    (0.5, 0.6931471805599453, 3)
    >>> header = ["field", "value", "rows", "auc", "log_loss"]
    >>> print(deepfm_tf.report.text_table(metrics["slices"], header))
    field  value  rows        auc  log_loss
    -----  -----  ----  ---------  --------
    site   b         2     0.5000    0.6931
    site   a         1  undefined    0.6931
    """
    if isinstance(slice_by, str):
        raise UserTypeError(
            "`slice_by` must be a list of names. Received: "
            f"{slice_by!r}. Write [{slice_by!r}]."
        )
    names = [] if isinstance(slice_by, Mapping) else list(slice_by)
    wanted = [*names, group_by] if isinstance(group_by, str) else names
    # Values that come beside the data set are told apart by their place.
    beside = isinstance(slice_by, Mapping) or not (
        group_by is None or isinstance(group_by, str)
    )
    counts = None
    if vocabulary is not None and not isinstance(vocabulary, Mapping):
        counts = DataCounts(vocabulary)
    rows, probability = _predict(model, dataset, wanted, beside, counts)
    groups: Array | None
    if isinstance(group_by, str):
        column = rows.columns[group_by]
        groups = groups_of_field(model.schema, group_by, column)
    else:
        groups = group_by
    metrics = cast(
        Evaluation,
        _Shown(
            binary_metrics(
                rows.label,
                probability,
                rows.weight,
                groups=groups,
                confidence=confidence,
            )
        ),
    )
    if isinstance(group_by, str) and "grouped_left_out" in metrics:
        warnings.warn(
            f"GAUC leaves out {metrics['grouped_left_out']:,} of "
            f"{metrics['rows']:,} rows, whose '{group_by}' is missing, or "
            "unseen or rare in training (OOV): their group is unknown. Give "
            f"the raw column: group_by=frame['{group_by}'].",
            stacklevel=3,
        )
    if counts is not None:
        found = compare_counts(counts)
        warn_of_drift(found, "the data set", stacklevel=3)
        metrics["drift"] = [drift.to_dict() for drift in found]
    if not slice_by:
        return metrics
    slices: Mapping[str, Any]
    if isinstance(slice_by, Mapping):
        slices = slice_by
    else:
        slices = {
            name: slices_of_field(
                model.schema, name, rows.columns[name], vocabulary
            )
            for name in names
        }
    metrics["slices"] = slice_metrics(
        rows.label,
        probability,
        slices,
        rows.weight,
        groups=groups,
        max_values=max_values,
        confidence=confidence,
    )
    return metrics


def evaluate_stream(
    model: keras.Model, dataset: Any, confidence: float = 0.95
) -> StreamMetrics:
    """Metrics of a data set of any length, in one pass and bounded memory.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(inputs, label)`, or of `(inputs,
            label, weight)`, in any order.
        confidence: float. Of the intervals. Defaults to 0.95.

    Returns:
        The StreamMetrics: exact but for the AUC, whose largest possible
        error is `auc_error`.
    """
    check_model(model)
    metrics = StreamingMetrics()
    for inputs, label, weight in _chunks(dataset):
        metrics.update(label, _probability(model, inputs), weight)
    return cast(StreamMetrics, _Shown(metrics.result(confidence)))


class _Shown(dict[str, Any]):
    """Metrics that a notebook shows as a table, with a line for each slice."""

    def _repr_html_(self) -> str:
        lines = [{"data": "all rows", **_texts(self)}]
        for slice_ in self.get("slices", ()):
            name = f"{slice_['field']} = {slice_['value']}"
            lines.append({"data": name, **_texts(slice_)})
        drift = [
            {"field": entry["field"], "warning": entry["text"]}
            for entry in self.get("drift", ())
        ]
        below = html_table(drift, wide=["warning"]) if drift else ""
        return html_table(lines) + below


def _texts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Title -> number, with its interval if there is one."""
    texts: dict[str, Any] = {}
    for key, value in metrics.items():
        if isinstance(value, int | float):
            title = METRIC_TITLES.get(key, key.replace("_", " "))
            low_high = metrics.get("intervals", {}).get(key)
            texts[title] = value
            if low_high is not None:
                low, high = low_high
                texts[title] = f"{value:.4f} ({low:.4f} to {high:.4f})"
    return texts


class _Rows(NamedTuple):
    """What a data set holds besides what the model makes of it."""

    label: Array
    weight: Array | None
    columns: dict[str, Array]


def _predict(
    model: keras.Model,
    dataset: Any,
    fields: Sequence[str] = (),
    in_order: bool = False,
    counts: DataCounts | None = None,
) -> tuple[_Rows, Array]:
    """One pass; a second one to see that the order is kept, if it must be."""
    check_model(model, with_schema=bool(fields))
    places = {}
    if fields:
        layout = PackedLayout(model.schema.fields)
        names = [model.schema.field(name).name for name in fields]
        places = {name: layout.place(name) for name in names}
    labels: list[Array] = []
    weights: list[Array] = []
    columns: dict[str, list[Array]] = {name: [] for name in places}
    probabilities: list[Array] = []
    for inputs, label, weight in _chunks(dataset):
        labels.append(label[:, 0])
        if weight is not None:
            weights.append(weight.reshape(-1))
        for name, (part, place) in places.items():
            columns[name].append(inputs[part][:, place])
        if counts is not None:
            counts.count(inputs)
        probabilities.append(_probability(model, inputs))
    if not labels:
        raise UserError("The data set to evaluate on has no rows.")
    rows = _Rows(
        np.concatenate(labels),
        np.concatenate(weights) if weights else None,
        {name: np.concatenate(parts) for name, parts in columns.items()},
    )
    if in_order:
        again = np.concatenate([label.numpy() for _, label, *_ in dataset])
        if not np.array_equal(rows.label, again[:, 0]):
            raise UserError(
                "The data set must give its rows in the same order in each "
                "pass, but two passes differ. Make it with shuffle=False."
            )
    return rows, np.concatenate(probabilities)


def _probability(model: keras.Model, inputs: Mapping[str, Array]) -> Array:
    layer = getattr(model, "embedding_layer", None)
    if layer is not None and "ids" in inputs:
        layer.check_ids(inputs["ids"])
    if model.distribute_strategy.num_replicas_in_sync > 1:
        # Which divides each batch between them.
        output = model.predict(inputs, batch_size=_PREDICT_ROWS, verbose=0)
        return _only_column(output)
    # `predict` would first make a data set, which takes longer than a small
    # model needs for a few thousand rows.
    trace_prediction(model, inputs)
    parts = []
    for start in range(0, len(inputs[next(iter(inputs))]), _PREDICT_ROWS):
        stop = start + _PREDICT_ROWS
        part = {name: array[start:stop] for name, array in inputs.items()}
        parts.append(_only_column(model.predict_on_batch(part)))
    return np.concatenate(parts)


def _only_column(output: Mapping[str, Array]) -> Array:
    probability: Array = output["probability"][:, 0]
    return probability


def _chunks(
    dataset: Any,
) -> Iterator[tuple[dict[str, Array], Array, Array | None]]:
    """Inputs, labels and weights of some batches at a time."""
    batches: list[Any] = []
    num_rows = 0
    for batch in labelled_batches(dataset):
        batches.append(batch)
        num_rows += len(batch[1])
        if num_rows >= STREAM_ROWS:
            yield _joined(batches)
            batches, num_rows = [], 0
    if batches:
        yield _joined(batches)


def _joined(
    batches: Sequence[Any],
) -> tuple[dict[str, Array], Array, Array | None]:
    inputs, label, *weight = zip(*batches, strict=True)
    return (
        {n: np.concatenate([part[n] for part in inputs]) for n in inputs[0]},
        np.concatenate(label),
        np.concatenate(weight[0]) if weight else None,
    )
