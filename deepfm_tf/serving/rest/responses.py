"""The gRPC API's responses as the JSON that REST answers."""

import base64
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from deepfm_tf.serving.errors import invalid_argument
from deepfm_tf.serving.rest.texts import decimal_texts, type_name

Outputs = Mapping[str, tensor_pb2.TensorProto]

_WRITABLE = {
    types_pb2.DT_FLOAT,
    types_pb2.DT_DOUBLE,
    types_pb2.DT_INT32,
    types_pb2.DT_INT16,
    types_pb2.DT_INT8,
    types_pb2.DT_UINT8,
    types_pb2.DT_STRING,
    types_pb2.DT_INT64,
    types_pb2.DT_BOOL,
    types_pb2.DT_UINT32,
    types_pb2.DT_UINT64,
}


def rows_json(outputs: Outputs) -> bytes:
    """The answer to `instances`: `predictions`, an element a row.

    Args:
        outputs: mapping. Tensors of one first dimension, at least one tensor;
            a single one goes without its name. A string tensor whose name ends
            in `_bytes` becomes `{"b64": ...}` objects; other strings are
            written as they are, also where they are no UTF-8.

    Raises:
        ServingError: INVALID_ARGUMENT for scalars, for unequal first
            dimensions and for types that JSON cannot carry.

    Example:

    >>> import numpy as np
    >>> json.loads(rows_json({"ctr": tf.make_tensor_proto([0.25, 1.0])}))
    {'predictions': [0.25, 1.0]}
    """
    _refuse_none(outputs)
    batch_size = None
    columns = {}
    for name, tensor in sorted(outputs.items()):
        shape = _shape(tensor)
        if not shape:
            raise invalid_argument(
                f"Tensor name: {name} has no shape information "
            )
        if batch_size not in (None, shape[0]):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{shape[0]} expecting: {batch_size}"
            )
        batch_size = shape[0]
        columns[name] = _nested(_texts(name, tensor), shape, 1)
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        keys = [encode_basestring(name) for name in columns]
        form = "{" + ", ".join(f"{_escaped(key)}: %s" for key in keys) + "}"
        rows = [form % row for row in zip(*columns.values(), strict=True)]
    return _document("predictions", f"[{', '.join(rows)}]")


def columns_json(outputs: Outputs) -> bytes:
    """The answer to `inputs`: `outputs`, a value a tensor.

    Args:
        outputs: mapping. As in `rows_json`, but of any shapes.

    Raises:
        ServingError: INVALID_ARGUMENT for types that JSON cannot carry.
    """
    _refuse_none(outputs)
    values = {
        name: _nested(_texts(name, tensor), _shape(tensor), 0)[0]
        for name, tensor in sorted(outputs.items())
    }
    if len(values) == 1:
        (text,) = values.values()
    else:
        text = ", ".join(
            f"{encode_basestring(name)}: {value}"
            for name, value in values.items()
        )
        text = f"{{{text}}}"
    return _document("outputs", text)


def classification_json(
    result: classification_pb2.ClassificationResult,
) -> bytes:
    """`results`: for each example its `[label, score]` pairs."""
    if not result.classifications:
        raise invalid_argument(
            "Cannot convert empty ClassificationResults to JSON"
        )
    classes = [c for row in result.classifications for c in row.classes]
    scores = decimal_texts(np.array([c.score for c in classes], np.float32))
    pairs = iter(
        [
            f"[{encode_basestring(c.label)}, {score}]"
            for c, score in zip(classes, scores, strict=True)
        ]
    )
    rows = [
        f"[{', '.join(next(pairs) for _ in row.classes)}]"
        for row in result.classifications
    ]
    return _document("results", f"[{', '.join(rows)}]")


def regression_json(result: regression_pb2.RegressionResult) -> bytes:
    """`results`: a number for each example."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = np.array([r.value for r in result.regressions], np.float32)
    return _document("results", f"[{', '.join(decimal_texts(values))}]")


def status_json(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """The states of a model's versions; int64 are strings, as protos say."""
    return _indented(_as_dict(response))


def metadata_json(
    response: get_model_metadata_pb2.GetModelMetadataResponse,
) -> bytes:
    """A model's signatures, unpacked from the response's Any."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return _indented(
        {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }
    )


def error_json(message: str) -> bytes:
    """`{"error": message}`."""
    return _indented({"error": message})


def _refuse_none(outputs: Outputs) -> None:
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")


def _shape(tensor: tensor_pb2.TensorProto) -> list[int]:
    return [dim.size for dim in tensor.tensor_shape.dim]


def _texts(name: str, tensor: tensor_pb2.TensorProto) -> list[str]:
    """The JSON text of every scalar, in order."""
    if tensor.dtype not in _WRITABLE:
        raise invalid_argument(
            "Failed to write JSON value for tensor type: "
            f"{type_name(tensor.dtype)}"
        )
    flat = tensor_pb2.TensorProto()
    flat.CopyFrom(tensor)
    # numpy takes fewer dimensions than TensorFlow.
    del flat.tensor_shape.dim[:]
    flat.tensor_shape.dim.add(size=int(np.prod(_shape(tensor), dtype=np.int64)))
    values = tf.make_ndarray(flat)
    if tensor.dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return decimal_texts(values)
    if tensor.dtype == types_pb2.DT_BOOL:
        return ["true" if value else "false" for value in values]
    if tensor.dtype != types_pb2.DT_STRING:
        return list(map(str, values.tolist()))
    if name.endswith("_bytes"):
        return [
            f'{{"b64": "{base64.b64encode(value).decode()}"}}'
            for value in values
        ]
    return [
        encode_basestring(value.decode(errors="surrogateescape"))
        for value in values
    ]


def _nested(texts: list[str], shape: list[int], outermost: int) -> list[str]:
    """Scalars into lists, from the last dimension up to `outermost`."""
    for at in range(len(shape) - 1, outermost - 1, -1):
        size = shape[at]
        texts = [
            f"[{', '.join(texts[row * size : (row + 1) * size])}]"
            for row in range(int(np.prod(shape[:at], dtype=np.int64)))
        ]
    return texts


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _document(key: str, text: str) -> bytes:
    # Strings that are no UTF-8 leave as the bytes they came as.
    return f'{{\n    "{key}": {text}\n}}'.encode(errors="surrogateescape")


def _as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


def _indented(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=4)
    return text.encode(errors="replace")
