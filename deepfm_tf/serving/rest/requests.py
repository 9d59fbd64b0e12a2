"""REST's bodies: JSON to tensors by input name, or to tf.Examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import input_pb2

from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest.tensors import (
    MAX_RANK,
    NamedFloat,
    decode_base64,
    is_base64,
    json_shape,
    json_type,
    number,
    number_too_big,
    shown,
    tensor_from_json,
    text_bytes,
)

Tensors = dict[str, tensor_pb2.TensorProto]
Inputs = Mapping[str, meta_graph_pb2.TensorInfo]

# A list of two bytes takes a hundred when parsed. This many are a hundred
# images of 200 x 200 pixels, or a body that means to fill the memory.
MAX_CONTAINERS = 4_000_000

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Every escape of a text: a whole surrogate pair, half of one, or another.
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL
)
# Constants of the real server's parser that Python does not know, and what
# ends or begins the strings in which they are text.
_CONSTANTS = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}
_TOKENS = re.compile(r'\\.|"|-?Inf(?!i)|-NaN', re.DOTALL)


def parse_body(body: bytes | bytearray) -> dict[str, Any]:
    """The JSON object of a request, with what TensorFlow Serving lets pass.

    Of a key that comes twice, the first value counts. What follows the
    object is ignored. `Inf` is infinity. Bytes in strings that are not UTF-8
    stay what they are: `text_bytes` gives them back.

    Args:
        body: bytes or bytearray. UTF-8, with or without a byte order mark.

    Returns:
        A dict; infinities and NaN that were spelled out are `NamedFloat`.

    Raises:
        ServingError: INVALID_ARGUMENT where it is no JSON object.

    Example:

    >>> parse_body(b'{"instances": [1.5, NaN], "instances": []} end')
    {'instances': [1.5, nan]}
    """
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise invalid_argument(
            f"The document has more than {MAX_CONTAINERS} lists and objects. "
            "Send fewer rows in a request."
        )
    text = body.decode("utf-8-sig", "surrogateescape").lstrip(" \t\n\r")
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document, text = _parse(text)
    except json.JSONDecodeError as error:
        raise invalid_argument(f"JSON Parse error: {error}") from None
    except RecursionError:
        raise invalid_argument(
            "JSON Parse error: The document is nested too deeply."
        ) from None
    except ValueError:  # more digits than Python turns into an integer
        raise number_too_big() from None
    # Python takes half a surrogate pair, which no UTF-8 can hold.
    if _SURROGATE.search(text) and any(
        found[1] for found in _ESCAPES.finditer(text)
    ):
        raise invalid_argument(
            "JSON Parse error: The surrogate pair in string is invalid."
        )
    if type(document) is not dict:
        raise invalid_argument(f"JSON Value: {shown(document)} Is not object")
    return document


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names; empty where it names none."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return _utf8(name)


def is_row_format(document: dict[str, Any]) -> bool:
    """Whether a predict request comes as `instances`; else, as `inputs`.

    Raises:
        ServingError: INVALID_ARGUMENT unless it has one of them, with rows.
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
    raise invalid_argument(f"JSON Value: {shown(document)} {problem}")


def tensors_from_instances(rows: list[Any], inputs: Inputs) -> Tensors:
    """Row form to one tensor an input, batched along the first dimension.

    Args:
        rows: list. Not empty: objects that each hold every input and nothing
            else, or, for a single input, its plain values.
        inputs: mapping. The signature's inputs by name, at least one.

    Raises:
        ServingError: INVALID_ARGUMENT that names the first wrong element.
    """
    if len(inputs) > 1 and not _is_object(rows[0]):
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        )
    tensors = _batch(rows, inputs)
    if tensors is not None:
        return tensors
    # The first element that does not go with the first of all.
    at, end = 0, len(rows)
    while end - at > 1:
        middle = (at + end) // 2
        if _batch([rows[0], *rows[at:middle]], inputs) is None:
            end = middle
        else:
            at = middle
    _explain(at, rows[at], rows[0], inputs)
    raise invalid_argument(
        f"An element of 'instances' may have {MAX_RANK - 1} dimensions "
        "beside that of the batch. Send fewer."
    )


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
    if not _is_object(value):
        if len(inputs) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as "
                "multiple input tensors required as per tensorinfo_map"
            )
        value = {min(inputs): value}
    for name in sorted(inputs):
        if name not in value:
            raise invalid_argument(
                f"Missing named input: {name} in 'inputs' object."
            )
    return _tensors(value, inputs)


def fill_examples(document: dict[str, Any], target: input_pb2.Input) -> None:
    """Puts a classify or regress request's `examples` into its `input`.

    A value without a decimal point becomes an int64: what a float feature
    wants is `1.0`.

    Args:
        document: dict. The request; `context`, where it has one, goes into
            an example_list_with_context.
        target: Input. Filled.

    Raises:
        ServingError: INVALID_ARGUMENT that names the feature.
    """
    examples = target.example_list.examples
    if "context" in document:
        with_context = target.example_list_with_context
        _fill_example(document["context"], with_context.context)
        with_context.context.SetInParent()
        examples = with_context.examples
    rows = document.get("examples")
    if "examples" not in document:
        problem = (
            "When method is classify, key 'examples' is expected and was "
            "not found"
        )
    elif type(rows) is not list:
        problem = "Expecting 'examples' value to be an list/array"
    elif not rows:
        problem = "'examples' value is an empty array"
    else:
        for row in rows:
            _fill_example(row, examples.add())
        return
    raise invalid_argument(f"JSON Value: {shown(document)} {problem}")


