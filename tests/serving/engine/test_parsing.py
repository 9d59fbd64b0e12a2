"""Parsers: which vectors are fed, and whose parser has failed."""

import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from deepfm_tf.serving.engine.parsing import Parsers


def made(**signatures):
    """Parsers of signatures given as the names of their inputs."""
    graph_def = tf.compat.v1.GraphDef()
    definitions = {}
    for name, inputs in signatures.items():
        definitions[name] = SignatureDef()
        for alias in inputs:
            info = definitions[name].inputs[alias]
            info.name, info.dtype = f"{alias}:0", types_pb2.DT_FLOAT
    for alias in sorted(
        {alias for each in signatures.values() for alias in each}
    ):
        op = "Identity" if alias.startswith("computed") else "Placeholder"
        if not alias.startswith("absent"):
            node = graph_def.node.add(name=alias, op=op)
            node.attr["dtype"].type = types_pb2.DT_FLOAT
    graph = tf.Graph()
    parsers = Parsers(graph, graph_def, definitions)
    with graph.as_default():
        for node in graph_def.node:
            tf.zeros([], name=node.name)
    parsers.add_computed()
    return parsers


def fed(parsers, *names):
    """The contents of the vectors, each tensor's bytes being its name."""
    vectors = parsers.feed({name: name.encode() for name in names})
    return sorted(vector.tolist() for vector in vectors.values())


def test_what_is_fed_together_shares_a_vector():
    parsers = made(one=["a", "b", "shared"], two=["c", "shared"])

    assert fed(parsers, "a:0", "b:0", "shared:0") == [
        [b"a:0", b"b:0"],
        [b"shared:0"],
    ]
    assert fed(parsers, "c:0", "shared:0") == [[b"c:0"], [b"shared:0"]]


def test_only_placeholders_are_wired():
    parsers = made(one=["a", "computed"])

    assert parsers.parsed.keys() == {"a:0", "computed:0"}
    assert parsers.wired.keys() == {"a:0"}


def test_what_is_not_in_the_graph_has_no_parser():
    assert made(one=["a", "absent"]).parsed.keys() == {"a:0"}


def test_a_failure_names_the_tensor():
    parsers = made(one=["a", "b"])
    node = parsers.parsed["b:0"].op.name

    assert parsers.failed(f"no tensor\n\t [[{{{{node {node}}}}}]]") == "b:0"
    assert parsers.failed("[[{{node dense/MatMul}}]]") is None
