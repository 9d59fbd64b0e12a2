"""Protos in and out, their parsers, signatures that fit and do not."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import input_pb2

from deepfm_tf.serving.engine.protos import (
    CLASSIFY,
    METHODS,
    REGRESS,
    Parsers,
    classification_result,
    examples_tensor,
    regression_result,
    repeated_bytes,
    to_proto,
    type_name,
)
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError

NUMBERS = tf.make_tensor_proto([2.0, 4.0])
TEXTS = tf.make_tensor_proto(["a", "bcd"])


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
        node = graph_def.node.add(name=alias, op=op)
        node.attr["dtype"].type = types_pb2.DT_FLOAT
    return Parsers(tf.Graph(), graph_def, definitions)


def fed(parsers, *names):
    """The contents of the vectors, each tensor's bytes being its name."""
    vectors = parsers.feed({name: name.encode() for name in names})
    return sorted(vector.tolist() for vector in vectors.values())


def test_what_is_fed_together_shares_a_vector():
    parsers = made(one=["a", "b", "shared"], two=["c", "shared"])

    assert fed(parsers, "a:0", "b:0", "shared:0") == [
        [b"a:0", b"b:0", b"shared:0"]
    ]
    assert fed(parsers, "c:0", "shared:0") == [
        [b"", b"", b"shared:0"],
        [b"c:0"],
    ]


def test_only_placeholders_are_parsed():
    assert made(one=["a", "computed"]).parsed.keys() == {"a:0"}


def test_a_failure_names_the_tensor():
    parsers = made(one=["a", "b"])
    node = parsers.parsed["b:0"].op.name

    assert parsers.failed(f"no tensor\n\t [[{{{{node {node}}}}}]]") == "b:0"
    assert parsers.failed("[[{{node dense/MatMul}}]]") is None


def claimed(dtype, dims, **fields):
    """What `repeated_bytes` says of a proto."""
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in dims:
        proto.tensor_shape.dim.add(size=size)
    return repeated_bytes(proto, proto.ByteSize())


@pytest.mark.parametrize(
    ("dtype", "fields", "size"),
    [
        (types_pb2.DT_FLOAT, {"float_val": [1]}, 4),
        (types_pb2.DT_COMPLEX128, {"dcomplex_val": [1, 0]}, 16),
        (types_pb2.DT_QINT8, {"int_val": [1]}, 1),
        # 24 bytes for a string, and its text.
        (types_pb2.DT_STRING, {"string_val": [b"", b"x" * 40]}, 64),
        (types_pb2.DT_STRING, {"tensor_content": b"x" * 2000}, 24),
    ],
)
def test_what_is_repeated_takes_memory(dtype, fields, size):
    assert claimed(dtype, [1000], **fields) == 1000 * size
    assert claimed(dtype, [10, 100], **fields) == 1000 * size


@pytest.mark.parametrize(
    ("dtype", "fields"),
    [
        (types_pb2.DT_FLOAT, {"float_val": [0.5] * 1000}),
        (types_pb2.DT_FLOAT, {"tensor_content": bytes(4000)}),
        (types_pb2.DT_INT64, {"int64_val": [0] * 1000}),
        (types_pb2.DT_BOOL, {"tensor_content": bytes(1000)}),
        (types_pb2.DT_STRING, {"string_val": [b""] * 1000}),
    ],
)
def test_what_is_there_is_not_repeated(dtype, fields):
    assert claimed(dtype, [1000], **fields) == 0


@pytest.mark.parametrize("dims", [[], [0], [-5], [10**9, 0]])
def test_shapes_of_no_values_take_no_memory(dims):
    assert claimed(types_pb2.DT_FLOAT, dims, float_val=[1]) <= 0


@pytest.mark.parametrize(
    ("array", "field"),
    [
        (np.float32([[0.5, np.inf]]), "float_val"),
        (np.float64([0.1]), "double_val"),
        (np.float16([0.5, -2]), "half_val"),
        (tf.constant([0.5], tf.bfloat16).numpy(), "half_val"),
        (np.int64([-(2**63), 2**63 - 1]), "int64_val"),
        (np.uint64([2**64 - 1]), "uint64_val"),
        (np.uint32([2**32 - 1]), "uint32_val"),
        (np.int8([-128]), "int_val"),
        (np.array([True, False]), "bool_val"),
        (np.array([b"\xff", b""], object), "string_val"),
        (np.complex64([[1 + 2j], [3 - 4j]]), "scomplex_val"),
        (np.complex128([1 + 2j]), "dcomplex_val"),
        (np.float32(3), "float_val"),
        (np.zeros([0, 3], np.float32), None),
    ],
)
def test_answers_are_typed_and_read_back(array, field):
    proto = to_proto(array)

    if field is not None:
        assert len(getattr(proto, field))
    found = tf.io.parse_tensor(proto.SerializeToString(), array.dtype)
    if array.dtype == object:
        assert found.numpy().tolist() == array.tolist()
    else:
        np.testing.assert_array_equal(found.numpy(), array)


