"""The nodes that parse a request's tensors inside the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.engine.tensor_protos import PARSABLE

# The scope of the nodes added here, which no exporter's name begins with.
_SCOPE = "deepfm_tf_serving"
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_NODE = re.compile(rf"\{{\{{node {_SCOPE}/parse_(\d+)\}}\}}")


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
