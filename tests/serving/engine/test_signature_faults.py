"""Signatures that do not fit their graph, and the others of the version."""

import logging

import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.engine.signature_faults import signature_faults
from deepfm_tf.serving.errors import ServingError

NUMBERS = tf.make_tensor_proto([2.0, 4.0])
TEXTS = tf.make_tensor_proto(["a", "bcd"])


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
    assert str(version) in caplog.text


def test_a_sound_signature_has_no_faults():
    info = meta_graph_pb2.TensorInfo(name="x:0", dtype=types_pb2.DT_FLOAT)
    signature = meta_graph_pb2.SignatureDef(inputs={"x": info})
    signatures = {"predict": signature, "__saved_model_init_op": signature}

    assert not list(signature_faults(signatures, {"x:0": 1}.get))
    assert list(signature_faults(signatures, {"x:0": 7}.get)) == [
        "Signature 'predict': input 'x' is of type float in the signature "
        "and of type string in the graph, which decides: what goes by the "
        "signature, as REST's predict does, fails."
    ]
