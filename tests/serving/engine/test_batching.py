"""Batching: the options, and requests that share a run."""

import logging
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.batching import (
    BatchingOptions,
    fits_in_batch,
    rows_are_batchable,
)
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.errors import ServingError
from tests.serving.toy_model import (
    COLUMNS,
    ToyModels,
    expected_ctr,
    predict_request,
    save_v1,
    signature_v1,
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_batch_size": 0}, "`max_batch_size` must be at least 1"),
        ({"num_batch_threads": 0}, "`num_batch_threads` must be at least 1"),
        ({"batch_timeout_micros": -1}, "`batch_timeout_micros` must be at"),
        ({"allowed_batch_sizes": (8, 4)}, "`allowed_batch_sizes` must ascend"),
        ({"allowed_batch_sizes": (4, 8)}, "end with the size of a batch, 1000"),
        (
            {"enable_large_batch_splitting": True}
            | {"max_execution_batch_size": 2000},
            "`max_execution_batch_size` must be from 1 to max_batch_size=1000",
        ),
        (
            {"pad_variable_length_inputs": True},
            "`pad_variable_length_inputs` must be False",
        ),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        BatchingOptions(**options)


def test_splitting_bounds_the_batch_not_the_request():
    options = BatchingOptions(
        max_batch_size=8,
        enable_large_batch_splitting=True,
        max_execution_batch_size=3,
    )

    assert options.execution_size == 3
    assert options.padded_sizes == [1, 2, 3]


class Counting(tf.Module):
    """`rows` is how many rows ran together, for each row."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, "x"),
            tf.TensorSpec([None, 2], tf.float32, "pair"),
        ],
        autograph=False,
    )
    def count(self, x, pair):
        """A signature to batch."""
        rows = tf.shape(x)[0] + 0 * tf.shape(pair)[0]
        rows_of_pairs = tf.shape(pair)[0]
        return {
            "rows": tf.fill([rows], rows),
            "sum": x + tf.reduce_sum(tf.reshape(pair, [rows_of_pairs, 2]), 1),
        }


@pytest.fixture(scope="module")
def counting_path(tmp_path_factory):
    """A model that tells who was in the batch."""
    path = tmp_path_factory.mktemp("counting") / "1"
    module = Counting()
    signatures = {"serving_default": module.count}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def load(path, **options):
    """A servable that waits for a batch of four for long."""
    defaults = {"max_batch_size": 4, "batch_timeout_micros": 10**6}
    return Servable(path, BatchingOptions(**{**defaults, **options}))


def run(servable, x, pair=None):
    """The outputs, or the error."""
    pair = [[0.0, 1.0]] * len(x) if pair is None else pair
    feeds = {
        "x": tf.make_tensor_proto(x, tf.float32),
        "pair": tf.make_tensor_proto(pair, tf.float32),
    }
    signature = servable.signature_defs["serving_default"]
    try:
        answers = servable.run(signature, feeds, ["rows", "sum"])
    except ServingError as error:
        return error
    return {key: tf.make_ndarray(proto) for key, proto in answers.items()}


def at_once(servable, *requests):
    """The answers of `run` to requests that arrive together."""
    found = {}

    def work(index):
        found[index] = run(servable, *requests[index])

    threads = [
        threading.Thread(target=work, args=(index,))
        for index in range(len(requests))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [found[index] for index in range(len(requests))]


def test_requests_run_together_and_get_their_own_rows(counting_path):
    servable = load(counting_path)

    found = at_once(servable, ([1.0],), ([5.0, 6.0],), ([9.0],))

    assert [answer["rows"].tolist() for answer in found] == [[4], [4, 4], [4]]
    assert [answer["sum"].tolist() for answer in found] == [[2], [6, 7], [10]]
    servable.close()


def test_a_batch_is_padded_to_an_allowed_size(counting_path):
    servable = load(
        counting_path, allowed_batch_sizes=(3, 4), batch_timeout_micros=0
    )

    assert run(servable, [7.0])["rows"].tolist() == [3]
    servable.close()


def test_a_large_request_is_refused_or_split(counting_path):
    whole = load(counting_path)
    split = load(
        counting_path,
        max_batch_size=100,
        enable_large_batch_splitting=True,
        max_execution_batch_size=4,
        batch_timeout_micros=0,
    )
    rows = [float(row) for row in range(10)]

    refused, answer = run(whole, rows), run(split, rows)

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Task size 10 is larger than maximum input batch size 4" in (
        refused.message
    )
    np.testing.assert_array_equal(answer["sum"], np.arange(10) + 1)
    assert answer["rows"].max() <= 4
    whole.close()
    split.close()


def test_a_full_queue_is_unavailable(counting_path):
    # One batch may wait for company, three rows in it; no second one.
    servable = load(
        counting_path, max_enqueued_batches=1, batch_timeout_micros=300_000
    )

    found = at_once(servable, *[([1.0, 2.0, 3.0],)] * 12)

    errors = [each for each in found if isinstance(each, ServingError)]
    assert {error.code for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert 0 < len(errors) < 12
    servable.close()


def test_unequal_numbers_of_rows_are_refused(counting_path):
    servable = load(counting_path, batch_timeout_micros=0)

    error = run(servable, [1.0, 2.0], [[0.0, 1.0]])

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.message == (
        "Batching session Run() input tensors must have equal "
        "0th-dimension size"
    )
    servable.close()


def test_rows_of_another_shape_run_alone(counting_path):
    servable = load(counting_path, batch_timeout_micros=300_000)

    # The second one has pairs of three, which no op refuses but `reshape`.
    good, bad = at_once(
        servable, ([1.0, 2.0],), ([3.0, 4.0], [[0.0, 1.0, 2.0]] * 2)
    )

    assert good["sum"].tolist() == [2, 3]
    assert bad.code is grpc.StatusCode.INVALID_ARGUMENT
    servable.close()


def test_every_handler_answers_alike(toy_path, toy_servable):
    servable = Servable(toy_path, BatchingOptions(num_batch_threads=1))

    response = handlers.predict(ToyModels(servable), predict_request())
    empty = {name: [] for name in COLUMNS}
    nothing = handlers.predict(ToyModels(servable), predict_request(empty))

    values = response.outputs["ctr"].float_val
    np.testing.assert_allclose(values, expected_ctr(COLUMNS), rtol=1e-6)
    assert not nothing.outputs["ctr"].float_val
    servable.close()


@pytest.mark.filterwarnings("ignore")
def test_reference_variables_run_request_by_request(tmp_path, caplog):
    def build():
        x = tf.compat.v1.placeholder(tf.float32, [None])
        weight = tf.compat.v1.get_variable(
            "w", initializer=3.0, use_resource=False
        )
        signature = signature_v1({"x": x}, {"rows": x * weight, "sum": x})
        return {"serving_default": signature}, None

    save_v1(tmp_path / "1", build)

    with caplog.at_level(logging.WARNING, logger="deepfm_tf"):
        servable = Servable(tmp_path / "1", BatchingOptions())

    assert "signature serving_default cannot be batched" in caplog.text
    signature = servable.signature_defs["serving_default"]
    feeds = {"x": tf.make_tensor_proto([2.0])}
    answers = servable.run(signature, feeds, ["rows"])
    assert answers["rows"].float_val == [6.0]
    servable.close()


def test_only_rows_of_one_known_shape_are_batched(toy_servable):
    signature = toy_servable.signature_defs["serving_default"]
    assert rows_are_batchable(signature)
    assert fits_in_batch(signature, predict_request().inputs)

    fixed = type(signature)()
    fixed.CopyFrom(signature)
    fixed.inputs["n0"].tensor_shape.dim[0].size = 1

    assert not rows_are_batchable(fixed)
    assert not rows_are_batchable(
        toy_servable.signature_defs["__saved_model_init_op"]
    )
