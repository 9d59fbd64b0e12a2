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
from deepfm_tf.serving.rest import tensors

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

    Of a key that comes twice, the first value counts. A byte order mark, and
    what follows the object, are ignored. Infinities, also as `Inf`, and NaN
    that are spelled out become `NamedFloat`. Bytes in strings that are not
    UTF-8 stay what they are: `text_bytes` gives them back.

    >>> parse_body(b'{"instances": [1.5, NaN], "instances": []} end')
    {'instances': [1.5, nan]}
    """
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise invalid_argument(
            f"The document has more than {MAX_CONTAINERS} lists and objects. "
            "Send fewer rows in a request."
        )
    text = body.decode("utf-8-sig", "surrogateescape").lstrip(" \t\n\r")
    problem = "" if text else "The document is empty"
    try:
        document, text = _parse(text) if text else (None, text)
    except json.JSONDecodeError as error:
        problem = str(error)
    except RecursionError:
        problem = "The document is nested too deeply."
    except ValueError:  # more digits than Python turns into an integer
        raise tensors.number_too_big() from None
    # Python takes half a surrogate pair, which no UTF-8 can hold.
    if _SURROGATE.search(text) and any(
        found[1] for found in _ESCAPES.finditer(text)
    ):
        problem = problem or "The surrogate pair in string is invalid."
    if problem:
        raise invalid_argument(f"JSON Parse error: {problem}")
    if type(document) is not dict:
        raise _refused(document, "Is not object")
    return document


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names; empty where it names none."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise _refused(
            document,
            "not formatted correctly. 'signature_name' key must be a string "
            "value.",
        )
    return _utf8(name)


def predict_tensors(document: dict[str, Any], inputs: Inputs) -> Tensors:
    """A predict request's `instances` or `inputs`: one tensor an input.

    `instances` are rows, which are batched along the first dimension: objects
    that each hold every input and nothing else. `inputs` is an object of
    columns; what else it holds is ignored. For a single input its plain values
    will do. A ServingError names the first wrong element, or a missing input.

    >>> dtype = tensor_pb2.TensorProto(dtype="DT_INT64").dtype
    >>> inputs = {"age": meta_graph_pb2.TensorInfo(dtype=dtype)}
    >>> document = {"inputs": {"age": [39, 41], "id": 7}}
    >>> predict_tensors(document, inputs)["age"].tensor_shape.dim[0].size
    2
    """
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid_argument("Missing 'inputs' or 'instances' key")
        return _from_columns(document["inputs"], inputs)
    if "inputs" in document:
        raise _refused(
            document,
            "Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist ",
        )
    if type(document["instances"]) is not list:
        raise _refused(document, "Expecting 'instances' to be an list/array")
    if not document["instances"]:
        raise _refused(document, "No values in 'instances' array")
    return _from_rows(document["instances"], inputs)


def fill_examples(document: dict[str, Any], target: input_pb2.Input) -> None:
    """Puts a classify or regress request's `examples` into its `input`.

    A value without a decimal point becomes an int64: what a float feature
    wants is `1.0`. A `context` makes it an example_list_with_context. A
    ServingError names the feature that is wrong.
    """
    examples = target.example_list.examples
    if "context" in document:
        with_context = target.example_list_with_context
        _fill_example(document["context"], with_context.context)
        with_context.context.SetInParent()
        examples = with_context.examples
    if "examples" not in document:
        raise _refused(
            document,
            "When method is classify, key 'examples' is expected and was not "
            "found",
        )
    if type(document["examples"]) is not list:
        raise _refused(
            document, "Expecting 'examples' value to be an list/array"
        )
    if not document["examples"]:
        raise _refused(document, "'examples' value is an empty array")
    for row in document["examples"]:
        _fill_example(row, examples.add())


def _refused(document: Any, problem: str) -> ServingError:
    return invalid_argument(f"JSON Value: {tensors.shown(document)} {problem}")


def _parse(text: str) -> tuple[Any, str]:
    """The first value of a text, and the text of it."""
    decoder = json.JSONDecoder(
        parse_constant=lambda name: tensors.NamedFloat(name.lower()),
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
    return found if len(found) == len(pairs) else dict(pairs[::-1])


def _utf8(text: str) -> str:
    """A text with a question mark for each byte that is not UTF-8."""
    return text.encode(errors="replace").decode()


def _is_object(value: Any) -> bool:
    return type(value) is dict and not tensors.is_base64(value)


def _from_columns(value: Any, inputs: Inputs) -> Tensors:
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
    return {
        name: tensors.tensor_from_json(value[name], inputs[name].dtype)
        for name in sorted(inputs)
    }


def _from_rows(rows: list[Any], inputs: Inputs) -> Tensors:
    as_objects = _is_object(rows[0])
    if len(inputs) > 1 and not as_objects:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        )
    names = set(inputs)
    for at, row in enumerate(rows):
        if _is_object(row) != as_objects:
            got = "value/list but got object"
            if as_objects:
                got = "object but got list"
            raise invalid_argument(
                f"Expecting {got} at item {at} of input list"
            )
        if as_objects and row.keys() != names:
            raise _wrong_keys(at, row, names)
    columns = {min(names): rows}
    if as_objects:
        columns = {n: list(map(itemgetter(n), rows)) for n in names}
    found = {}
    for name in sorted(names):
        try:
            found[name] = tensors.tensor_from_json(
                columns[name], inputs[name].dtype
            )
        except tensors.WrongValueError as error:
            key = f" key: {name}" if as_objects else ""
            raise invalid_argument(
                f"Failed to process element: {error.row}{key} of 'instances' "
                f"list. Error: {error}"
            ) from None
    return found


def _wrong_keys(at: int, row: Any, names: set[str]) -> ServingError:
    extra = [name for name in row if name not in names]
    if extra:
        return invalid_argument(
            f"Failed to process element: {at} key: {extra[0]} of 'instances' "
            "list. Error: INVALID_ARGUMENT: JSON object: does not have named "
            f"input: {extra[0]}"
        )
    return invalid_argument(
        f"Failed to process element: {at} of 'instances' list. JSON object: "
        f"{tensors.shown(row)} keys must be equal to: {','.join(sorted(names))}"
    )


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if type(value) is not dict:
        raise invalid_argument(
            "Example must be JSON object but got JSON "
            f"{tensors.json_type(value)}"
        )
    for name, content in value.items():
        items = content if type(content) is list else [content]
        kind = ""
        feature = feature_pb2.Feature()
        for item in items:
            wanted, converted = _feature_value(item, name)
            if kind and wanted != kind:
                raise invalid_argument(
                    f"Unexpected element type in feature: {name} expecting "
                    f"type: {kind}"
                )
            kind = wanted
            getattr(feature, f"{kind}_list").value.append(converted)
        # A name that is not UTF-8 is in no message, and so in no model.
        if name == _utf8(name):
            example.features.feature[name].CopyFrom(feature)


def _feature_value(item: Any, name: str) -> tuple[str, Any]:
    """One value of a feature, and which of the three lists takes it."""
    kind = type(item)
    if kind is bool or (kind is int and -(2**63) <= item < 2**63):
        return "int64", int(item)
    if kind is int and 2**63 <= item < 2**64:
        raise invalid_argument(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    if kind in (int, float, tensors.NamedFloat):
        return "float", tensors.number(item)
    if kind is str:
        return "bytes", tensors.text_bytes(item)
    if tensors.is_base64(item):
        return "bytes", tensors.decode_base64(item)
    raise invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: "
        f"{tensors.json_type(item)}"
    )
