"""What requests hold and answers are: tensors, examples and results."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.serving.errors import ServingError, invalid_argument

# A tensor may hold fewer values than its shape says: the last one is then
# repeated. So 20 bytes can ask for a terabyte, and TensorFlow would try.
# TensorFlow Serving has no such bound; this one is on what `repeated_bytes`
# finds in all the tensors of a request.
MAX_REPEATED_BYTES = 2**28
_STRING_BYTES = 24  # What TensorFlow keeps for a string, text apart.

# Where a TensorProto keeps its values, by numpy's name of their type.
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "object": "string_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    **dict.fromkeys(("float16", "bfloat16"), "half_val"),
    **dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), "int_val"),
}
# What some of them are kept as: halves as bits, complex numbers as pairs.
_VIEWS = {
    "half_val": np.uint16,
    "scomplex_val": np.float32,
    "dcomplex_val": np.float64,
}
# What a request may send: no handles, no variants, no references.
PARSABLE = frozenset(
    dtype
    for dtype in types_pb2.DataType.values()
    if 0 < dtype < types_pb2.DT_FLOAT_REF
    and dtype not in (types_pb2.DT_RESOURCE, types_pb2.DT_VARIANT)
)
# The scope of the nodes added here, which no exporter's name begins with.
_SCOPE = "deepfm_tf_serving"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_NODE = re.compile(rf"\{{\{{node {_SCOPE}/parse_(\d+)\}}\}}")


class Parsers:
    """One parser for each placeholder that a signature feeds.

    What a signature feeds is one string vector of serialized protos: with 39
    inputs, a run then takes 0.1 ms less than with a string for each. A tensor
    that several signatures feed is in the vector of the first one. The graph
    says of which type a tensor is: a signature that says another one keeps no
    other from being served. The nodes are added to a graph before the model's;
    `parsed` is what the model is to read in place of each placeholder.
    """

    def __init__(
        self,
        graph: tf.Graph,
        graph_def: tf.compat.v1.GraphDef,
        signature_defs: Mapping[str, meta_graph_pb2.SignatureDef],
    ) -> None:
        self.parsed: dict[str, tf.Tensor] = {}
        self._vectors: list[tuple[tf.Tensor, int]] = []  # and their sizes
        # Of each placeholder: the number of its vector, and its place there.
        self._places: dict[str, tuple[int, int]] = {}
        dtypes = {
            f"{node.name}:0": node.attr["dtype"].type
            for node in graph_def.node
            # A default may be computed with, where it is not fed.
            if node.op in _PLACEHOLDERS
        }
        with graph.as_default(), tf.name_scope(_SCOPE):
            for signature in signature_defs.values():
                fed = {tensor_name(i.name) for i in signature.inputs.values()}
                new = sorted(fed - self.parsed.keys())
                names = [n for n in new if dtypes.get(n) in PARSABLE]
                if names:
                    self._add_vector(names, dtypes)

    def _add_vector(self, names: list[str], dtypes: Mapping[str, int]) -> None:
        vector = tf.compat.v1.placeholder(tf.string, [len(names)])
        pieces = tf.unstack(vector)
        for place, (name, piece) in enumerate(zip(names, pieces, strict=True)):
            self._places[name] = len(self._vectors), place
            dtype, node = tf.as_dtype(dtypes[name]), f"parse_{len(self.parsed)}"
            self.parsed[name] = tf.io.parse_tensor(piece, dtype, name=node)
        self._vectors.append((vector, len(names)))

    def feed(self, serialized: Mapping[str, bytes]) -> dict[tf.Tensor, Array]:
        """The vectors to feed, from protos' bytes by names of `parsed`."""
        filled: dict[int, list[bytes]] = {}
        for name, content in serialized.items():
            number, place = self._places[name]
            if number not in filled:
                filled[number] = [b""] * self._vectors[number][1]
            filled[number][place] = content
        return {
            self._vectors[number][0]: np.array(contents, object)
            for number, contents in filled.items()
        }

    def failed(self, message: str) -> str | None:
        """The name of the tensor whose parser an error's text is about."""
        found = _NODE.search(message)
        return list(self.parsed)[int(found.group(1))] if found else None


def tensor_name(name: str) -> str:
    """A tensor's full name: `x` is the first output of `x`.

    >>> tensor_name("x"), tensor_name("x:1"), tensor_name("")
    ('x:0', 'x:1', '')
    """
    return name if ":" in name or not name else f"{name}:0"


def find_tensor(graph: tf.Graph, name: str) -> tf.Tensor | None:
    """The tensor of that name, or None."""
    try:
        return graph.get_tensor_by_name(tensor_name(name))
    except (KeyError, ValueError):
        return None


def type_name(dtype: int) -> str:
    """TensorFlow's C++ name.

    >>> type_name(types_pb2.DT_FLOAT), type_name(-1)
    ('float', 'unknown dtype enum (-1)')
    """
    if dtype not in types_pb2.DataType.values():
        return f"unknown dtype enum ({dtype})"
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()


def repeated_bytes(proto: tensor_pb2.TensorProto, length: int) -> int:
    """The memory of a tensor that its message does not account for.

    That is of `length` bytes, and of a type in `PARSABLE`. None where every
    value is there, or the shape is no shape.

    >>> proto = tf.make_tensor_proto(0.5, shape=[1000])
    >>> repeated_bytes(proto, proto.ByteSize())
    4000
    """
    dims = proto.tensor_shape.dim
    # One dimension takes half the time so; nearly all have one.
    elements: int = (
        dims[0].size if len(dims) == 1 else math.prod(d.size for d in dims)
    )
    texts = proto.string_val
    is_text = proto.dtype == types_pb2.DT_STRING
    # A number that is there takes a byte or more.
    if elements <= (len(texts) if is_text else length):
        return 0
    if is_text:
        return elements * (_STRING_BYTES + (len(texts[-1]) if texts else 0))
    return elements * int(tf.as_dtype(proto.dtype).size)


