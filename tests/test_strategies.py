"""Strategies of one host; those of several in `test_several_workers`."""

import json

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf import strategies
from deepfm_tf.cluster import Cluster
from tests.catalogue import build
from tests.conftest import make_log


def test_a_process_has_one_strategy_over_the_same_devices():
    strategies = [deepfm_tf.create_strategy(n) for n in (1, 2, 2)]

    assert [s.num_replicas_in_sync for s in strategies] == [1, 2, 2]
    assert strategies[1] is strategies[2]


def test_one_cpu_is_not_mirrored():
    strategy = deepfm_tf.create_strategy()

    assert not isinstance(strategy, tf.distribute.MirroredStrategy)


@pytest.mark.replicas
@pytest.mark.parametrize("batch_size", [64, 7])
def test_two_replicas_keep_the_order_of_odd_batches(
    batch_size, small_vocabulary
):
    # 193 = 3 * 64 + 1 = 27 * 7 + 4: one replica gets less, or nothing.
    log = make_log(193, 5)
    dataset = deepfm_tf.dataset_from_memory(log, small_vocabulary, batch_size)
    with deepfm_tf.create_strategy(2).scope():
        model = build("FM", small_vocabulary.schema)
    model.shared_embedding.embeddings.assign(
        np.random.default_rng(0).normal(
            size=model.shared_embedding.embeddings.shape
        )
    )

    probability = model.predict(dataset, verbose=0)["probability"]

    one_pass = model(deepfm_tf.encode(log, small_vocabulary))["probability"]
    np.testing.assert_allclose(probability, one_pass, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "`num_replicas` must be a positive"),
        (64, "64 replicas on the CPU need"),
    ],
)
def test_replicas_that_cannot_be_are_refused(count, message):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.create_strategy(count)


def test_workers_that_come_too_late_are_told(monkeypatch):
    hosts = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    config = json.dumps({"cluster": hosts, "task": task})
    monkeypatch.setenv("TF_CONFIG", config)
    tf.zeros(())

    with pytest.raises(ValueError, match="at the start of the program"):
        deepfm_tf.create_strategy()
    with pytest.raises(ValueError, match="num_replicas=2 and 2 workers"):
        deepfm_tf.create_strategy(2)


def test_one_worker_agrees_with_itself():
    strategy = deepfm_tf.create_strategy()

    assert strategies.is_chief(strategy)
    assert strategies.exchange(strategy, "text") == ["text"]
    assert strategies.on_chief(strategy, lambda: 7) == 7
    strategies.agree(strategy, "text", "options")
    with pytest.raises(OSError, match="^no room$"):
        strategies.on_chief(
            strategy, lambda: (_ for _ in ()).throw(OSError("no room"))
        )


def test_only_the_loss_of_a_worker_is_told_as_one():
    pair = Cluster(("a:1", "b:1"), 1, "TF_CONFIG")
    gone = tf.errors.UnavailableError(
        None, None, "Collective ops is aborted by: /job:worker/task:0 is down"
    )

    told = strategies.lost_worker(gone, pair)

    assert "Worker 1 of 2 has lost another one" in str(told)
    assert strategies.lost_worker(gone, Cluster()) is None
    assert strategies.lost_worker(ValueError("peer"), pair) is None
    shapes = tf.errors.InvalidArgumentError(None, None, "Incompatible shapes")
    assert strategies.lost_worker(shapes, pair) is None
