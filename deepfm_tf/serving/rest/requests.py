"""REST's predict bodies, in rows or in columns, to a tensor an input."""

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest.tensors import (
    MAX_RANK,
    is_base64,
    json_shape,
    tensor_from_json,
)
from deepfm_tf.serving.rest.texts import preview, readable

Tensors = dict[str, tensor_pb2.TensorProto]
Inputs = Mapping[str, meta_graph_pb2.TensorInfo]

# A batch that fails is tried again in blocks of this many rows, and only the
# block that fails is gone through row by row: an error costs no more than
# the rows before it would have cost.
_BLOCK = 256


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names; empty where it names none.

    Args:
        document: dict. The body of a predict, classify or regress request.

    Raises:
        ServingError: INVALID_ARGUMENT where the name is not a string.
    """
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid_argument(
            f"JSON Value: {preview(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return readable(name)


def is_row_format(document: dict[str, Any]) -> bool:
    """Whether a predict request comes as `instances`, not `inputs`.

    Args:
        document: dict. The body of a predict request.

    Raises:
        ServingError: INVALID_ARGUMENT where it has both or neither, or
            `instances` is no list or an empty one.
    """
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid_argument("Missing 'inputs' or 'instances' key")
        return False
    if "inputs" in document:
        problem = (
            "Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    elif type(document["instances"]) is not list:
        problem = "Expecting 'instances' to be an list/array"
    elif not document["instances"]:
        problem = "No values in 'instances' array"
    else:
        return True
    raise invalid_argument(f"JSON Value: {preview(document)} {problem}")


def tensors_from_instances(rows: list[Any], inputs: Inputs) -> Tensors:
    """Row form to one tensor an input, batched along the first dimension.

    Args:
        rows: list. Not empty: objects that each hold every input and nothing
            else, or, for a single input, its plain values.
        inputs: mapping. The signature's inputs by name, at least one.

    Raises:
        ServingError: INVALID_ARGUMENT that names the first wrong element.
    """
    if len(inputs) > 1 and type(rows[0]) is not dict:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        )
    as_objects = _is_object(rows[0])
    tensors = _batch(rows, inputs, as_objects)
    if tensors is None:
        _explain(rows, inputs, as_objects)
        raise invalid_argument(
            f"An element of 'instances' may have {MAX_RANK - 1} dimensions "
            "beside that of the batch. Send fewer."
        )
    return tensors


def tensors_from_inputs(value: Any, inputs: Inputs) -> Tensors:
    """Column form to one tensor an input; what else it holds is ignored.

    Args:
        value: Any. An object with every input, or, for a single input, its
            plain value.
        inputs: mapping. The signature's inputs by name, at least one.

    Raises:
        ServingError: INVALID_ARGUMENT that names a missing input or says
            which value is wrong.

    Example:

    >>> dtype = tensor_pb2.TensorProto(dtype="DT_INT64").dtype
    >>> inputs = {"age": meta_graph_pb2.TensorInfo(dtype=dtype)}
    >>> tensors = tensors_from_inputs({"age": [39, 41], "id": 7}, inputs)
    >>> tensors["age"].tensor_shape.dim[0].size
    2
    """
    if _is_object(value):
        for name in sorted(inputs):
            if name not in value:
                raise invalid_argument(
                    f"Missing named input: {name} in 'inputs' object."
                )
        return _tensors(value, inputs)
    if len(inputs) > 1:
        raise invalid_argument(
            "inputs is a plain value/list, but expecting an object as "
            "multiple input tensors required as per tensorinfo_map"
        )
    return _tensors({min(inputs): value}, inputs)


def _is_object(value: Any) -> bool:
    return type(value) is dict and not is_base64(value)


def _tensors(values: Mapping[str, Any], inputs: Inputs) -> Tensors:
    return {
        name: tensor_from_json(values[name], inputs[name].dtype)
        for name in sorted(inputs)
        if name in values
    }


def _batch(rows: list[Any], inputs: Inputs, as_objects: bool) -> Tensors | None:
    """All rows at once, or None where one of them is wrong."""
    kinds = set(map(type, rows))
    if dict in kinds and set(map(_is_object, rows)) != {as_objects}:
        return None
    columns: dict[str, list[Any]]
    if as_objects:
        if kinds != {dict} or set(map(len, rows)) != {len(inputs)}:
            return None
        try:
            columns = {n: list(map(itemgetter(n), rows)) for n in inputs}
        except KeyError:
            return None
    else:
        columns = {min(inputs): rows}
    try:
        return _tensors(columns, inputs)
    except ServingError:
        return None


def _explain(rows: list[Any], inputs: Inputs, as_objects: bool) -> None:
    """Goes through the elements in order; raises at the first wrong one."""
    shapes: dict[str, list[int]] = {}
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        tensors = _batch(block, inputs, as_objects)
        if tensors is not None:
            found = {
                name: [dim.size for dim in tensor.tensor_shape.dim][1:]
                for name, tensor in tensors.items()
            }
            shapes = shapes or found
            if found == shapes:
                continue
        for at, row in enumerate(block, start):
            if as_objects:
                _explain_object(at, row, inputs, shapes)
            else:
                _explain_value(at, row, inputs, shapes)


def _explain_object(
    at: int, row: Any, inputs: Inputs, shapes: dict[str, list[int]]
) -> None:
    if not _is_object(row):
        raise invalid_argument(
            f"Expecting object but got list at item {at} of input list"
        )
    for name, value in row.items():
        try:
            _check(name, value, inputs, shapes)
        except ServingError as error:
            raise invalid_argument(
                f"Failed to process element: {at} key: {name} of "
                f"'instances' list. Error: {error}"
            ) from None
    if set(row) != set(inputs):
        raise invalid_argument(
            f"Failed to process element: {at} of 'instances' list. JSON "
            f"object: {preview(row)} keys must be equal to: "
            f"{','.join(sorted(inputs))}"
        )


def _explain_value(
    at: int, row: Any, inputs: Inputs, shapes: dict[str, list[int]]
) -> None:
    if _is_object(row):
        raise invalid_argument(
            f"Expecting value/list but got object at item {at} of input list"
        )
    try:
        _check(min(inputs), row, inputs, shapes)
    except ServingError as error:
        raise invalid_argument(
            f"Failed to process element: {at} of 'instances' list. "
            f"Error: {error}"
        ) from None


def _check(
    name: str, value: Any, inputs: Inputs, shapes: dict[str, list[int]]
) -> None:
    """Raises what is wrong with one input of one element."""
    if name not in inputs:
        raise invalid_argument(
            f"JSON object: does not have named input: {name}"
        )
    tensor_from_json(value, inputs[name].dtype)
    shape = json_shape(value)
    expected = shapes.setdefault(name, shape)
    size = math.prod(expected)
    if math.prod(shape) != size:
        raise invalid_argument(
            f"Expecting tensor size: {size} but got: {math.prod(shape)}"
        )
    if expected != shape:
        raise invalid_argument(
            f"Expecting shape {_shape_text(expected)} but got: "
            f"{_shape_text(shape)}"
        )


def _shape_text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
