"""REST's classify and regress bodies to tf.Examples."""

from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import input_pb2

from deepfm_tf.serving.errors import invalid_argument
from deepfm_tf.serving.rest.tensors import (
    NamedFloat,
    decode_base64,
    is_base64,
    number,
)
from deepfm_tf.serving.rest.texts import (
    json_type,
    preview,
    readable,
    text_bytes,
)


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
    raise invalid_argument(f"JSON Value: {preview(document)} {problem}")


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
        if name.isascii() or name == readable(name):
            features[name].CopyFrom(feature)


def _fill_feature(
    items: list[Any], name: str, feature: feature_pb2.Feature
) -> None:
    kinds = set(map(type, items))
    if kinds == {str}:
        feature.bytes_list.value.extend(map(text_bytes, items))
        return
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
    if kind is int and -(2**63) <= item < 2**63:
        return "int64", item
    if kind is int and 2**63 <= item < 2**64:
        raise invalid_argument(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    if kind in (int, float, NamedFloat):
        return "float", number(item)
    if kind is str:
        return "bytes", text_bytes(item)
    if kind is bool:
        return "int64", int(item)
    if is_base64(item):
        return "bytes", decode_base64(item)
    raise invalid_argument(
        f"Feature: {name} has element with unexpected JSON type: "
        f"{json_type(item)}"
    )