def test_numbers_are_packed_on_demand():
    numbers = to_proto(np.int64([1, 2]), tensor_content=True)
    strings = to_proto(np.array([b"x"], object), tensor_content=True)

    assert numbers.tensor_content == np.int64([1, 2]).tobytes()
    assert strings.string_val == [b"x"]


def test_types_have_the_names_of_cpp():
    assert type_name(types_pb2.DT_FLOAT) == "float"
    assert type_name(types_pb2.DT_BFLOAT16) == "bfloat16"
    assert type_name(types_pb2.DT_FLOAT_REF) == "float_ref"


class Module(tf.Module):
    """`half`: x / 2 + 3. `length`: of a text. `seven`: 7, of nothing."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def half(self, x):
        return {"y": x / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "t")])
    def length(self, t):
        return {"y": tf.strings.length(t)}

    @tf.function(input_signature=[])
    def seven(self):
        return {"y": tf.constant(7)}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A version whose signatures are edited; `half` is as it was saved."""
    path = tmp_path_factory.mktemp("two") / "1"
    module = Module()
    tf.saved_model.save(
        module,
        str(path),
        {name: getattr(module, name) for name in ("half", "length", "seven")},
    )
    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph = saved.meta_graphs[0]
    node = graph.graph_def.node.add(name="handle", op="Placeholder")
    node.attr["dtype"].type = types_pb2.DT_RESOURCE
    node.attr["shape"].shape.SetInParent()
    signatures = graph.signature_def

    def edited(name, source="half"):
        signatures[name].CopyFrom(signatures[source])
        return signatures[name]

    edited("lying", "length").inputs["t"].dtype = types_pb2.DT_FLOAT
    edited("untyped").inputs["x"].dtype = types_pb2.DT_INVALID
    edited("nowhere").inputs["x"].name = "nothing:0"
    edited("past_the_end").inputs["x"].name = "half_x:7"
    edited("unnamed").inputs["x"].ClearField("name")
    edited("lost_output").outputs["z"].name = "nothing:0"
    edited("no_outputs").outputs.clear()
    edited("shapeless").inputs["x"].ClearField("tensor_shape")
    portless = edited("portless")
    for info in (portless.inputs["x"], portless.outputs["y"]):
        info.name = info.name.partition(":")[0]
    handle = edited("handle").inputs["x"]
    handle.name, handle.dtype = "handle:0", types_pb2.DT_RESOURCE
    file.write_bytes(saved.SerializeToString())
    return path


@pytest.fixture(scope="module")
def servable(version):
    """The version, loaded."""
    loaded = Servable(version)
    yield loaded
    loaded.close()


def run(servable, name, **feeds):
    signature = servable.signature_defs[name]
    answer = servable.run(signature, feeds, ["y"])
    return tf.make_ndarray(answer["y"]).tolist()


@pytest.mark.parametrize(
    "name", ["half", "untyped", "lost_output", "shapeless", "portless"]
)
def test_what_the_graph_can_answer_is_answered(servable, name):
    assert run(servable, name, x=NUMBERS) == [4.0, 5.0]


def test_the_type_of_the_graph_decides(servable):
    assert run(servable, "lying", t=TEXTS) == [1, 3]
    with pytest.raises(
        ServingError, match=r"arg\[0\] to be string but float is provided"
    ):
        run(servable, "lying", t=NUMBERS)


def test_a_signature_without_inputs_runs(servable):
    assert run(servable, "seven") == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "unable to find feed output nothing:0"),
        ("past_the_end", "unable to find feed output half_x:7"),
        ("unnamed", "unable to find feed output"),
        ("handle", r"arg\[0\] to be resource but float is provided"),
    ],
)
def test_a_request_to_a_broken_signature_fails(servable, name, message):
    with pytest.raises(ServingError, match=message):
        run(servable, name, x=NUMBERS)


def test_an_output_that_is_not_there_fails_the_request_for_it(servable):
    signature = servable.signature_defs["lost_output"]

    with pytest.raises(ServingError, match="nothing:0: no such tensor"):
        servable.run(signature, {"x": NUMBERS}, ["y", "z"])


def test_a_signature_without_outputs_fails_the_request(servable):
    signature = servable.signature_defs["no_outputs"]

    with pytest.raises(ServingError, match="Must specify at least one target"):
        servable.run(signature, {"x": NUMBERS}, [])


def test_the_log_names_each_of_them(version, caplog):
    with caplog.at_level(logging.WARNING, "deepfm_tf"):
        Servable(version).close()

    told = {record.getMessage().split("'")[1] for record in caplog.records}
    assert told == {
        "lying", "untyped", "nowhere", "past_the_end", "unnamed",
        "lost_output", "handle",
    }  # fmt: skip
    assert (
        f"{version}: signature 'lying' needs for 't' a tensor 'length_t:0' of "
        "type float. The graph has string there, which decides"
    ) in caplog.text


def example(**features):
    """A tf.train.Example with a float a feature."""
    found = tf.train.Example()
    for name, value in features.items():
        found.features.feature[name].float_list.value.append(value)
    return found


