"""One context and many candidates, as the columns of one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepfm_tf.errors import UserError
from deepfm_tf.serving.client.columns import Data, as_columns, match_columns
from deepfm_tf.serving.client.errors import shown
from deepfm_tf.serving.client.signature import Signature
from deepfm_tf.serving.served_fields import NO_FIELDS, ServedFields


def rank_columns(
    context: Any,
    candidates: Data,
    signature: Signature,
    name: str,
    fields: ServedFields = NO_FIELDS,
) -> dict[str, Any]:
    """The context's values and the candidates' columns, by input name.

    Which inputs are the context's shows in the signature: their first
    dimension is one.

    Args:
        context: one value for each field of the context.
        candidates: rows, as for `predict`.
        signature: the signature called `name`.
        fields: the model's fields; none where it does not tell them.

    Raises:
        ValueError: the signature has no context inputs or nothing else, or a
            field stands on the wrong side.
    """
    fixed = signature.context
    rest = [n for n in signature.inputs if n not in fixed]
    if not fixed or not rest:
        raise UserError(
            f"The signature '{name}' must have context inputs of shape (1,) "
            f"beside candidate inputs of shape (N,). Received: {shown(fixed)} "
            f"and {shown(rest)}. Use `predict`, or export the model with "
            "`context_fields`."
        )
    one = _select(as_columns(_one_row(context), fixed), fixed, rest, fields)
    many = _select(as_columns(candidates, rest), rest, fixed, fields)
    for field in one.keys() & rest:
        if field not in many:
            raise UserError(
                f"'{fields.column(field)}' differs between candidates in the "
                f"signature '{name}', so it belongs in `candidates`. Received: "
                "it in `context`."
            )
    for field in many.keys() & fixed:
        if field not in one:
            raise UserError(
                f"'{fields.column(field)}' is one value for all candidates in "
                f"the signature '{name}', so it belongs in `context`. "
                "Received: it in `candidates`."
            )
    return {
        **{n: v for n, v in many.items() if n not in fixed},
        **{n: v for n, v in one.items() if n not in rest},
    }


def _select(
    columns: Mapping[str, Any],
    inputs: list[str],
    others: list[str],
    fields: ServedFields,
) -> dict[str, Any]:
    """The columns by the names of the inputs that they are for."""
    matches = match_columns(columns, [*inputs, *others], fields)
    result = {n: columns[column] for n, column in matches.items()}
    for column in columns:
        if column not in matches.values():
            result[column] = columns[column]
    return result


def _one_row(context: Any) -> Any:
    """A Series stands for its row."""
    if hasattr(context, "to_dict") and getattr(context, "ndim", 0) == 1:
        return context.to_dict()
    return context
