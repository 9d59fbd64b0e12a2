"""Tables whose rows are shared out between workers.

What needs several processes is left out unless asked for, with -m multi_worker.
"""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks.checkpoints import Checkpoints
from deepfm_tf.row_shards import RowShards
from tests import sharded_workers, workers
from tests.conftest import make_log
from tests.sharded_workers import SAVED
from tests.workers import NUM_ROWS, Workers, side_by_side


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("num_rows", [1, 6, 7])
def test_each_row_is_held_by_one_worker_at_one_place(count, num_rows):
    table = np.arange(num_rows)
    found = []
    for number in range(count):
        shards = RowShards(number, count)
        held = np.full(shards.num_held(num_rows), -1)
        # As if drawn in two blocks.
        for first in (0, num_rows // 2):
            places, values = shards.held(first, table[first:])
            held[places] = values
        found += [row for row in held.tolist() if row >= 0]

        for place, row in enumerate(held.tolist()):
            if row >= 0:
                assert (row % count, row // count) == (number, place)
                assert shards.rows_of(place) == row

    assert sorted(found) == table.tolist()


def several(test):
    """Mark a test of several processes."""
    return pytest.mark.multi_worker(pytest.mark.timeout(900)(test))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_vocabulary):
    """What one process, then three workers, and then two, have left."""
    folder = tmp_path_factory.mktemp("sharded")
    deepfm_tf.prepare(
        make_log(NUM_ROWS), folder / "train", vocabulary=small_vocabulary
    )
    learn_alone(folder, SAVED, 3, callbacks=[Checkpoints(folder / "saved")])
    for count, function in (
        (3, sharded_workers.go_on),
        (2, sharded_workers.learn),
    ):
        with Workers(count, folder, function, folder) as processes:
            assert processes.statuses() == [0] * count, processes.texts()
    return folder


def learn_alone(folder, case, *counts, callbacks=()):
    """One process, with a plain table, after epochs of so many workers."""
    data = deepfm_tf.PreparedData.load(folder / "train")
    model = workers.model_of(data.schema, *case)
    losses = []
    for count in counts:
        history = model.fit(
            side_by_side(data, count),
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
        )
        losses += history.history["loss"]
    return losses, model


@pytest.fixture(scope="module")
def gone_on(folder):
    """Losses and model of one process, after the second and third epoch."""
    return [learn_alone(folder, SAVED, 3, 3, *more) for more in ((), (2,))]


def kept(folder, name, count):
    """What each worker has kept of a model."""
    return [dict(np.load(folder / f"{name} {n}.npz")) for n in range(count)]


def check_same(found, losses, model):
    """Found: 1.5e-7 at most, of LazyAdam, which amplifies the last bits."""
    for each in found:
        np.testing.assert_allclose(each["loss"], losses, atol=1e-6)
    for place, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(found[0][str(place)], weight, atol=1e-6)
    state = model.optimizer.state_of(model.embedding_layer.embeddings)
    touched = state.numpy().any(axis=1)
    np.testing.assert_array_equal(found[0]["touched"], touched)
    assert 0 < touched.sum() < len(touched)


@several
@pytest.mark.parametrize("number", range(len(sharded_workers.CASES)))
def test_two_workers_learn_what_one_does(number, folder):
    case = sharded_workers.CASES[number]
    losses, model = learn_alone(folder, case, 2, 2)

    check_same(kept(folder, number, 2), losses, model)


@several
def test_three_workers_go_on_with_what_one_has_learnt(folder, gone_on):
    losses, model = gone_on[0]

    check_same(kept(folder, "epoch 2", 3), losses[1:], model)


@several
def test_two_go_on_with_what_three_have_learnt(folder, gone_on):
    losses, model = gone_on[1]

    check_same(kept(folder, "epoch 3", 2), losses[2:], model)


@several
def test_one_loads_what_two_have_learnt(folder, gone_on):
    _, model = gone_on[1]

    loaded, epoch = deepfm_tf.load_checkpoint(folder / "saved")

    assert epoch == 3
    for found, weight in zip(
        loaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(found, weight, atol=1e-6)
    state, expected = (
        m.optimizer.state_of(m.embedding_layer.embeddings).numpy()
        for m in (loaded, model)
    )
    np.testing.assert_allclose(state, expected, atol=1e-6)
    names = {path.name for path in (folder / "saved").glob("*-rows-*")}
    assert names == {f"epoch-0003-rows-{n}-of-2.npy" for n in range(2)}


@several
def test_each_worker_holds_its_share_of_the_rows(folder, small_vocabulary):
    num_rows = sum(small_vocabulary.schema.vocabulary_sizes)

    held = {int(each["held"]) for each in kept(folder, "epoch 2", 3)}

    assert held == {-(-num_rows // 3)}


@several
def test_all_rows_are_evaluated_alike_on_all_workers(folder, gone_on):
    _, model = gone_on[0]
    data = deepfm_tf.PreparedData.load(folder / "train")

    expected = deepfm_tf.evaluate(model, data.dataset(NUM_ROWS))

    found = [each["metrics"] for each in kept(folder, "epoch 2", 3)]
    np.testing.assert_array_equal(found, [found[0]] * 3)
    assert found[0][2] == NUM_ROWS
    np.testing.assert_allclose(found[0][1], expected["log_loss"], atol=1e-6)


@several
def test_what_needs_a_whole_table_is_refused_on_all_workers(folder):
    expected = {
        "adam": "must be learnt by a lazy optimizer",
        "keras": "must be learnt by a lazy optimizer",
        "clipnorm": "Give `global_clipnorm`",
        "regularizer": "must have no regularizer",
        "call": "let all workers call `deepfm_tf.strategies.on_one_host",
    }
    for worker in range(2):
        told = np.load(folder / f"refused {worker}.npy")
        for kind, said in zip(sharded_workers.REFUSED, told, strict=True):
            assert expected[kind] in said


@several
def test_workers_that_disagree_do_not_wait_for_each_other(tmp_path):
    with Workers(2, tmp_path, sharded_workers.disagree) as processes:
        assert processes.statuses() == [2, 2], processes.texts()
        for text in processes.texts():
            assert "All workers must have the same `shard_tables`" in text


def test_one_worker_has_nobody_to_share_with():
    with pytest.raises(deepfm_tf.UserError, match="this process trains alone"):
        deepfm_tf.create_strategy(shard_tables=True)
