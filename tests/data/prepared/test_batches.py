"""The order of epochs: a function of seed and number, whatever happened."""

import numpy as np
import pytest

import deepfm_tf


def numbered(directory, num_rows):
    """Prepared data whose only value is the number of the row."""
    source = {"n": np.arange(num_rows), "y": np.arange(num_rows) % 2}
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("n", "none"),), "y")
    return deepfm_tf.prepare(source, directory, schema=schema)


def values(dataset):
    return [x["values"].numpy()[:, 0].astype(int).tolist() for x, _ in dataset]


def flat(batches):
    return [value for batch in batches for value in batch]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """5,000 numbered rows: five chunks, the last of them partial."""
    return numbered(tmp_path_factory.mktemp("numbers") / "p", 5000)


def test_an_epoch_can_be_asked_for_by_its_number(numbers):
    dataset = numbers.dataset(100, shuffle=True, seed=7)
    epochs = [values(dataset) for _ in range(4)]

    later = numbers.dataset(100, shuffle=True, seed=7, first_epoch=2)

    assert [values(later), values(later)] == epochs[2:]
    for epoch in epochs:
        assert sorted(flat(epoch)) == list(range(5000))
    assert len({tuple(flat(epoch)) for epoch in epochs}) == 4


def test_a_pass_that_is_abandoned_does_not_count(numbers):
    whole = numbers.dataset(100, shuffle=True, seed=7)
    expected = [values(whole), values(whole)]
    dataset = numbers.dataset(100, shuffle=True, seed=7)

    for _ in range(3):
        next(iter(dataset))
    iter(dataset)  # never read
    first = values(dataset)
    next(iter(dataset))

    assert [first, values(dataset)] == expected


@pytest.mark.parametrize(
    "shuffle", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_the_rest_of_an_epoch_begins_at_any_step(numbers, shuffle):
    arguments = {"shuffle": shuffle, "seed": 7, "first_epoch": 1}
    epoch = values(numbers.dataset(96, **arguments))

    for step in (1, 30, 52):
        rest = numbers.dataset(96, **arguments, first_step=step)

        assert int(rest.cardinality()) == len(epoch) - step
        assert values(rest) == values(rest) == epoch[step:]


def test_rows_are_mixed_across_the_whole_data(numbers):
    batch = values(numbers.dataset(500, shuffle=True, seed=1))[0]

    # Each fifth of the rows is expected to give a hundred to the batch.
    fifths = np.bincount(np.array(batch) // 1000, minlength=5)

    assert fifths.min() > 60


def test_each_group_of_rows_has_an_order_of_its_own(tmp_path, monkeypatch):
    # Groups of one chunk each, so that places in a group can be compared.
    for name in ("GROUP_ROWS", "LEAST_GROUP_ROWS"):
        monkeypatch.setattr(f"deepfm_tf.data.prepared.shards.{name}", 1024)
    prepared = numbered(tmp_path / "p", 4096)

    batches = values(prepared.dataset(1024, shuffle=True, seed=7))

    places = [np.array(batch) % 1024 for batch in batches]
    assert [len(set(place)) for place in places] == [1024] * 4
    for number, place in enumerate(places):
        for other in places[:number]:
            # One row in 1,024 is at the same place by chance.
            assert (place == other).sum() < 20


def test_memory_is_shuffled_by_the_same_rule(numbers):
    data = {"n": np.arange(99), "y": np.arange(99) % 2}
    dataset = deepfm_tf.dataset_from_memory(
        data, numbers.vocabulary, 2, shuffle=True, seed=7
    )

    epochs = [values(dataset), values(dataset)]

    assert epochs[0] != epochs[1]
    assert [sorted(flat(epoch)) for epoch in epochs] == [list(range(99))] * 2


def test_each_shard_reads_its_own_rows(numbers):
    read = []
    for index in range(3):
        dataset = numbers.dataset(64, shuffle=True, seed=7, shard=(index, 3))
        read.append([flat(values(dataset)), flat(values(dataset))])

    for first, second in read:
        assert first != second
        assert sorted(first) == sorted(second)
    assert [len(first) for first, _ in read] == [1666, 1667, 1667]
    assert sorted(sum([first for first, _ in read], [])) == list(range(5000))


def test_shards_have_equally_many_whole_batches(numbers):
    # Of the three shards, these have 1,666 and 1,667 rows.
    for size, whole, all_rows in ((833, 2, [2, 3]), (1666, 1, [1, 2])):
        for index in range(2):
            shard = (index, 3)
            even = numbers.dataset(size, shard=shard, drop_remainder=True)
            uneven = numbers.dataset(size, shard=shard)

            assert len(values(even)) == int(even.cardinality()) == whole
            assert len(values(uneven)) == all_rows[index]
    with pytest.raises(ValueError, match="no batch is left"):
        numbers.dataset(1667, shard=(1, 3), drop_remainder=True)


def test_wrong_arguments_are_refused(numbers):
    for shard in ((2, 2), (-1, 2), (0, 5001)):
        with pytest.raises(ValueError, match="`shard` must be"):
            numbers.dataset(shard=shard)
    with pytest.raises(ValueError, match="`first_epoch` must be an integer"):
        numbers.dataset(first_epoch=-1)
    with pytest.raises(ValueError, match="`first_step` must be below 50"):
        numbers.dataset(100, first_step=50)
