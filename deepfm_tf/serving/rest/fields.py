"""What an error adds for requests that name fields instead of inputs."""

from __future__ import annotations

from itertools import islice
from typing import Any

from tensorflow.core.framework import tensor_pb2, types_pb2

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.requests import Inputs
from deepfm_tf.serving.served_fields import (
    FIELDS,
    ROWS,
    SIGNATURE,
    ServedFields,
)

_MOST_ROWS = 100
_MOST_NAMED = 5
_SECONDS = 1.0


def with_field_names(
    error: ServingError, servable: Servable, values: Any, inputs: Inputs
) -> ServingError:
    """The same error, and which inputs the fields have that were named.

    TensorFlow Serving's text stands first, as it is. Nothing is added where
    no name is a field's, or where the model does not tell its fields.

    Args:
        error: ServingError. Of a request that does not fit its signature.
        servable: Servable.
        values: Any. The request's `instances` or `inputs`.
        inputs: mapping. The signature's inputs by name.
    """
    objects = values if isinstance(values, list) else [values]
    names = {
        name: None
        for value in islice(objects, _MOST_ROWS)
        if isinstance(value, dict)
        for name in value
        if name not in inputs
    }
    signature = servable.signature_defs.get(SIGNATURE)
    if not names or signature is None:
        return error
    if set(signature.inputs) != {ROWS} or set(signature.outputs) != {FIELDS}:
        return error
    request = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[b""]
    )
    request.tensor_shape.dim.add(size=1)
    try:
        answer = servable.run(
            signature, {ROWS: request}, [FIELDS], timeout=_SECONDS
        )
    except ServingError:
        return error
    fields = ServedFields.from_json(b"".join(answer[FIELDS].string_val))
    meant = [
        f"the field '{field.name}' has the input '{field.input}'"
        for field in fields.fields
        if field.name in names and field.input in inputs
    ]
    if not meant:
        return error
    more = f" and {len(meant) - _MOST_NAMED} more" * (len(meant) > _MOST_NAMED)
    return ServingError(
        error.code,
        f"{error.message} (In this model {', '.join(meant[:_MOST_NAMED])}"
        f"{more}; the signature '{SIGNATURE}' lists them.)",
    )
