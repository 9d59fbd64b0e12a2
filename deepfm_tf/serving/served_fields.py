"""The fields of a served model, as its signature `fields` tells them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Collection, Sequence

# The signature, its only input and its only output.
SIGNATURE, ROWS, FIELDS = "fields", "rows", "fields"


@dataclasses.dataclass(frozen=True)
class ServedField:
    """A field and its input.

    Args:
        name: str. What the column is called in the data.
        input: str. What the input is called in the signatures.
        separator: str or None. What stands between the values of a row,
            where a row has several.
        missing_values: texts that stand for a missing number.
        has_default: bool. Whether requests may leave it out.
    """

    name: str
    input: str
    separator: str | None = None
    missing_values: tuple[str, ...] = ()
    has_default: bool = False


@dataclasses.dataclass(frozen=True)
class ServedFields:
    """The fields of a model; none, where the model does not tell.

    Args:
        fields: ServedFields, in the order of the schema.

    Example:

    >>> fields = ServedFields((ServedField("home-town", "home_town"),))
    >>> fields.column("home_town"), fields.column("site")
    ('home-town', 'site')
    """

    fields: tuple[ServedField, ...] = ()

    @classmethod
    def from_json(cls, text: str | bytes) -> ServedFields:
        """Read the answer of the signature; another model's tells nothing."""
        try:
            fields = tuple(
                ServedField(
                    str(entry["name"]),
                    str(entry["input"]),
                    entry.get("separator"),
                    tuple(entry.get("missing_values", ())),
                    "default" in entry,
                )
                for entry in json.loads(text)["fields"]
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()
        return cls(fields)

    def __bool__(self) -> bool:
        return bool(self.fields)

    @functools.cached_property
    def by_input(self) -> dict[str, ServedField]:
        """Input name -> field."""
        return {field.input: field for field in self.fields}

    def field(
        self, name: str, shape: Sequence[int | None] | None
    ) -> ServedField | None:
        """The field whose column an input takes.

        Args:
            name: str. The input.
            shape: its shape, None where it is not known. A matrix is no
                field's, whatever it is called.
        """
        is_column = shape is not None and len(shape) == 1
        return self.by_input.get(name) if is_column else None

    def column(self, name: str) -> str:
        """What the column for an input is called."""
        return self.by_input[name].name if name in self.by_input else name

    def may_lack(self, inputs: Collection[str]) -> bool:
        """Whether requests may leave all of these inputs out."""
        return all(
            name in self.by_input and self.by_input[name].has_default
            for name in inputs
        )


# Of a model that does not tell.
NO_FIELDS = ServedFields()
