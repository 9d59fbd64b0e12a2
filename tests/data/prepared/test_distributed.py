"""Each worker reads its own rows, and all make equally many steps."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.cluster import Cluster
from deepfm_tf.data.prepared.distributed import own_rows


@functools.cache
def prepared(directory, num_rows):
    """Rows that a number tells apart."""
    return deepfm_tf.prepare(
        {"x": np.arange(num_rows), "y": np.arange(num_rows) % 2},
        directory,
        schema=deepfm_tf.Schema((deepfm_tf.NumericField("x", "none"),), "y"),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prepared")


class Place:
    """Where a worker of several is, as far as a data set asks a strategy."""

    def __init__(self, index, count, num_replicas=1):
        self.cluster = Cluster(("a:1",) * count)
        self.context = tf.distribute.InputContext(
            num_input_pipelines=count,
            input_pipeline_id=index,
            num_replicas_in_sync=count * num_replicas,
        )

    def distribute_datasets_from_function(self, function):
        return function(self.context)


def steps(dataset):
    return [batch[0]["values"].numpy().ravel().tolist() for batch in dataset]


@pytest.mark.parametrize(
    ("num_rows", "batch_size", "shares"),
    [
        # (first row, row after the last, rows of a whole batch) by hand.
        (20, 10, [(0, 10, 5), (10, 20, 5)]),
        (21, 10, [(0, 10, 5), (10, 21, 5)]),
        (25, 10, [(0, 12, 5), (12, 25, 5)]),
        (22, 10, [(0, 6, 3), (6, 13, 3), (13, 22, 4)]),
        (3, 10, [(0, 1, 5), (1, 3, 5)]),
    ],
)
def test_workers_share_each_batch(num_rows, batch_size, shares):
    count = len(shares)

    found = [own_rows(i, count, num_rows, batch_size) for i in range(count)]

    assert found == shares


@pytest.mark.parametrize(
    "num_rows",
    [
        301,
        *(pytest.param(n, marks=pytest.mark.long) for n in (299, 300)),
    ],
)
def test_all_rows_are_read_once_in_equally_many_steps(num_rows, folder):
    data = prepared(folder / str(num_rows), num_rows)

    read = [
        steps(data.distributed(Place(index, 3), 50, shuffle=True, seed=2))
        for index in range(3)
    ]

    # 6 batches, or 7 where a row is left, or one that is smaller.
    assert [len(own) for own in read] == [-(-num_rows // 50)] * 3
    assert sorted(x for own in read for s in own for x in s) == [
        float(x) for x in range(num_rows)
    ]
    for batches in list(zip(*read, strict=True))[:-1]:
        assert sum(map(len, batches)) == 50
    last = num_rows % 50 or 50
    assert sum(len(own[-1]) for own in read) == last


def test_one_worker_reads_what_a_data_set_holds(folder):
    data = prepared(folder / "301", 301)
    order = {"shuffle": True, "seed": 3, "first_epoch": 2}

    strategy = deepfm_tf.create_strategy()

    own = steps(data.distributed(strategy, 50, **order))

    assert own == steps(data.dataset(50, **order))


def test_an_endless_pass_goes_through_epoch_after_epoch(folder):
    data = prepared(folder / "301", 301)
    order = {"shuffle": True, "seed": 3}
    epochs = [
        steps(data.distributed(Place(1, 2), 50, first_epoch=n, **order))
        for n in (1, 2, 3)
    ]

    endless = data.distributed(
        Place(1, 2), 50, first_epoch=1, first_step=4, endless=True, **order
    )

    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    # Each pass begins alike: Keras makes one before the training.
    for _ in range(2):
        read = steps(endless.take(3 + 7 + 2))
        assert read == epochs[0][4:] + epochs[1] + epochs[2][:2]


def test_the_replicas_of_a_worker_share_its_batches(folder):
    data = prepared(folder / "299", 299)

    read = steps(data.distributed(Place(1, 2, num_replicas=2), 50))

    # 25 rows of each batch, 49 - 24 of the last: 12 and 13.
    assert [len(s) for s in read] == [12, 13] * 6
    assert [x for s in read for x in s] == list(range(149, 299))


def test_a_batch_without_an_example_for_each_worker_is_refused(folder):
    data = prepared(folder / "299", 299)

    with pytest.raises(ValueError, match="batch_size=2 for 3 workers"):
        data.distributed(Place(0, 3), 2)
