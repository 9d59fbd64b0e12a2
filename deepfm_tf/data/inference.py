"""A first schema for data that nobody has described yet."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import pyarrow as pa

from deepfm_tf.data.column_kinds import Decision, decide, without_folders
from deepfm_tf.data.head import Head
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.fields import CategoricalField
from deepfm_tf.files.frames import columns_of, slicer
from deepfm_tf.files.readers import (
    Source,
    check_headers,
    column_names,
    folder_columns,
    list_files,
)
from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.schema import Schema
from deepfm_tf.schema.labels import (
    NEGATIVE_LABELS,
    POSITIVE_LABELS,
    explicit_labels,
    say_two_labels,
    two_labels,
)
from deepfm_tf.shell import option

# Odd texts that are shown.
_NUM_SHOWN = 3


def infer_schema(
    source: Source | Head,
    label: str,
    *,
    text_format: TextFormat | None = None,
    positive_labels: Sequence[str] | None = None,
    negative_labels: Sequence[str] | None = None,
    missing_values: Sequence[str] = (),
    example_weight: str | None = None,
    categorical: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Schema:
    """A sensible first schema for data nobody has described yet.

    Looks at the first rows and chooses a type for each column; why, and what
    it left out, is in the schema's `notes` and `summary()`. Edit it as JSON.
    What only you can decide, such as a text among numbers, is a warning.

    A column is left out if it is constant, missing throughout, of a type
    that cannot be a field, or has another value in each row. Text is
    categorical, or multi-valued where values stand between `|` or `;`.
    Numbers are numeric, unless they are few, long, begin with zeros, are
    mostly the same and else recur, or the column is called an id. Times are
    recognised as text, and as whole numbers where the column is called a
    time. The day of a folder's name is left out beside a time in the rows.

    Args:
        source: a file, a list of files, a DataFrame or a dict of arrays; or
            its Head, where the columns have been read.
        label: str. The label column.
        text_format: of text files, as for `prepare`.
        positive_labels: as for `Schema`, like the next three.
        negative_labels: label values that mean 0.
        missing_values: further values that mean "missing" in every column.
        example_weight: str. The column that says how much an example counts.
        categorical: columns that are categorical whatever they look like,
            such as numbers that name things.
        ignore: columns to leave out.

    Example:

    >>> import deepfm_tf
    >>> log = {"slot": list(range(100)) * 2, "click": [0, 1] * 100}
    >>> schema = deepfm_tf.infer_schema(log, "click", categorical=["slot"])
    >>> type(schema.field("slot")).__name__
    'CategoricalField'
    """
    head = source if isinstance(source, Head) else None
    if isinstance(source, Head):
        text_format = source.text_format
        source = source.source
    names = column_names(source, text_format)
    categorical, ignore = (
        (chosen,) if isinstance(chosen, str) else tuple(chosen)
        for chosen in (categorical, ignore)
    )
    both = [name for name in categorical if name in ignore]
    if both:
        raise UserError(
            *(Argument("categorical"), " and ", Argument("ignore")),
            f" must not name the same column. Received in both: {both[0]!r}.",
        )
    weight = (example_weight,) if example_weight else ()
    wanted = [label, *weight, *categorical, *ignore]
    check_headers(source, wanted, text_format)
    targets = (label, *weight)
    _check_chosen("categorical", categorical, targets)
    _check_chosen("ignore", ignore, targets)
    columns = [n for n in names if n and n not in (*targets, *ignore)]
    unfit = _unfit(source, columns)
    fit = [name for name in columns if name not in unfit]
    head = head or Head(source, [*fit, label], text_format)
    if not head.num_rows:
        files = ", ".join(list_files(source) or ["the data"])
        first = f" {head.bad[0]}" if head.bad else ""
        raise UserError(
            "The data to infer a schema from must have at least one row that "
            f"can be read. Received: none in {files}.{first}"
        )
    positive, negative = explicit_labels(
        tuple(positive_labels or POSITIVE_LABELS),
        tuple(negative_labels or NEGATIVE_LABELS),
    )
    _check_labels(label, head.labels(label), positive, negative)
    decisions = []
    for name in names:
        if name in targets:
            continue
        if not name:
            decision = Decision(name, "left out", "it has no name")
        elif name in ignore:
            decision = Decision(name, "left out", "it is listed in `ignore`")
        elif name in categorical:
            field = CategoricalField(name)
            decision = Decision(
                name, "categorical", "it is listed in `categorical`", field
            )
        elif name in unfit:
            decision = unfit[name]
        else:
            decision = _decide(head, name, missing_values)
        decisions.append(decision)
    in_folders = set(folder_columns(source, text_format))
    decisions = without_folders(decisions, in_folders - set(categorical))
    notes = tuple(f"{d.name!r}: {d.kind}, {d.reason}." for d in decisions)
    fields = tuple(d.field for d in decisions if d.field is not None)
    if not fields and head.num_rows == 1:
        raise UserError(
            "The data to infer a schema from must have more than one row: "
            "one row does not show what a column holds. Give more rows, or "
            "write the schema yourself."
        )
    if not fields:
        raise UserError(
            "No column can be a field: " + " ".join(notes) + " Write the "
            "schema yourself if you disagree."
        )
    schema = Schema(
        fields,
        label,
        positive_labels=positive,
        negative_labels=negative,
        missing_values=tuple(missing_values),
        notes=notes,
        example_weight=example_weight,
    )
    for decision in decisions:
        for message in _doubts(decision, head, missing_values):
            warnings.warn(message, stacklevel=2)
    return schema


def _decide(head: Head, name: str, missing_values: Sequence[str]) -> Decision:
    try:
        texts = head.texts(name, missing_values)
    except (UserError, pa.ArrowException) as error:
        return _no_field(name, error)
    return decide(name, texts, head.holds_lists(name))


def _unfit(source: Source, names: Sequence[str]) -> dict[str, Decision]:
    """The columns in memory of which no row has a text."""
    unfit: dict[str, Decision] = {}
    if list_files(source) is not None:
        return unfit
    columns = columns_of(source)
    for name in names:
        try:
            slicer(columns[name], name)
        except UserError as error:
            unfit[name] = _no_field(name, error)
    return unfit


def _no_field(name: str, error: Exception) -> Decision:
    reason = f"it cannot be a field ({str(error).rstrip('.')})"
    return Decision(name, "left out", reason)


def _check_chosen(
    argument: str, names: Sequence[str], targets: Sequence[str]
) -> None:
    """The label and the weight are none of the columns to decide on."""
    for name in names:
        if name in targets:
            what = "label" if name == targets[0] else "example weight"
            raise UserError(
                Argument(argument),
                " must name columns that can be fields. Received: ",
                f"'{name}', which is the {what}, not a field. Leave it "
                "out, or name another column as the ",
                f"{what}.",
                argument=argument,
            )


def _check_labels(
    label: str,
    counts: Mapping[str, int],
    positive: Sequence[str],
    negative: Sequence[str],
) -> None:
    labels = two_labels(counts, positive, negative)
    if labels is None or set(positive) & set(negative):
        return  # the schema will tell of a contradiction
    settings = f"positive_labels={labels[0]!r}, negative_labels={labels[1]!r}"
    raise UserError(
        say_two_labels(label, counts, labels, settings),
        argument="positive_labels",
    )


def _doubts(
    decision: Decision, head: Head, missing_values: Sequence[str]
) -> list[str]:
    """What somebody must do about texts among numbers, or among times."""
    messages = []
    name = decision.name
    is_time = decision.field is not None and decision.field.is_time
    what = "times" if is_time else "numbers"
    flag = f"--categorical {name}"
    if decision.odd:
        shown, total = _shown(decision.odd, head, name, missing_values)
        marked = option("--missing", *list(decision.odd)[:_NUM_SHOWN])
        advice = (
            f"If they mean missing, name them in `missing_values` ({marked})"
        )
        if any("," in text for text in decision.odd):
            advice = (
                "Write numbers with a point and without a comma (12.5, "
                f"1234.5). {advice}"
            )
        messages.append(
            f"Column '{name}': nearly all values are {what}, but not "
            f"{shown}; {total:,} of the first {head.num_rows:,} rows. "
            f"Reading will stop at the first of these rows. {advice}; leave "
            'the rows out with `on_error="skip"` (--on-error skip); or '
            f"treat the column as categorical with `categorical` ({flag})."
        )
    if decision.unlike_numbers:
        texts = decision.unlike_numbers
        shown, total = _shown(texts, head, name, missing_values)
        became = decision.kind.replace("categorical", "a category")
        messages.append(
            f"Column '{name}' is {became}: its values seem to be numbers with "
            f"commas, such as {shown}, which are read as text. If they are "
            "numbers, write them with a point and without a comma (12.5, "
            "1234.5)."
        )
    return messages


def _shown(
    texts: Mapping[str, int],
    head: Head,
    name: str,
    missing_values: Sequence[str],
) -> tuple[str, int]:
    """The commonest texts with their places, and the rows of all."""
    chosen = sorted(texts, key=texts.__getitem__, reverse=True)[:_NUM_SHOWN]
    column = head.texts(name, missing_values)
    parts = []
    for text in chosen:
        rows = "row" if texts[text] == 1 else "rows"
        place = head.place(column, text)
        parts.append(f"{text!r} ({texts[text]:,} {rows}, first in {place})")
    if len(texts) > len(chosen):
        parts.append(f"{len(texts) - len(chosen):,} other texts")
    return ", ".join(parts), sum(texts.values())