def to_proto(
    array: Array, tensor_content: bool = False
) -> tensor_pb2.TensorProto:
    """A TensorProto as TensorFlow Serving answers it; strings are `bytes`.

    Numbers are in `float_val` and the like; or, with `tensor_content`, packed.

    >>> proto = to_proto(np.float32([0.5, 2]))
    >>> list(proto.float_val), proto.tensor_shape.dim[0].size
    ([0.5, 2.0], 2)
    """
    field = _FIELDS.get(array.dtype.name)
    if field is None:  # Quantized numbers.
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(
        dtype=tf.as_dtype(array.dtype).as_datatype_enum
    )
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor_content and field != "string_val":
        proto.tensor_content = array.tobytes()
        return proto
    values: Array = array.ravel()
    if field in _VIEWS:
        values = values.view(_VIEWS[field])
    getattr(proto, field).extend(values.tolist())
    return proto


@dataclasses.dataclass(frozen=True)
class Method:
    """What Classify or Regress asks of a signature, and how it answers."""

    noun: str  # what texts, and an InferenceResult, call it
    keys: tuple[str, ...]  # the outputs that it takes: one must be there
    number: str  # how many there may be, in words
    # From the arrays by key, and the number of examples, to the answer.
    result: Callable[[dict[str, Any], int], object]

    def outputs(self, signature: meta_graph_pb2.SignatureDef) -> list[str]:
        """Which of the outputs a signature has; ServingError if none."""
        if len(signature.inputs) != 1:
            raise invalid_argument("Expected one input Tensor.")
        if not 1 <= len(signature.outputs) <= len(self.keys):
            raise invalid_argument(f"Expected {self.number}.")
        found = [key for key in self.keys if key in signature.outputs]
        absent = "" if found or len(self.keys) > 1 else "outputs"
        if "inputs" not in signature.inputs:
            absent = "inputs"
        if absent:
            raise ServingError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"No {self.noun} {absent} found in SignatureDef: {signature}",
            )
        if not found:
            keys = " or ".join(f'"{key}"' for key in self.keys)
            raise invalid_argument(
                f"Expected {self.noun} signature outputs to contain at least "
                f"one of {keys}. Signature was: {signature}"
            )
        return found


def examples_tensor(inputs: input_pb2.Input) -> tensor_pb2.TensorProto:
    """The request's examples, serialized: DT_STRING of shape (examples,).

    The bytes of the context come before those of each example, which merges
    the two; where both have a feature, the example's counts.
    """
    kind = inputs.WhichOneof("kind")
    given = getattr(inputs, kind) if kind else inputs.example_list
    if not given.examples:
        raise invalid_argument("Input is empty.")
    prefix = b""
    if kind == "example_list_with_context":
        prefix = given.context.SerializeToString()
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=len(given.examples))
    proto.string_val.extend(
        prefix + example.SerializeToString() for example in given.examples
    )
    return proto


def classification_result(
    arrays: Mapping[str, Array], num_examples: int
) -> classification_pb2.ClassificationResult:
    """The answer from "classes" and "scores", each (examples, classes)."""
    for key, array in arrays.items():
        if array.ndim != 2:
            raise invalid_argument(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{list(array.shape)}"
            )
        wanted = "DT_STRING" if key == "classes" else "DT_FLOAT"
        _check_output(key, array, wanted, num_examples)
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) > 1:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). Got "
            + " vs. ".join(str(array.shape[1]) for array in arrays.values())
        )
    (shape,) = shapes
    labels = arrays.get("classes", np.full(shape, b"", object))
    scores = arrays.get("scores", np.zeros(shape, np.float32))
    result = classification_pb2.ClassificationResult()
    for names, numbers in zip(labels, scores.tolist(), strict=True):
        classes = result.classifications.add().classes
        for name, number in zip(names, numbers, strict=True):
            # A label is text: what is no UTF-8 cannot be sent.
            classes.add(label=name.decode(errors="replace"), score=number)
    return result


def regression_result(
    arrays: Mapping[str, Array], num_examples: int
) -> regression_pb2.RegressionResult:
    """The answer from "outputs", (examples,) or (examples, 1)."""
    array = arrays["outputs"]
    if not array.ndim or array.shape[1:] not in ((), (1,)):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {list(array.shape)}"
        )
    _check_output("output", array, "DT_FLOAT", num_examples)
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


METHODS = {
    CLASSIFY: Method(
        "classification",
        ("classes", "scores"),
        "one or two output Tensors",
        classification_result,
    ),
    REGRESS: Method(
        "regression", ("outputs",), "one output Tensor", regression_result
    ),
}


def _check_output(
    key: str, array: Array, wanted: str, num_examples: int
) -> None:
    dtype = types_pb2.DataType.Name(tf.as_dtype(array.dtype).as_datatype_enum)
    if dtype != wanted:
        raise invalid_argument(
            f"Expected {key} Tensor of {wanted}. Got: {dtype}"
        )
    if len(array) != num_examples:
        raise invalid_argument(
            f"Expected {key} batch size of {num_examples}. Got: {len(array)}"
        )
