"""Tensors in and out: their protos, and the nodes that parse them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.arrays import Array

# A tensor may hold fewer values than its shape says: the last one is then
# repeated. So 20 bytes can ask for a terabyte, and TensorFlow would try.
# TensorFlow Serving has no such bound; this one is on what `repeated_bytes`
# finds in all the tensors of a request.
MAX_REPEATED_BYTES = 2**28
_STRING_BYTES = 24  # What TensorFlow keeps for a string, text apart.

# What some types are kept as: halves as bits, complex numbers as pairs.
_VIEWS = {
    types_pb2.DT_HALF: np.uint16,
    types_pb2.DT_BFLOAT16: np.uint16,
    types_pb2.DT_COMPLEX64: np.float32,
    types_pb2.DT_COMPLEX128: np.float64,
}
# Where a TensorProto keeps its values, by type.
_FIELDS = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_BFLOAT16: "half_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_COMPLEX64: "scomplex_val",
    types_pb2.DT_COMPLEX128: "dcomplex_val",
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
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_NODE = re.compile(rf"\{{\{{node {_SCOPE}/parse_(\d+)\}}\}}")
# They name operations that run once, and no request reaches them.
_NOT_SERVED = ("__saved_model_init_op", "__saved_model_train_op")


class Parsers:
    """One parser for each tensor that a signature feeds.

    Tensors that are fed by the same signatures share one string vector of
    serialized protos, so that a run feeds one array, and nothing that it
    does not need. The graph says of which type a tensor is: a signature
    that says another one keeps no other from being served.

    Args:
        graph: tf.Graph. Where to add the nodes, before the model's.
        graph_def: GraphDef. The model.
        signature_defs: dict of SignatureDef.

    Attributes:
        parsed: dict. For each fed tensor's name what is parsed in its place.
        computed: set of str. Those of them that are no placeholders: one
            signature feeds what another one computes, as TensorFlow 1's
            examples do, so that nothing can be wired in their place.
    """

    def __init__(
        self,
        graph: tf.Graph,
        graph_def: tf.compat.v1.GraphDef,
        signature_defs: Mapping[str, meta_graph_pb2.SignatureDef],
    ) -> None:
        self.parsed: dict[str, tf.Tensor] = {}
        self.computed: set[str] = set()
        self._graph = graph
        # The vectors, what is in each, and which one a tensor is in.
        self._vectors: dict[str, tf.Tensor] = {}
        self._members: dict[str, list[str]] = {}
        self._vector_of: dict[str, str] = {}
        # Which signatures feed a tensor.
        self._users: dict[str, set[str]] = {}
        for signature_name, signature in signature_defs.items():
            for info in signature.inputs.values():
                name = tensor_name(info.name)
                self._users.setdefault(name, set()).add(signature_name)
        dtypes = {}
        for node in graph_def.node:
            # A default may be computed with, where it is not fed.
            name = f"{node.name}:0"
            if node.op in _PLACEHOLDERS and name in self._users:
                dtypes[name] = node.attr["dtype"].type
        self._add_groups(dtypes)

    def add_computed(self) -> None:
        """The parsers of what is no placeholder, once the model is there."""
        found = {}
        for name in self._users.keys() - self.parsed.keys():
            dtype = find_dtype(self._graph, name)
            if dtype is not None:
                found[name] = dtype
        self.computed |= self._add_groups(found)

    def _add_groups(self, dtypes: Mapping[str, int]) -> set[str]:
        """A vector for all that the same signatures feed; what is parsed."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in sorted(dtypes):
            if dtypes[name] in PARSABLE:
                users = tuple(sorted(self._users[name]))
                groups.setdefault(users, []).append(name)
        # With its slash the scope is the same when it is entered again.
        with self._graph.as_default(), tf.name_scope(f"{_SCOPE}/"):
            for names in groups.values():
                self._add_group(names, dtypes)
        return {name for names in groups.values() for name in names}

    def _add_group(self, names: list[str], dtypes: Mapping[str, int]) -> None:
        vector = tf.compat.v1.placeholder(tf.string, [len(names)])
        self._vectors[vector.name] = vector
        self._members[vector.name] = names
        for name, piece in zip(names, tf.unstack(vector), strict=True):
            self._vector_of[name] = vector.name
            self.parsed[name] = tf.io.parse_tensor(
                piece,
                tf.as_dtype(dtypes[name]),
                name=f"parse_{len(self.parsed)}",
            )

    @property
    def wired(self) -> dict[str, tf.Tensor]:
        """What the model is to read in place of its placeholders."""
        return {
            name: tensor
            for name, tensor in self.parsed.items()
            if name not in self.computed
        }

    def feed(self, serialized: Mapping[str, bytes]) -> dict[tf.Tensor, Array]:
        """The vectors to feed.

        Args:
            serialized: dict. A proto's bytes for every tensor that one or
                several signatures feed, by the tensor's name.
        """
        needed = {self._vector_of[name] for name in serialized}
        return {
            self._vectors[name]: np.array(
                [serialized[member] for member in self._members[name]], object
            )
            for name in needed
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


def find_dtype(graph: tf.Graph, name: str) -> int | None:
    """The DataType of the tensor of that name; None where there is none."""
    tensor = find_tensor(graph, name)
    return None if tensor is None else tensor.dtype.as_datatype_enum


def type_name(dtype: int) -> str:
    """TensorFlow's C++ name: "float" for DT_FLOAT.

    Example:

    >>> type_name(types_pb2.DT_DOUBLE), type_name(-1)
    ('double', 'unknown dtype enum (-1)')
    """
    if dtype not in types_pb2.DataType.values():
        return f"unknown dtype enum ({dtype})"
    return str(types_pb2.DataType.Name(dtype)).removeprefix("DT_").lower()


def repeated_bytes(proto: tensor_pb2.TensorProto, length: int) -> int:
    """The memory of a tensor that its message does not account for.

    Args:
        proto: TensorProto. Of a type in `PARSABLE`.
        length: int. Bytes of the message.

    Returns:
        int. Bytes; 0 where every value is there, or the shape is none.

    Example:

    >>> proto = tf.make_tensor_proto(0.5, shape=[1000])
    >>> repeated_bytes(proto, proto.ByteSize())
    4000
    """
    dims = proto.tensor_shape.dim
    elements: int
    if len(dims) == 1:  # Nearly always, and half the time of the other way.
        elements = dims[0].size
    else:
        elements = math.prod(dim.size for dim in dims)
    if proto.dtype == types_pb2.DT_STRING:
        values = proto.string_val
        if elements <= len(values):
            return 0
        return elements * (_STRING_BYTES + (len(values[-1]) if values else 0))
    # A number that is there takes a byte or more.
    if elements <= length:
        return 0
    return elements * int(tf.as_dtype(proto.dtype).size)


def to_proto(
    array: Array, tensor_content: bool = False
) -> tensor_pb2.TensorProto:
    """A TensorProto as TensorFlow Serving answers it.

    Args:
        array: what a session returned; bytes as objects for strings.
        tensor_content: bool. Numbers as packed bytes instead of `float_val`
            and the like, which are the default.

    Example:

    >>> proto = to_proto(np.float32([0.5, 2]))
    >>> list(proto.float_val), proto.tensor_shape.dim[0].size
    ([0.5, 2.0], 2)
    """
    dtype = tf.as_dtype(array.dtype).as_datatype_enum
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor_content and dtype != types_pb2.DT_STRING:
        proto.tensor_content = array.tobytes()
        return proto
    field = _FIELDS.get(dtype)
    if field is None:  # Quantized numbers.
        return tf.make_tensor_proto(array)
    values: Array = array.ravel()
    if dtype in _VIEWS:
        values = values.view(_VIEWS[dtype])
    getattr(proto, field).extend(values.tolist())
    return proto


def signature_faults(
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef],
    dtype_of: Callable[[str], int | None],
) -> Iterator[str]:
    """A sentence for each input and output that does not fit the graph.

    Such a signature fails when it is run, or not even then: the others of
    the version are served all the same, as TensorFlow Serving does it.

    Args:
        signature_defs: dict of SignatureDef.
        dtype_of: callable. From a tensor's name to its DataType in the
            graph; None where it is not there.

    Yields:
        str. In the order of the signatures' names.
    """
    for name, signature in sorted(signature_defs.items()):
        if name in _NOT_SERVED:
            continue
        for kind, infos in (
            ("input", signature.inputs),
            ("output", signature.outputs),
        ):
            for alias, info in sorted(infos.items()):
                if info.WhichOneof("encoding") in ("name", None):
                    fault = _fault(kind, info, dtype_of(info.name))
                    if fault:
                        yield f"Signature {name!r}: {kind} {alias!r} {fault}"


def _fault(
    kind: str, info: meta_graph_pb2.TensorInfo, dtype: int | None
) -> str:
    if dtype is None:
        return (
            f"is the tensor {info.name!r}, which the graph does not have: "
            "requests that need it fail."
        )
    if kind == "input" and dtype not in PARSABLE:
        return (
            f"is of type {type_name(dtype)} in the graph, which no request "
            "can send: requests to the signature fail."
        )
    if kind == "input" and dtype != info.dtype:
        return (
            f"is of type {type_name(info.dtype)} in the signature and of type "
            f"{type_name(dtype)} in the graph, which decides: what goes by "
            "the signature, as REST's predict does, fails."
        )
    return ""
