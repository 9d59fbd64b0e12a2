"""Tables whose rows are shared out between workers.

What needs several processes is left out unless asked for, with -m multi_worker.
"""

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.row_shards import RowShards
from tests import sharded_workers
from tests.conftest import make_log
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


@pytest.fixture(scope="module", params=[2, 3])
def learnt(request, tmp_path_factory, small_vocabulary):
    """How many workers, their folder, and what each has kept."""
    folder = tmp_path_factory.mktemp("sharded")
    deepfm_tf.prepare(
        make_log(NUM_ROWS), folder / "train", vocabulary=small_vocabulary
    )
    count = request.param
    with Workers(count, folder, sharded_workers.learn, folder) as processes:
        assert processes.statuses() == [0] * count, processes.texts()
    kept = [dict(np.load(folder / f"{n}.npz")) for n in range(count)]
    return count, folder, kept


@pytest.fixture(scope="module")
def alone(learnt):
    """Losses and weights of one process with a plain table, by case."""
    count, folder, _ = learnt
    data = deepfm_tf.PreparedData.load(folder / "train")
    found = []
    for case in sharded_workers.CASES[count]:
        model = sharded_workers.model_of(data.schema, case)
        history = model.fit(
            side_by_side(data, count), epochs=2, shuffle=False, verbose=0
        )
        found.append((history.history["loss"], model.get_weights()))
    return found


def several(test):
    """Mark a test of several processes."""
    return pytest.mark.multi_worker(pytest.mark.timeout(900)(test))


@several
def test_workers_learn_what_one_does_with_the_whole_table(learnt, alone):
    count, _, kept = learnt
    for name, case in enumerate(sharded_workers.CASES[count]):
        loss, weights = alone[name]
        # Adam divides by what may be nearly zero, and amplifies the last bits.
        limit = 1e-4 if case[0] == "lazy_adam" else 1e-6

        for each in kept:
            np.testing.assert_allclose(each[f"{name} loss"], loss, atol=limit)
        for place, weight in enumerate(weights):
            found = kept[0][f"{name} weight {place}"]
            np.testing.assert_allclose(found, weight, atol=limit)


@several
def test_each_worker_holds_its_share_of_the_rows(learnt, small_vocabulary):
    count, _, kept = learnt
    num_rows = sum(small_vocabulary.schema.vocabulary_sizes)

    assert {int(each["0 held"]) for each in kept} == {-(-num_rows // count)}


@several
def test_all_rows_are_evaluated_alike_on_all_workers(learnt, alone):
    count, folder, kept = learnt
    data = deepfm_tf.PreparedData.load(folder / "train")
    model = sharded_workers.model_of(data.schema, ("rowwise_adagrad", None))
    model.set_weights(alone[-1][1])

    expected = deepfm_tf.evaluate(model, data.dataset(NUM_ROWS))

    for each in kept:
        np.testing.assert_array_equal(each["metrics"], kept[0]["metrics"])
        assert each["metrics"][2] == NUM_ROWS
    np.testing.assert_allclose(
        kept[0]["metrics"][1], expected["log_loss"], atol=1e-6
    )


@several
def test_what_needs_a_whole_table_is_refused_on_all_workers(learnt):
    _, _, kept = learnt
    expected = {
        "adam": "must be learnt by a lazy optimizer",
        "keras": "must be learnt by a lazy optimizer",
        "clipnorm": "Give `global_clipnorm`",
        "regularizer": "must have no regularizer",
        "call": "let all workers call `deepfm_tf.strategies.on_one_host",
    }
    for each in kept:
        for kind, said in zip(
            sharded_workers.REFUSED, each["refused"], strict=True
        ):
            assert expected[kind] in said


def test_one_worker_has_nobody_to_share_with():
    with pytest.raises(deepfm_tf.UserError, match="this process trains alone"):
        deepfm_tf.create_strategy(shard_tables=True)
