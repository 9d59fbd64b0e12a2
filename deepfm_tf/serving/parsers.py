"""The nodes that parse a request's tensors inside the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.serving.tensor_protos import PARSABLE

# The scope of the nodes added here, which no exporter's name begins with.
_SCOPE = "deepfm_tf_serving"
_NODE = re.compile(rf"\{{\{{node {_SCOPE}/parse_(\d+)\}}\}}")


class Parsers:
    """One parser for each tensor that a signature feeds.

    Tensors that are fed by the same signatures share one string vector of
    serialized protos, so that a run feeds one array, and nothing that it
    does not need.

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
        # The vectors, what is in each, and which one a tensor is in.
        self._vectors: dict[str, tf.Tensor] = {}
        self._members: dict[str, list[str]] = {}
        self._vector_of: dict[str, str] = {}
        operations = {node.name: node.op for node in graph_def.node}
        users: dict[str, set[str]] = {}
        dtypes: dict[str, int] = {}
        for signature_name, signature in signature_defs.items():
            for info in signature.inputs.values():
                operation = operations.get(info.name.partition(":")[0])
                if operation is None or info.dtype not in PARSABLE:
                    continue
                users.setdefault(info.name, set()).add(signature_name)
                dtypes[info.name] = info.dtype
                # A default may be computed with, where it is not fed.
                if operation not in ("Placeholder", "PlaceholderV2"):
                    self.computed.add(info.name)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in sorted(users):
            groups.setdefault(tuple(sorted(users[name])), []).append(name)
        with graph.as_default(), tf.name_scope(_SCOPE):
            for names in groups.values():
                self._add_group(names, dtypes)

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

    def feed(
        self, serialized: Mapping[str, bytes]
    ) -> dict[tf.Tensor, np.ndarray]:
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
