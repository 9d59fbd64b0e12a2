"""Where our kernels are taken, and what a training says of it."""

import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf import kernels
from deepfm_tf.native import choice
from deepfm_tf.native.library import Library
from deepfm_tf.native.table_kernels import TableKernels

ONE = tf.distribute.get_strategy()


@pytest.fixture(autouse=True)
def built(monkeypatch):
    """As if they were, whether or not they are."""
    monkeypatch.delenv("DEEPFM_TF_KERNELS", raising=False)
    monkeypatch.setattr(choice, "library", lambda: Library(object()))


def new_table(dtype="float32"):
    return tf.Variable(tf.zeros((3, 2), dtype))


def test_they_are_taken_for_a_table_on_one_cpu():
    assert isinstance(choice.kernels_for(new_table()), TableKernels)
    assert choice.told(ONE) == "Kernels: our own"


def test_a_table_of_another_precision_is_none_of_theirs():
    assert choice.kernels_for(new_table("float64")) is None
    assert choice.kernels_for(new_table("bfloat16")) is None


def test_replicas_in_one_process_take_them_for_their_copies():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        table = new_table()
        assert choice.kernels_for() is not None
        for copy in strategy.experimental_local_results(table):
            assert choice.kernels_for(copy) is not None

    assert choice.kernels_for(table) is None
    assert choice.told(strategy) == "Kernels: our own"


class Workers:
    """What is asked of a strategy of several workers."""

    num_replicas_in_sync = 2
    has_kernels = False


def test_workers_take_them_only_if_all_have_them(monkeypatch):
    strategy = Workers()
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: strategy)

    assert choice.kernels_for(new_table()) is None
    assert "not all workers have the same" in choice.told(strategy)

    strategy.has_kernels = True

    assert choice.kernels_for(new_table()) is not None
    assert choice.told(strategy) == "Kernels: our own"


def test_a_gpu_takes_tensorflows(monkeypatch):
    monkeypatch.setattr(kernels, "has_gpu", lambda: True)

    assert choice.kernels_for(new_table()) is None
    assert choice.told(ONE) == "Kernels: TensorFlow's, because there is a GPU"


@pytest.mark.parametrize("by_xla", [False, True])
def test_a_function_that_xla_compiles_takes_tensorflows(by_xla):
    table, chosen = new_table(), []

    @tf.function
    def inner(x):
        chosen.append(choice.kernels_for(table))
        return x

    tf.function(lambda x: inner(x), jit_compile=by_xla)(tf.constant(1.0))

    assert [x is None for x in chosen] == [by_xla]


def test_numbers_whose_gradient_is_wanted_take_tensorflows():
    weights, others = tf.ones((2, 2)), tf.ones((2, 2))

    with tf.GradientTape() as tape:
        tape.watch(weights)

        assert choice.kernels_for(new_table(), weights, None) is None
        assert choice.kernels_for(new_table(), others, None) is not None


def test_the_environment_switches_them_off(monkeypatch):
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "off")

    assert choice.kernels_for(new_table()) is None
    assert choice.told(ONE) == ("Kernels: TensorFlow's (DEEPFM_TF_KERNELS=off)")


def test_another_word_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "no")

    with pytest.raises(
        deepfm_tf.UserError, match="'auto' or 'off'. Received: .*=no"
    ):
        choice.told(ONE)


def test_why_there_are_none_is_told_with_what_to_do(monkeypatch):
    none = Library(why_not="none are built")
    monkeypatch.setattr(choice, "library", lambda: none)

    assert choice.kernels_for(new_table()) is None
    assert choice.told(ONE) == (
        "Kernels: TensorFlow's; of our own, none are built. To build them "
        "for faster training steps: deepfm-tf build-kernels"
    )
