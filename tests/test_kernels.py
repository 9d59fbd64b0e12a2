"""The TensorFlow below Keras."""

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf import kernels


def uses_xla(function):
    graph = tf.function(function).get_concrete_function(tf.constant(1.0)).graph
    calls = [op for op in graph.get_operations() if "Call" in op.type]
    return any(op.get_attr("_XlaMustCompile") for op in calls)


def test_only_on_a_cpu_functions_are_compiled(monkeypatch):
    double = kernels.compiled(lambda x: 2 * x)
    assert uses_xla(double)

    monkeypatch.setattr(kernels, "has_gpu", lambda: True)

    assert not uses_xla(double)
    assert float(double(tf.constant(3.0))) == 6.0


def test_rows_are_int32_where_that_is_fast_and_enough(monkeypatch):
    assert kernels.row_dtype(2**31 - 1) == "int32"
    assert kernels.row_dtype(2**31) == "int64"

    monkeypatch.setattr(kernels, "has_gpu", lambda: True)

    assert kernels.row_dtype(5) == "int64"


def test_what_is_told_to_run_on_the_cpu_is_not_for_a_gpu(monkeypatch):
    # The second of two CPUs plays the GPU.
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    current = kernels.current_device
    monkeypatch.setattr(
        kernels, "current_device", lambda: current().replace("CPU:1", "GPU:0")
    )
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}

    def note(name):
        found.setdefault(name, []).append(kernels.has_gpu())

    with tf.device("CPU:1"):
        note("eager")
        tf.function(note)("graph")
        tf.function(lambda: one.run(note, ("on the CPU",)))()
        with kernels.on_cpu():
            tf.function(note)("in a block")
    tf.function(lambda: two.run(note, ("replicas",)))()

    assert found == {
        "eager": [True],
        "graph": [True],
        "on the CPU": [False],
        "in a block": [False],
        "replicas": [False, True],
    }


def test_a_plain_variable_is_its_own_local_value():
    variable = tf.Variable(np.ones(3))

    assert kernels.local_value(variable) is variable


def test_the_local_value_is_that_of_the_replica_that_runs():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        variable = keras.Variable(np.ones(3))
    parts = strategy.experimental_local_results(variable.value)
    seen = []

    strategy.run(lambda: seen.append(kernels.local_value(variable)))

    assert len({part.device for part in parts}) == 2
    assert [value is part for value, part in zip(seen, parts, strict=True)] == [
        True,
        True,
    ]
    # Outside of all replicas: the first, or that of a device.
    assert kernels.local_value(variable) is parts[0]
    assert kernels.local_value(variable, parts[1].device) is parts[1]
