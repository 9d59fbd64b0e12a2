"""The Schema of a click log: its fields and its label."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepfm_tf.errors import Argument, UserError, UserTypeError, did_you_mean
from deepfm_tf.fields import (
    FIELD_TYPES,
    BucketizedField,
    CategoricalField,
    Field,
)
from deepfm_tf.fields.encoding import encoding_fields
from deepfm_tf.fields.field import as_tuple, check_num_rows
from deepfm_tf.schema.input_names import input_names
from deepfm_tf.schema.json_form import construct, without_defaults
from deepfm_tf.schema.labels import (
    NEGATIVE_LABELS,
    POSITIVE_LABELS,
    explicit_labels,
)
from deepfm_tf.schema.table import schema_html, schema_table


@dataclasses.dataclass(frozen=True)
class Schema:
    """Which columns an example has, and how each is read.

    In the packed inputs and in the shared table the id fields (all but the
    numeric ones) come first, in schema order, then the numeric fields, in
    schema order.

    Args:
        fields: the fields, in any order; names must differ.
        label: str. The column that says whether there was a click.
        positive_labels: label values that mean 1. Compared as text, blanks
            around it ignored. 1, true, t, yes and y mean 1 by default.
        negative_labels: label values that mean 0. A value named in one of
            the two is not among the defaults of the other.
        missing_values: further values that mean "missing" in every column,
            such as `"?"` or `"-1"`. Empty text, NaN and null always do.
        notes: remarks of `infer_schema`, for the reader. No other effect.
        example_weight: str or None. A column of numbers of at least 0 that
            says how much each row counts in the loss and the metrics. Data
            sets are then of `(inputs, label, weight)`. Keras divides by the
            number of rows, not by the sum of the weights: let them be about 1
            on average, or adapt the learning rate.

    Example:

    >>> from deepfm_tf.fields import CategoricalField, NumericField
    >>> schema = Schema(
    ...     fields=(CategoricalField("site"), NumericField("price")),
    ...     label="clicked",
    ... )
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    fields: tuple[Field, ...]
    label: str
    positive_labels: tuple[str, ...] = POSITIVE_LABELS
    negative_labels: tuple[str, ...] = NEGATIVE_LABELS
    missing_values: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    example_weight: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "fields",
            "positive_labels",
            "negative_labels",
            "missing_values",
            "notes",
        ):
            object.__setattr__(self, name, as_tuple(getattr(self, name)))
        labels = explicit_labels(self.positive_labels, self.negative_labels)
        object.__setattr__(self, "positive_labels", labels[0])
        object.__setattr__(self, "negative_labels", labels[1])
        _check_schema(self)

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The columns beside the fields: the label, the example weight."""
        if self.example_weight is None:
            return (self.label,)
        return self.label, self.example_weight

    @property
    def id_fields(self) -> tuple[Field, ...]:
        """Fields that are looked up: all but the numeric ones."""
        return tuple(f for f in self.fields if not f.is_numeric)

    @property
    def numeric_fields(self) -> tuple[Field, ...]:
        """Fields embedded as value times vector, then all `encodings`."""
        numeric = tuple(f for f in self.fields if f.is_numeric)
        return numeric + encoding_fields(self.fields)

    @property
    def embedded_fields(self) -> tuple[Field, ...]:
        """All fields in the order of the packed inputs and embeddings."""
        return self.id_fields + self.numeric_fields

    @property
    def columns_per_field(self) -> tuple[int, ...]:
        """For each embedded field, its columns of `ids` or of `values`."""
        return tuple(max(1, f.num_ids) for f in self.embedded_fields)

    @property
    def weighted_fields(self) -> tuple[Field, ...]:
        """Fields whose values carry weights."""
        return tuple(f for f in self.fields if f.has_weights)

    @property
    def table_fields(self) -> tuple[Field, ...]:
        """Embedded fields that own rows of the shared table."""
        return tuple(f for f in self.embedded_fields if f.share_with is None)

    @property
    def field_tables(self) -> tuple[int, ...]:
        """For each embedded field, the position of its owner's rows."""
        owners = [f.name for f in self.table_fields]
        return tuple(
            owners.index(self.owner(f).name) for f in self.embedded_fields
        )

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Rows of each field in `table_fields`; needs a fitted schema."""
        for field in self.table_fields:
            if field.vocabulary_size is None:
                raise UserError(
                    f"Field '{field.name}' has no `vocabulary_size` yet. Pass "
                    "the schema of a fitted vocabulary (`prepared.schema` or "
                    "`vocabulary.schema`), or set `vocabulary_size` if you "
                    "bring your own ids."
                )
        return tuple(f.vocabulary_size or 0 for f in self.table_fields)

    @property
    def signature_names(self) -> dict[str, str]:
        """Field name -> input name in the exported signatures.

        The one mapping of all that is exported; see `input_names` for how a
        name is made.
        """
        return input_names(field.name for field in self.fields)

    def field(self, name: str) -> Field:
        """The field called `name`, one of `encodings` too."""
        for field in (*self.fields, *encoding_fields(self.fields)):
            if field.name == name:
                return field
        names = [f.name for f in self.fields]
        raise UserError(
            f"The schema has no field '{name}'.{did_you_mean(name, names)} Its "
            f"fields are: {', '.join(names)}."
        )

    def owner(self, field: Field) -> Field:
        """The field whose vocabulary and rows `field` uses."""
        shared = field.share_with
        return field if shared is None else self.field(shared)

    def keeps_rare(self, field: Field) -> bool:
        """Whether values without an id are kept, for `encodings`."""
        owner = self.owner(field)
        return owner.is_counted and any(
            f.encodings and self.owner(f) == owner for f in self.fields
        )

    def has_missing_id(self, field: Field) -> bool:
        """Whether id 1 of the field's vocabulary stands for "missing".

        So it is if this field, or one it shares a vocabulary with, takes
        missing as a value of its own.
        """
        owner = self.owner(field)
        return any(
            f.missing == "value" for f in self.fields if self.owner(f) == owner
        )

    def with_vocabulary_sizes(self, sizes: Mapping[str, int]) -> Schema:
        """The same schema with the sizes that the fitted vocabulary has."""
        fields = tuple(
            f if f.is_numeric else _with_size(f, sizes[f.name])
            for f in self.fields
        )
        return dataclasses.replace(self, fields=fields)

    def with_encodings(
        self, encodings: Sequence[str], names: Sequence[str] = ()
    ) -> Schema:
        """The same schema, with other `encodings` of some fields.

        Args:
            encodings: see `CategoricalField`.
            names: of categorical and bucketized fields. Defaults to all of
                them.
        """
        kinds = (CategoricalField, BucketizedField)
        fields = {field.name: field for field in self.fields}
        possible = [f.name for f in self.fields if isinstance(f, kinds)]
        if not names and not possible:
            raise UserError(
                "`encodings` must come with a categorical or bucketized "
                "field. Received: a schema without one.",
                argument="encodings",
            )
        for name in names or possible:
            field: Any = self.field(name)
            if not isinstance(field, kinds):
                raise UserError(
                    "`encodings` must be for categorical or bucketized "
                    f"fields. Received: '{name}', which is {field.type_name}.",
                    argument="names",
                )
            fields[name] = dataclasses.replace(
                field, encodings=tuple(encodings)
            )
        return dataclasses.replace(self, fields=tuple(fields.values()))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; values that equal the default are left out."""
        return {
            **without_defaults(self, skip=("fields",)),
            "fields": [
                {"type": f.type_name, **without_defaults(f)}
                for f in self.fields
            ],
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Schema:
        """The inverse of `to_dict`, with errors a person can act on."""
        if not isinstance(config, Mapping) or not isinstance(
            config.get("fields"), (list, tuple)
        ):
            raise UserError(
                "A schema must be a JSON object with the keys `label` and "
                f"`fields`, a list. Received: {str(config)[:80]}."
            )
        fields = []
        for number, entry in enumerate(config["fields"]):
            kind = entry.get("type") if isinstance(entry, Mapping) else None
            if kind not in tuple(FIELD_TYPES):
                raise UserError(
                    f"Field number {number + 1} of the schema must be an "
                    f"object whose `type` is one of {list(FIELD_TYPES)}. "
                    f"Received: {entry!r}."
                )
            arguments = {k: v for k, v in entry.items() if k != "type"}
            fields.append(construct(FIELD_TYPES[kind], arguments, kind))
        arguments = {k: v for k, v in config.items() if k != "fields"}
        arguments["fields"] = tuple(fields)
        schema: Schema = construct(cls, arguments, "schema")
        return schema

    def to_json(self) -> str:
        """The schema as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """The schema written by `to_json`."""
        try:
            config = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"The schema is not valid JSON: {error}") from None
        return cls.from_dict(config)

    def save(self, path: str | Path) -> None:
        """Write the schema as JSON."""
        Path(path).write_text(self.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read a schema written by `save` or by hand."""
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None

    def summary(self) -> str:
        """A table of the columns: what each became, and why."""
        return schema_table(self.fields, self.notes)

    def _repr_html_(self) -> str:
        """The table of `summary`, for notebooks."""
        return schema_html(self.fields, self.notes)

    def __str__(self) -> str:
        return self.to_json()


def _with_size(field: Any, size: int) -> Field:
    sized: Field = dataclasses.replace(field, vocabulary_size=size)
    return sized


def _check_schema(schema: Schema) -> None:
    if not schema.fields:
        raise UserError(
            "A schema must have at least one field. Received: fields=()."
        )
    for field in schema.fields:
        if not isinstance(field, tuple(FIELD_TYPES.values())):
            raise UserTypeError(
                "`fields` must hold CategoricalField, NumericField, "
                "BucketizedField, MultiValuedField or TimestampField objects. "
                f"Received: {field!r}."
            )
    if not isinstance(schema.label, str) or not schema.label:
        raise UserError(
            "`label` must be the name of the label column. Received: "
            f"label={schema.label!r}."
        )
    names = [f.name for f in schema.fields]
    all_names = names + [f.name for f in encoding_fields(schema.fields)]
    for name in names:
        if all_names.count(name) > 1:
            raise UserError(f"Two fields of the schema are named '{name}'.")
    input_names(names)  # Told now, not when a trained model is exported.
    if schema.label in names:
        raise UserError(
            f"The label '{schema.label}' is also a field: the model would be "
            "given the answer. Remove the field."
        )
    weight = schema.example_weight
    if weight is not None and (not isinstance(weight, str) or not weight):
        raise UserError(
            Argument("example_weight"),
            " must be the name of a column, or None. Received: ",
            Argument("example_weight", weight),
            ".",
        )
    if weight in (schema.label, *names):
        raise UserError(
            f"The example weight '{weight}' is also the label or a field. "
            "Name a column of its own."
        )
    for name in ("positive_labels", "negative_labels", "missing_values"):
        for value in getattr(schema, name):
            if not isinstance(value, str):
                raise UserTypeError(
                    Argument(name), f" must hold strings. Received: {value!r}."
                )
    both = set(schema.positive_labels) & set(schema.negative_labels)
    if both or not schema.positive_labels or not schema.negative_labels:
        raise UserError(
            Argument("positive_labels"),
            " and ",
            Argument("negative_labels"),
            " must both name at least one value, and no value twice. Received: "
            f"{schema.positive_labels} and {schema.negative_labels}.",
        )
    for field in schema.fields:
        _check_sharing(schema, field)
        _check_candidate(schema, field)
    check_num_rows(schema.table_fields)


def _check_candidate(schema: Schema, field: Field) -> None:
    if field.candidate is None:
        return
    candidate = schema.field(field.candidate)
    if (
        not candidate.is_text
        or candidate.is_time
        or candidate.candidate is not None
    ):
        raise UserError(
            f"Field '{field.name}': `candidate` must name a categorical or "
            "multi-valued field that is not itself pooled by attention. "
            f"Received: candidate='{field.candidate}'."
        )


def _check_sharing(schema: Schema, field: Field) -> None:
    shared = field.share_with
    if shared is None:
        return
    owner = schema.field(shared)
    if (
        owner == field
        or not owner.is_text
        or owner.is_time
        or owner.share_with is not None
    ):
        raise UserError(
            f"Field '{field.name}': `share_with` must name a categorical or "
            "multi-valued field that has a vocabulary of its own. Received: "
            f"share_with='{shared}'."
        )
