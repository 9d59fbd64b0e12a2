"""Loading, running and closing SavedModels, ours and other people's."""

import shutil
import sys
import threading
import types

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python import client
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework.ops import SymbolicTensor

import deepfm_tf.serving.engine.servable as servable_module
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.saved_model_c_api import run_signature
from tests.serving.toy_model import (
    COLUMNS,
    TEXTS,
    expected_ctr,
    predict_request,
    save_v1,
    signature_v1,
)


def run(servable, feeds, name="serving_default", timeout=None):
    """Every output of a signature as an array."""
    signature = servable.signature_defs[name]
    outputs = list(signature.outputs)
    answers = servable.run(signature, feeds, outputs, timeout)
    return {alias: tf.make_ndarray(proto) for alias, proto in answers.items()}


def protos(**values):
    """TensorProtos of float32."""
    return {
        name: tf.make_tensor_proto(value, tf.float32)
        for name, value in values.items()
    }


def test_it_agrees_with_the_c_loader(toy_path, toy_servable):
    arrays = {
        name: np.array(
            [text.encode() for text in values]
            if name in TEXTS
            else np.float32(values),
            object if name in TEXTS else np.float32,
        )
        for name, values in COLUMNS.items()
    }

    found = run(toy_servable, predict_request().inputs)

    expected = run_signature(str(toy_path), arrays)
    np.testing.assert_array_equal(found["ctr"], expected["ctr"])


def test_many_threads_get_their_own_answers(toy_servable):
    found = {}

    def work(number):
        # Every thread has another number of rows.
        columns = {name: values * number for name, values in COLUMNS.items()}
        columns["n0"] = [float(number)] * (3 * number)
        for _ in range(20):
            request = predict_request(columns)
            found[number] = (run(toy_servable, request.inputs), columns)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    for answer, columns in found.values():
        expected = expected_ctr(columns)
        np.testing.assert_allclose(answer["ctr"], expected, rtol=1e-6)
    assert len(found) == 8


def proto(dtype=types_pb2.DT_FLOAT, dims=(3,), **fields):
    """A TensorProto as a hostile client writes it."""
    found = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in dims:
        found.tensor_shape.dim.add(size=size)
    return found


@pytest.mark.parametrize(
    "malformed",
    [
        proto(tensor_content=b"\0" * 11),
        proto(dtype=types_pb2.DT_INVALID, float_val=[1]),
        proto(dtype=types_pb2.DT_RESOURCE),
        proto(dtype=types_pb2.DT_VARIANT),
        proto(dtype=types_pb2.DT_FLOAT_REF, float_val=[1]),
        proto(dtype=777, float_val=[1]),
        proto(dims=(-1,), float_val=[1]),
        proto(dims=(-3, -1), float_val=[1]),
        proto(dims=(10**12, 0, -5), float_val=[1]),
        proto(dims=(1,) * 300, float_val=[1]),
        proto(dims=(2**62, 2**62), float_val=[1]),
    ],
)
def test_malformed_protos_are_parsing_errors(toy_servable, malformed):
    request = predict_request()
    request.inputs["n0"].CopyFrom(malformed)

    with pytest.raises(
        ServingError, match="^INVALID_ARGUMENT: tensor parsing error: "
    ):
        run(toy_servable, request.inputs)


def test_many_small_protos_may_not_claim_gigabytes(toy_servable):
    # No one of them takes more than 250 MB.
    request = predict_request()
    for name, proto in request.inputs.items():
        proto.tensor_shape.dim[0].size = 10**7
        if name in TEXTS:
            proto.string_val[:] = [b"x"]
        else:
            proto.ClearField("tensor_content")
            proto.float_val[:] = [1.0]

    with pytest.raises(ServingError) as raised:
        run(toy_servable, request.inputs)

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    # 10^7 times three strings of 24 + 1 bytes and two floats of 4.
    assert "To repeat the last ones would take 830000000 bytes" in (
        raised.value.message
    )


def test_bytes_in_an_error_may_be_no_text(toy_servable):
    feeds = {"inputs": tf.make_tensor_proto([b"\xff no example"])}

    with pytest.raises(ServingError) as raised:
        run(toy_servable, feeds, "regress")

    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message.startswith(
        "Could not parse example input, value: '\N{REPLACEMENT CHARACTER} no"
    )


def test_the_initializer_is_no_signature_to_run(toy_servable):
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: FetchOutputs"):
        run(toy_servable, {}, "__saved_model_init_op")