def test_an_example_wins_over_its_context():
    inputs = input_pb2.Input()
    inputs.example_list_with_context.context.CopyFrom(example(a=1, b=2))
    inputs.example_list_with_context.examples.append(example(b=3))
    inputs.example_list_with_context.examples.append(example(c=4))

    proto = examples_tensor(inputs)

    assert proto.tensor_shape.dim[0].size == 2
    first, second = map(tf.train.Example.FromString, proto.string_val)
    assert first == example(a=1, b=3)
    assert second == example(a=1, b=2, c=4)


@pytest.mark.parametrize("kind", ["none", "list", "context alone"])
def test_no_examples_are_refused(kind):
    inputs = input_pb2.Input()
    if kind == "list":
        inputs.example_list.SetInParent()
    elif kind == "context alone":
        inputs.example_list_with_context.context.CopyFrom(example(a=1))

    with pytest.raises(ServingError, match="^INVALID_.*Input is empty.$"):
        examples_tensor(inputs)


def signature(inputs, outputs):
    """A SignatureDef with these keys."""
    found = SignatureDef()
    for key in inputs.split():
        found.inputs[key].name = f"{key}:0"
    for key in outputs.split():
        found.outputs[key].name = f"{key}_out:0"
    return found


@pytest.mark.parametrize("outputs", ["classes", "scores", "classes scores"])
def test_classify_takes_classes_or_scores_or_both(outputs):
    found = METHODS[CLASSIFY].outputs(signature("inputs", outputs))

    assert found == outputs.split()


@pytest.mark.parametrize(
    ("method", "inputs", "outputs", "text"),
    [
        (CLASSIFY, "a b", "classes", "INVALID.* Expected one input Tensor."),
        (CLASSIFY, "inputs", "classes scores more",
         "INVALID.* Expected one or two output Tensors"),
        (CLASSIFY, "x", "classes", "FAILED_PRE.* No classification inputs"),
        (CLASSIFY, "inputs", "outputs",
         "INVALID.* Expected classification signature outputs to contain at "
         'least one of "classes" or "scores"'),
        (REGRESS, "a b", "outputs", "INVALID.* Expected one input Tensor."),
        (REGRESS, "inputs", "a b", "INVALID.* Expected one output Tensor."),
        (REGRESS, "x", "outputs", "FAILED_PRE.* No regression inputs found"),
        (REGRESS, "inputs", "x", "FAILED_PRE.* No regression outputs found"),
    ],
)  # fmt: skip
def test_other_signatures_are_refused(method, inputs, outputs, text):
    with pytest.raises(ServingError, match=f"^{text}"):
        METHODS[method].outputs(signature(inputs, outputs))


def test_classes_and_scores_are_paired():
    labels = np.array([[b"no", b"yes"], [b"\xff", b"1"]], object)
    scores = np.float32([[0.25, 0.75], [0.5, 0.5]])

    both = classification_result({"classes": labels, "scores": scores}, 2)
    alone = classification_result({"scores": scores}, 2)

    unreadable = "\N{REPLACEMENT CHARACTER}"
    assert [
        [(item.label, item.score) for item in row.classes]
        for result in (both, alone)
        for row in result.classifications
    ] == [
        [("no", 0.25), ("yes", 0.75)],
        [(unreadable, 0.5), ("1", 0.5)],
        [("", 0.25), ("", 0.75)],
        [("", 0.5), ("", 0.5)],
    ]


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regress_takes_a_vector_or_a_column(shape):
    array = np.float32([0.25, 4]).reshape(shape)

    result = regression_result({"outputs": array}, 2)

    assert [item.value for item in result.regressions] == [0.25, 4]


LABELS = np.array([[b"0", b"1"], [b"0", b"1"]], object)


@pytest.mark.parametrize(
    ("method", "arrays", "text"),
    [
        (CLASSIFY, {"scores": np.float32([1, 2])},
         "Expected Tensor shape: .* but got .2."),
        (CLASSIFY, {"scores": np.float64([[1], [2]])},
         "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        (CLASSIFY, {"classes": np.float32([[1], [2]])},
         "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        (CLASSIFY, {"scores": np.float32([[1]])},
         "Expected scores batch size of 2. Got: 1"),
        (CLASSIFY, {"classes": LABELS, "scores": np.float32([[1], [2]])},
         "Tensors class and score should match .* Got 2 vs. 1"),
        (REGRESS, {"outputs": np.float32([[1, 2], [3, 4]])},
         "Expected output Tensor shape .* but got .2, 2."),
        (REGRESS, {"outputs": np.float32(1)},
         "Expected output Tensor shape .* but got .."),
        (REGRESS, {"outputs": np.float32([1])},
         "Expected output batch size of 2. Got: 1"),
        (REGRESS, {"outputs": np.float64([1, 2])},
         "Expected output Tensor of DT_FLOAT. Got: DT_DOUBLE"),
    ],
)  # fmt: skip
def test_other_outputs_are_refused(method, arrays, text):
    with pytest.raises(ServingError, match=f"^INVALID_ARGUMENT: {text}$"):
        METHODS[method].result(arrays, 2)
