"""What a GPU would run, as TensorFlow's registry of kernels tells.

The graphs are those that are traced where there is a GPU; none is needed to
trace them, nor to ask which kernels the installed TensorFlow has.
"""

import functools
import json

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels as registry

import deepfm_tf
from deepfm_tf import kernels
from deepfm_tf.export.scoring import make_score
from deepfm_tf.optimizers.merged_shares import merge_shares
from tests.benchmarks import gpu_check

# What calls others, or computes nothing.
STRUCTURE = {
    *("Const", "Identity", "If", "NoOp", "PartitionedCall", "Placeholder"),
    *("StatefulPartitionedCall", "StatelessIf", "StatelessWhile", "While"),
}
# They read no values.
OF_SHAPES = {"Shape", "ShapeN", "Size"}


def gpu_kernels(kind):
    found = registry.get_registered_kernels_for_op(kind).kernel
    return [k for k in found if k.device_type in ("GPU", "DEFAULT")]


def kernel_of(operation, known={}):  # noqa: B006, those of all tests
    """The GPU kernel for the types of an operation; None if there is none."""
    tensors = [*operation.inputs, *operation.outputs]
    key = operation.type, *(tensor.dtype for tensor in tensors)
    if key not in known:
        known[key] = _kernel_of(operation)
    return known[key]


def _kernel_of(operation):
    for kernel in gpu_kernels(operation.type):
        for constraint in kernel.constraint:
            types = operation.get_attr(constraint.name)
            types = types if isinstance(types, list) else [types]
            allowed = constraint.allowed_values.list.type
            if any(each.as_datatype_enum not in allowed for each in types):
                break
        else:
            return kernel
    return None


def operations(graph, seen=None):
    """Those of a graph, and of all functions that it calls."""
    seen = set() if seen is None else seen
    for operation in graph.get_operations():
        if operation.type not in STRUCTURE:
            yield operation
            continue
        for name in ("f", "then_branch", "else_branch", "body", "cond"):
            if name not in operation.node_def.attr:
                continue
            called = operation.get_attr(name).name
            if called not in seen:
                seen.add(called)
                function = graph._get_function(called)
                yield from operations(function.graph, seen)


def on_host(operation, kernel):
    """Whether a kernel wants, or leaves, more than a shape in host memory."""
    if operation.type in OF_SHAPES:
        return False
    definition = operation.op_def
    return any(
        name in kernel.host_memory_arg
        and tensor.shape.rank not in (0, 1)
        and not tensor.shape.is_fully_defined()
        for arguments, tensors in (
            (definition.input_arg, operation.inputs),
            (definition.output_arg, operation.outputs),
        )
        for name, tensor in zip(
            names(operation, arguments), tensors, strict=True
        )
    )


def names(operation, arguments):
    """Of the argument that each tensor belongs to: some take several."""
    for argument in arguments:
        count = 1
        if argument.number_attr:
            count = operation.get_attr(argument.number_attr)
        elif argument.type_list_attr:
            count = len(operation.get_attr(argument.type_list_attr))
        yield from [argument.name] * count


def check(graph):
    found = [(op, kernel_of(op)) for op in operations(graph)]
    assert len(found) > 20
    assert [op.name for op, kernel in found if kernel is None] == []
    assert [op.name for op, kernel in found if on_host(op, kernel)] == []


@pytest.fixture(scope="module")
def model():
    """Every kind of input, and all that a step may do."""
    if not gpu_kernels("MatMul"):
        pytest.skip("this TensorFlow is built without GPUs")
    fields = (
        deepfm_tf.CategoricalField("site", vocabulary_size=5),
        deepfm_tf.MultiValuedField(
            "tags", vocabulary_size=7, max_length=3, pooling="mean"
        ),
        deepfm_tf.NumericField("price"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "has_gpu", lambda: True)
        built = deepfm_tf.DeepFM(
            deepfm_tf.Schema(fields, label="clicked"),
            hidden_units=(200,),
            dropout=0.1,
        )
        deepfm_tf.compile_model(built, clip_norm=1.0, batch_l2=0.1)
        yield built


def specifications(model):
    return {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in model.input.items()
    }


def test_a_training_step_runs_on_the_gpu(model):
    label = tf.TensorSpec((None, 1), tf.float32)
    step = tf.function(model.train_step, autograph=False)

    check(step.get_concrete_function((specifications(model), label)).graph)


@pytest.mark.parametrize("kind", ["evaluation", "signature"])
def test_predictions_run_on_the_gpu(kind, model):
    score = (
        make_score(model)
        if kind == "signature"
        else functools.partial(model, training=False)
    )
    graph = tf.function(score, autograph=False)

    check(graph.get_concrete_function(specifications(model)).graph)


def test_what_replicas_exchange_is_summed_on_the_gpu(model):
    specification = tf.IndexedSlicesSpec([100, 4], tf.float32)

    merge = tf.function(
        lambda shares: merge_shares(shares, 4).values, autograph=False
    )

    check(merge.get_concrete_function(specification).graph)


def test_an_operation_without_a_kernel_is_found(model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def no_kernel(text):
        return tf.strings.length(text)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32)])
    def host_alone(ids):
        return ids >= 0

    (length,) = operations(no_kernel.get_concrete_function().graph)
    (mask,) = operations(host_alone.get_concrete_function().graph)
    assert kernel_of(length) is None
    assert on_host(mask, kernel_of(mask))


@pytest.mark.replicas
def test_the_check_for_those_who_have_a_gpu_runs_without_one(capsys):
    words = ["--vocabulary=500", "--hidden-units=4", "--batch-size=8"]

    report = gpu_check.main([*words, "--steps=2", "--seconds=0"])

    assert json.loads(capsys.readouterr().out) == report
    assert (report["gpus"], report["compared"]) == ([], False)
    assert set(report["replicas"]["apart"].values()) == {0.0}
    assert list(report["correctness"]) == ["cpu again"]
    assert set(report["correctness"]["cpu again"].values()) == {0.0}
    assert report["export"] == {"version": "1"}
    assert [each["device"] for each in report["speed"]] == ["CPU:0"] * 2
    assert all(each["examples_per_second"] > 0 for each in report["speed"])
    assert report["memory"][0]["peak_gb"] > 0.1