def _parse(text: str) -> tuple[Any, str]:
    """The first value of a text, and the text of it."""
    decoder = json.JSONDecoder(
        parse_constant=lambda name: NamedFloat(name.lower()),
        object_pairs_hook=_first_of_each,
    )
    try:
        document, end = decoder.raw_decode(text)
        return document, text[:end]
    except json.JSONDecodeError as error:
        is_constant = text.startswith(tuple(_CONSTANTS), error.pos)
        num_tokens = sum(map(text.count, ('"', "\\", "Inf", "NaN")))
        if not is_constant or num_tokens > MAX_CONTAINERS:
            raise
    is_quoted = False

    def known(token: re.Match[str]) -> str:
        nonlocal is_quoted
        is_quoted ^= token[0] == '"'
        return token[0] if is_quoted else _CONSTANTS.get(token[0], token[0])

    text = _TOKENS.sub(known, text)
    document, end = decoder.raw_decode(text)
    return document, text[:end]


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in reversed(pairs):
            found[name] = value
    return found


def _utf8(text: str) -> str:
    """A text with a question mark for each byte that is not UTF-8."""
    return text.encode(errors="replace").decode()


def _is_object(value: Any) -> bool:
    return type(value) is dict and not is_base64(value)


def _tensors(values: Mapping[str, Any], inputs: Inputs) -> Tensors:
    return {
        name: tensor_from_json(values[name], inputs[name].dtype)
        for name in sorted(inputs)
    }


def _batch(rows: list[Any], inputs: Inputs) -> Tensors | None:
    """All rows at once, or None where one of them is wrong."""
    as_objects = _is_object(rows[0])
    if set(map(_is_object, rows)) != {as_objects}:
        return None
    columns: dict[str, list[Any]] = {min(inputs): rows}
    if as_objects:
        if set(map(len, rows)) != {len(inputs)}:
            return None
        try:
            columns = {n: list(map(itemgetter(n), rows)) for n in inputs}
        except KeyError:
            return None
    try:
        return _tensors(columns, inputs)
    except ServingError:
        return None


def _explain(at: int, row: Any, first: Any, inputs: Inputs) -> None:
    """Raises what is wrong with an element, beside the first one."""
    as_objects = _is_object(first)
    if _is_object(row) != as_objects:
        got = "value/list but got object"
        if as_objects:
            got = "object but got list"
        raise invalid_argument(f"Expecting {got} at item {at} of input list")
    values = row if as_objects else {min(inputs): row}
    expected = first if as_objects else {min(inputs): first}
    for name, value in values.items():
        key = f" key: {name}" if as_objects else ""
        try:
            _check(name, value, expected.get(name, value), inputs)
        except ServingError as error:
            raise invalid_argument(
                f"Failed to process element: {at}{key} of 'instances' list. "
                f"Error: {error}"
            ) from None
    if set(values) != set(inputs):
        raise invalid_argument(
            f"Failed to process element: {at} of 'instances' list. JSON "
            f"object: {shown(row)} keys must be equal to: "
            f"{','.join(sorted(inputs))}"
        )


def _check(name: str, value: Any, first: Any, inputs: Inputs) -> None:
    """Raises what is wrong with one input of one element."""
    if name not in inputs:
        raise invalid_argument(
            f"JSON object: does not have named input: {name}"
        )
    tensor_from_json(value, inputs[name].dtype)
    expected, shape = (
        f"[{','.join(map(str, json_shape(v)))}]" for v in (first, value)
    )
    if expected != shape:
        raise invalid_argument(f"Expecting shape {expected} but got: {shape}")


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if type(value) is not dict:
        raise invalid_argument(
            f"Example must be JSON object but got JSON {json_type(value)}"
        )
    features = example.features.feature
    for name, content in value.items():
        items = content if type(content) is list else [content]
        feature = feature_pb2.Feature()
        _fill_feature(items, name, feature)
        # A name that is not UTF-8 is in no message, and so in no model.
        if name == _utf8(name):
            features[name].CopyFrom(feature)


def _fill_feature(
    items: list[Any], name: str, feature: feature_pb2.Feature
) -> None:
    kind = ""
    for item in items:
        wanted, value = _feature_value(item, name)
        if kind and wanted != kind:
            raise invalid_argument(
                f"Unexpected element type in feature: {name} expecting type: "
                f"{kind}"
            )
        kind = wanted
        getattr(feature, f"{kind}_list").value.append(value)


def _feature_value(item: Any, name: str) -> tuple[str, Any]:
    """One value of a feature, and which of the three lists takes it."""
    kind = type(item)
    if kind is bool or (kind is int and -(2**63) <= item < 2**63):
        return "int64", int(item)
    if kind is int and 2**63 <= item < 2**64:
        raise invalid_argument(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    if kind in (int, float, NamedFloat):
        return "float", number(item)
    if kind is str:
        return "bytes", text_bytes(item)
    if is_base64(item):
        return "bytes", decode_base64(item)
    raise invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: "
        f"{json_type(item)}"
    )
