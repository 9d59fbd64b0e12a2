"""Dataclasses to JSON-ready entries and back, with errors to act on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from deepfm_tf.errors import UserError


def without_defaults(item: Any, skip: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass whose values are not the default."""
    entries = {}
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if field.name not in skip and value != field.default:
            entries[field.name] = (
                list(value) if isinstance(value, tuple) else value
            )
    return entries


def construct(cls: type, arguments: dict[str, Any], kind: str) -> Any:
    """An instance of a dataclass; `kind` says what it is an entry for."""
    entries = dataclasses.fields(cls)
    known = [f.name for f in entries]
    unknown = [key for key in arguments if key not in known]
    where = f" of '{arguments['name']}'" if "name" in arguments else ""
    if unknown:
        raise UserError(
            f"Unknown key `{unknown[0]}`{where} in a {kind} entry of the "
            f"schema. Allowed: {', '.join(known)}."
        )
    required = [f.name for f in entries if f.default is dataclasses.MISSING]
    absent = [key for key in required if key not in arguments]
    if absent:
        raise UserError(
            f"The key `{absent[0]}` must be given{where} in a {kind} entry of "
            f"the schema. Received: {sorted(arguments)}."
        )
    return cls(**arguments)