@pytest.mark.filterwarnings("ignore")
def test_sets_of_outputs_are_not_kept_without_end(tmp_path, monkeypatch):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [])
        with tf.control_dependencies([tf.debugging.Assert(x >= 0, ["neg"])]):
            root = tf.sqrt(x)
        outputs = {"double": 2 * x, "half": x / 2, "root": root}
        return {"serving_default": signature_v1({"x": x}, outputs)}, None

    save_v1(tmp_path / "1", build)
    loaded = Servable(tmp_path / "1")
    signature = loaded.signature_defs["serving_default"]
    monkeypatch.setattr(servable_module, "MAX_FETCHED", 2)

    def answers(*names, x=4.0):
        found = loaded.run(signature, protos(x=x), names)
        return {name: tuple(proto.float_val) for name, proto in found.items()}

    assert answers("root") == {"root": (2,)}
    assert answers("double", "half") == {"double": (8,), "half": (2,)}
    # As before in another order, and as before the limit.
    assert answers("half", "double", x=-1) == {"half": (-0.5,), "double": (-2,)}
    # A third set: all are computed, and one of them fails.
    assert answers("double") == {"double": (8,)}
    with pytest.raises(ServingError, match="neg"):
        answers("double", x=-1)
    loaded.close()


class Endless(tf.Module):
    """Counts to `x`."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def count(self, x):
        """As slow as you like."""
        done = tf.while_loop(lambda i: i < x, lambda i: [i + 1], [0.0])
        return {"y": done[0]}


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize(
    "without", [None, "_call_tf_sessionrun"], indirect=True
)
def test_a_run_ends_at_its_timeout(tmp_path):
    module = Endless()
    signatures = {"serving_default": module.count}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    servable = Servable(tmp_path)
    assert run(servable, protos(x=3), timeout=60)["y"] == 3

    with pytest.raises(ServingError) as raised:
        run(servable, protos(x=1e7), timeout=0.05)

    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    servable.close()


def test_closed_is_closed(toy_path):
    servable = Servable(toy_path)
    servable.close()
    servable.close()

    with pytest.raises(ServingError, match="^CANCELLED"):
        run(servable, predict_request().inputs)


PRIVATE = (
    "_call_tf_sessionrun",
    "_as_tf_output",
    "TF_NewBufferFromString",
    "TF_DeleteBuffer",
)


@pytest.fixture(params=PRIVATE)
def without(request, monkeypatch):
    """TensorFlow lacks a private name, or None, as far as our modules can see.

    It goes on using the name itself, as a version without would another.
    """
    name = request.param
    if name is None:
        return
    owners = {PRIVATE[0]: tf.compat.v1.Session, PRIVATE[1]: SymbolicTensor}
    if name not in owners:
        rest = {n: getattr(pywrap_tf_session, n) for n in PRIVATE[2:]}
        del rest[name]
        module = types.SimpleNamespace(**rest)
        monkeypatch.setattr(client, "pywrap_tf_session", module)
        return

    def found(self):
        caller = sys._getframe(1)
        if caller.f_code.co_name == "__getattr__":  # asked once more
            caller = caller.f_back
        if caller.f_globals["__name__"].startswith("deepfm_tf."):
            raise AttributeError(name)
        return getattr(super(owners[name], self), name)

    monkeypatch.setattr(owners[name], name, property(found), raising=False)


@pytest.mark.usefixtures("without")
def test_without_a_private_name_the_answers_are_the_same(toy_path):
    servable = Servable(toy_path)
    request = predict_request()
    example = tf.make_tensor_proto([tf.train.Example().SerializeToString()])

    expected = expected_ctr(COLUMNS)
    found = run(servable, request.inputs)
    np.testing.assert_allclose(found["ctr"], expected, rtol=1e-6)
    # No text and no number has the weight of none: sigmoid(0).
    found = run(servable, {"inputs": example}, "regress")
    assert found["outputs"].tolist() == [0.5]

    def told(error, **inputs):
        changed = predict_request()
        for name, proto in inputs.items():
            changed.inputs[name].CopyFrom(proto)
        with pytest.raises(ServingError) as raised:
            run(servable, changed.inputs)
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error in raised.value.message
        return raised.value.message

    text = told("slice index 0", n0=tf.make_tensor_proto(1.0))
    assert "{{node" in text and "stack trace" not in text
    told("tensor parsing error: n0", n0=proto(tensor_content=b"\0" * 11))
    with pytest.raises(ServingError, match="Could not parse example input"):
        run(servable, {"inputs": tf.make_tensor_proto([b"\xff"])}, "regress")
    servable.close()
    with pytest.raises(ServingError, match="^CANCELLED"):
        run(servable, request.inputs)


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_tensorflow_1_may_feed_what_another_signature_computes(
    tmp_path, use_resource
):
    def build():
        v1 = tf.compat.v1
        examples = v1.placeholder(tf.string, [None], name="examples")
        spec = {"x": tf.io.FixedLenFeature([], tf.float32)}
        x = tf.identity(tf.io.parse_example(examples, spec)["x"], name="x")
        scale = v1.placeholder_with_default(10.0, [], name="scale")
        weight = v1.get_variable(
            "w", initializer=3.0, use_resource=use_resource
        )
        y = x * weight * scale
        signatures = {
            "regress": signature_v1({"inputs": examples}, {"outputs": y}),
            "serving_default": signature_v1({"x": x}, {"y": y}),
            "scaled": signature_v1({"x": x, "scale": scale}, {"y": y}),
            "through": signature_v1({"examples": examples}, {"y": examples}),
        }
        return signatures, None

    save_v1(tmp_path / "1", build)
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2)
    text = tf.make_tensor_proto([example.SerializeToString()])

    servable = Servable(tmp_path / "1")

    assert run(servable, protos(x=[5, 1]))["y"].tolist() == [150, 30]
    scaled = run(servable, protos(x=[5, 1], scale=2), "scaled")
    assert scaled["y"].tolist() == [30, 6]
    parsed = run(servable, {"inputs": text}, "regress")
    assert parsed["outputs"].tolist() == [60]
    through = run(servable, {"examples": text}, "through")
    assert through["y"].tolist() == [example.SerializeToString()]
    servable.close()


@pytest.mark.filterwarnings("ignore")
def test_an_asset_is_found_where_the_model_has_moved_to(tmp_path):
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("zero\none\ntwo\n")

    def build():
        v1 = tf.compat.v1
        asset = tf.constant(str(vocabulary))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )
        words = v1.placeholder(tf.string, [None])
        signature = signature_v1({"words": words}, {"ids": table.lookup(words)})
        return {"serving_default": signature}, v1.tables_initializer()

    save_v1(tmp_path / "first", build)
    shutil.move(tmp_path / "first", tmp_path / "second")
    vocabulary.unlink()

    servable = Servable(tmp_path / "second")

    words = tf.make_tensor_proto(["two", "three"])
    assert run(servable, {"words": words})["ids"].tolist() == [2, -1]
    servable.close()


@pytest.mark.filterwarnings("ignore")
def test_a_version_may_be_saved_as_text(tmp_path):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [None])
        return {"serving_default": signature_v1({"x": x}, {"y": 2 * x})}, None

    save_v1(tmp_path / "1", build)
    binary = tmp_path / "1" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    binary.unlink()
    text = text_format.MessageToString(saved)
    (tmp_path / "1" / "saved_model.pbtxt").write_text(text)

    servable = Servable(tmp_path / "1")

    assert run(servable, protos(x=[1, 4]))["y"].tolist() == [2, 8]
    servable.close()


@pytest.mark.parametrize("damage", ["empty", "no graph", "no variables"])
def test_a_damaged_version_says_where_it_is(tmp_path, toy_path, damage):
    path = tmp_path / "7"
    if damage == "empty":
        path.mkdir()
    else:
        shutil.copytree(toy_path, path)
    if damage == "no graph":
        (path / "saved_model.pb").write_bytes(b"\xff\x00nonsense")
    elif damage == "no variables":
        (path / "variables" / "variables.index").unlink()

    with pytest.raises(ServingError, match=str(path)):
        Servable(path)


def resident() -> int:
    """Bytes of memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_closing_returns_the_memory(tmp_path):
    class Big(tf.Module):
        """A table of 100 MB."""

        def __init__(self):
            super().__init__()
            self.table = tf.Variable(tf.ones([25, 10**6]))

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.int32, "row")],
            autograph=False,
        )
        def read(self, row):
            """(rows,)"""
            return {"sum": tf.gather(self.table, row)[:, 0]}

    module = Big()
    signatures = {"serving_default": module.read}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    del module, signatures
    row = {"row": tf.make_tensor_proto([3], tf.int32)}

    def load_and_close():
        servable = Servable(tmp_path)
        run(servable, row)
        servable.close()
        return servable, resident()

    # oneDNN's allocator keeps what it is given back for the next to come.
    kept = [load_and_close() for _ in range(3)]

    assert kept[-1][1] - kept[0][1] < 50 * 2**20
