"""Adam on all dense weights together, beside Keras's and beside float64."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.native.table_kernels import TableKernels
from deepfm_tf.optimizers import (
    Adam,
    CompositeOptimizer,
    LazyAdam,
    LazyFTRL,
    RowwiseAdagrad,
)
from tests.native.kernels import needs_kernels
from tests.optimizers import rules

# With one that several threads share, and one that no vector register fills.
SHAPES = {"kernel": (70, 300), "bias": (3,), "scale": ()}
STEPS = 20


@pytest.fixture(
    autouse=True,
    params=["off", pytest.param("auto", marks=needs_kernels)],
)
def kernels(request, monkeypatch):
    """With our kernels, and without."""
    monkeypatch.setenv("DEEPFM_TF_KERNELS", request.param)
    return request.param


def gradients(num_steps=STEPS):
    random = np.random.default_rng(0)
    return [
        [
            (random.normal(size=shape) * 10.0 ** -(t % 5)).astype("float32")
            for shape in SHAPES.values()
        ]
        for t in range(num_steps)
    ]


def new_variables():
    random = np.random.default_rng(1)
    return [
        keras.Variable(random.normal(size=shape), name=name, dtype="float32")
        for name, shape in SHAPES.items()
    ]


def walk(rule, steps, variables=None, in_graph=False):
    """The weights and the optimizer's own numbers after some steps."""
    variables = variables or new_variables()
    rule.build(variables)

    def step(*parts):
        rule.apply(list(parts), variables)

    if in_graph:
        step = tf.function(step)
    for parts in steps:
        step(*map(tf.constant, parts))
    return [v.numpy() for v in variables], [v.numpy() for v in rule.variables]


def composite(dense):
    return CompositeOptimizer(RowwiseAdagrad(), LazyFTRL(), dense)


@functools.cache
def keras_s():
    """What Keras's own rule makes of the steps."""
    return walk(keras.optimizers.Adam(learning_rate=0.1), gradients())


def test_twenty_steps_are_keras_s_bit_for_bit():
    found = walk(LazyAdam(learning_rate=0.1), gradients(), in_graph=True)

    for ours, theirs in zip(found, keras_s(), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rule", [Adam, keras.optimizers.AdamW])
def test_the_dense_part_of_a_composite_is_keras_s(rule):
    options = {"learning_rate": 0.1, "beta_1": 0.8, "epsilon": 1e-3}

    found, _ = walk(composite(rule(**options)), gradients(3))

    theirs = keras.optimizers.Adam if rule is Adam else rule
    expected, _ = walk(theirs(**options), gradients(3))
    for ours, other in zip(found, expected, strict=True):
        # Decay of weights by another product of the same factors.
        np.testing.assert_allclose(ours, other, rtol=1e-6, atol=1e-7)


def test_twenty_steps_are_the_equations_in_float64():
    found, _ = walk(LazyAdam(learning_rate=0.1), gradients())

    for place, start in enumerate(new_variables()):
        by_hand = rules.Adam(0.1)
        expected = {0: start.numpy().astype("float64")}
        for t, parts in enumerate(gradients(), 1):
            by_hand.step(expected, {0: parts[place].astype("float64")}, t)
        # 1 - 0.999^t in float32 is 3e-5 off at the first step, of 0.1.
        np.testing.assert_allclose(found[place], expected[0], atol=1e-5)


def test_steps_change_no_value_that_was_read_before():
    variables = new_variables()
    before = [tf.convert_to_tensor(variable.value) for variable in variables]
    copies = [value.numpy().copy() for value in before]

    walk(LazyAdam(learning_rate=0.1), gradients(2), variables)

    for value, copy in zip(before, copies, strict=True):
        np.testing.assert_array_equal(value, copy)


def test_a_rule_of_one_s_own_is_kept():
    class Halving(LazyAdam):
        def update_step(self, gradient, variable, learning_rate):
            variable.assign(variable * 0.5)

    found, _ = walk(Halving(), gradients(1))

    for ours, start in zip(found, new_variables(), strict=True):
        np.testing.assert_array_equal(ours, start.numpy() / 2)


def test_amsgrad_is_keras_s():
    options = {"learning_rate": 0.1, "amsgrad": True}

    found, _ = walk(Adam(**options), gradients(3))

    expected, _ = walk(keras.optimizers.Adam(**options), gradients(3))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_precision_are_keras_s():
    start = np.ones(3)
    steps = [[np.array([1.0, -2.0, 0.5])]] * 3

    def walked(rule):
        return walk(rule, steps, [keras.Variable(start, dtype="float64")])[0]

    np.testing.assert_array_equal(
        walked(LazyAdam(0.1)), walked(keras.optimizers.Adam(0.1))
    )


def test_kernels_take_one_operation_for_all_weights(kernels, monkeypatch):
    counts = []
    update = TableKernels.update_dense

    def counted(self, gradients, *others):
        counts.append(len(gradients))
        update(self, gradients, *others)

    monkeypatch.setattr(TableKernels, "update_dense", counted)
    walk(LazyAdam(), gradients(1))

    assert counts == ([len(SHAPES)] if kernels == "auto" else [])
