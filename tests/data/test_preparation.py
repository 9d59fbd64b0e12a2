"""Prepared directories: complete or absent, and the same every time."""

import errno
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.data.preparing import passes, shard_writer
from deepfm_tf.files import text
from tests.conftest import make_log, make_schema


def rows_of(dataset):
    parts = [
        np.concatenate([*(v.numpy() for v in x.values()), y.numpy()], axis=1)
        for x, y in dataset
    ]
    return np.concatenate(parts)


def tree(directory):
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        # Inode numbers and times are another story.
        if p.is_file() and p.name != "stamps.json"
    }


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "log.csv"
    make_log(1000).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What `csv_file` holds, to be read only."""
    log, target = make_log(1000), tmp_path_factory.mktemp("prepared") / "p"
    return deepfm_tf.prepare(log, target, schema=make_schema())


def test_shards_and_memory_hold_the_same_rows(csv_file, tmp_path):
    prepared = deepfm_tf.prepare(csv_file, tmp_path / "p", schema=make_schema())
    memory = deepfm_tf.dataset_from_memory(csv_file, prepared.vocabulary, 300)
    packed = deepfm_tf.encode(csv_file, prepared.vocabulary)
    label = make_log(1000)["clicked"].to_numpy()
    own = deepfm_tf.dataset_from_ids(packed, label, prepared.schema, 300)

    disk = prepared.dataset(300)

    assert disk.element_spec == memory.element_spec == own.element_spec
    assert [len(y) for _, y in disk] == [300, 300, 300, 100]
    np.testing.assert_array_equal(rows_of(disk), rows_of(memory))
    np.testing.assert_array_equal(rows_of(disk), rows_of(own))
    np.testing.assert_array_equal(rows_of(disk)[:, -1], label)
    assert prepared.num_rows == 1000
    assert prepared.num_positives == label.sum()


def equal(rows, others):
    """Whether they are the same; NaN, which is unequal to itself, counts."""
    return np.array_equal(rows, others, equal_nan=True)


def test_shuffling_is_new_each_epoch_and_repeatable(prepared):
    first = prepared.dataset(64, shuffle=True, seed=1)
    again = prepared.dataset(64, shuffle=True, seed=1)
    other = prepared.dataset(64, shuffle=True, seed=2)
    plain = rows_of(prepared.dataset(64))

    epochs = [rows_of(first), rows_of(first)]

    np.testing.assert_array_equal(epochs[0], rows_of(again))
    np.testing.assert_array_equal(epochs[1], rows_of(again))
    for shuffled in (*epochs, rows_of(other)):
        assert not equal(shuffled, plain)
        key = np.lexsort(np.nan_to_num(shuffled).T)
        key_plain = np.lexsort(np.nan_to_num(plain).T)
        np.testing.assert_array_equal(shuffled[key], plain[key_plain])
    assert not equal(*epochs)
    assert not equal(epochs[0], rows_of(other))


def test_the_last_partial_batch_is_dropped_by_choice(prepared):
    dataset = prepared.dataset(300, drop_remainder=True)

    assert [len(y) for _, y in dataset] == [300] * 3
    assert int(dataset.cardinality()) == 3
    with pytest.raises(ValueError, match="no batch is left"):
        prepared.dataset(2000, drop_remainder=True)
    with pytest.raises(ValueError, match="`batch_size` must be a positive"):
        prepared.dataset(0)


def test_many_shards_lose_nothing(csv_file, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "SHARD_BLOCKS", 1)
    prepared = deepfm_tf.prepare(csv_file, tmp_path / "p", schema=make_schema())
    memory = deepfm_tf.dataset_from_memory(csv_file, prepared.vocabulary)

    assert len(list((tmp_path / "p").glob("shard-*.bin"))) == 4
    np.testing.assert_array_equal(
        rows_of(prepared.dataset(100)), rows_of(memory)
    )


def test_preparing_again_does_nothing(csv_file, tmp_path, monkeypatch):
    target = tmp_path / "p"
    deepfm_tf.prepare(csv_file, target, schema=make_schema())
    os.utime(csv_file)
    monkeypatch.setattr(passes, "shard_tasks", None)

    prepared = deepfm_tf.prepare(csv_file, target, schema=make_schema())

    assert prepared.num_rows == 1000


def test_other_contents_are_prepared_anew(csv_file, tmp_path):
    target = tmp_path / "p"
    deepfm_tf.prepare(csv_file, target, schema=make_schema())
    make_log(500).to_csv(csv_file, index=False)

    prepared = deepfm_tf.prepare(csv_file, target, schema=make_schema())

    assert prepared.num_rows == 500


def test_the_parts_of_a_split_are_disjoint_and_complete(tmp_path):
    source = {"a": [str(i) for i in range(999)], "y": np.arange(999) % 2}
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("a", "none"),), "y")

    found = []
    for start, stop in ((0.0, 0.7), (0.7, 1.0)):
        part = deepfm_tf.Part(start, stop, seed=3)
        prepared = deepfm_tf.prepare(
            source, tmp_path / f"{start}", schema=schema, part=part
        )
        found.append(rows_of(prepared.dataset(100))[:, 0].tolist())

    assert sorted(found[0] + found[1]) == list(range(999))
    assert 600 < len(found[0]) < 800
    with pytest.raises(ValueError, match="0 <= start < stop <= 1"):
        deepfm_tf.Part(0.5, 0.5)


def test_a_part_keeps_a_share_of_its_negatives(tmp_path):
    log = make_log(6000, 5)
    prepared = {
        share: deepfm_tf.prepare(
            log,
            tmp_path / str(share),
            schema=make_schema(),
            part=deepfm_tf.Part(0.0, 0.5, seed=2, negative_sampling=share),
        )
        for share in (1.0, 0.1)
    }

    whole, sampled = prepared[1.0], prepared[0.1]
    assert (whole.negative_sampling, sampled.negative_sampling) == (1.0, 0.1)
    assert sampled.num_positives == whole.num_positives
    negatives = [p.num_rows - p.num_positives for p in (whole, sampled)]
    # Binomial: five standard deviations.
    spread = np.sqrt(negatives[0] * 0.1 * 0.9)
    assert abs(negatives[1] - 0.1 * negatives[0]) < 5 * spread
    with pytest.raises(
        ValueError, match="`negative_sampling` must be the share"
    ):
        deepfm_tf.Part(0.0, 0.5, negative_sampling=0.0)


@pytest.mark.parametrize("by_time", [False, True])
def test_a_sample_without_negatives_is_refused(tmp_path, by_time):
    frame = pd.DataFrame({"a": range(50), "y": [1] * 10 + [0] * 40})
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("a"),), "y")
    part = deepfm_tf.Part(0.0, 1.0, negative_sampling=1e-9)
    if by_time:
        frame["at"] = range(10**9, 10**9 + 50)
        part = deepfm_tf.TimePart("at", None, None, negative_sampling=1e-9)

    with pytest.raises(
        deepfm_tf.UserError,
        match="`negative_sampling` must leave at least one row whose label is "
        "0. Received: negative_sampling=1e-09, which keeps none of 40, beside "
        "10 rows whose label is 1. Pass a larger share: 0.25 keeps",
    ):
        deepfm_tf.prepare(frame, tmp_path / "p", schema=schema, part=part)

    assert not (tmp_path / "p").exists()


def test_one_class_is_told_each_time(tmp_path):
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("a"),), "y")

    for _ in range(2):
        with pytest.warns(UserWarning, match="Every label is 0 in the 3 rows"):
            deepfm_tf.prepare(
                {"a": [1, 2, 3], "y": [0, 0, 0]}, tmp_path / "p", schema=schema
            )


def test_skipped_rows_are_counted_and_written(csv_file, tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 5000)
    lines = csv_file.read_text().splitlines()
    lines[500] = "cut,off"
    lines[700] = lines[700].rpartition(",")[0] + ",maybe"
    csv_file.write_text("\n".join(lines))

    prepared = deepfm_tf.prepare(
        csv_file, tmp_path / "p", schema=make_schema(), on_error="skip"
    )

    assert (prepared.num_rows, prepared.num_rejected) == (998, 2)
    rejected = (tmp_path / "p" / "rejected.csv").read_text().splitlines()
    assert ",501," in rejected[1] and "cut,off" in rejected[1]
    assert ",701,clicked,maybe," in rejected[2]


@pytest.mark.parametrize(
    "stage",
    [
        "reading.spill.SpilledBlocks.write",
        "preparing.shard_writer.ShardWriter",
        "preparation.sync_tree",
    ],
)
def test_a_full_disk_leaves_nothing(csv_file, tmp_path, monkeypatch, stage):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"deepfm_tf.data.{stage}", fail)

    with pytest.raises(OSError, match="is full; nothing was kept"):
        deepfm_tf.prepare(csv_file, tmp_path / "p", schema=make_schema())

    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_a_killed_run_leaves_nothing_and_the_next_is_whole(
    csv_file, tmp_path, monkeypatch
):
    running, killed = tmp_path / "running", tmp_path / "killed"
    running.mkdir()
    write = shard_writer.ShardWriter.write

    def copy(self, rows):
        # All that a kill leaves: the files of this moment, and no lock held.
        write(self, rows)
        shutil.copytree(running, killed)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_writer.ShardWriter, "write", copy)
        deepfm_tf.prepare(csv_file, running / "p", schema=make_schema())

    assert not (killed / "p").exists()
    assert list(killed.glob(".p.*.tmp"))
    deepfm_tf.prepare(csv_file, killed / "p", schema=make_schema())
    deepfm_tf.prepare(csv_file, tmp_path / "q", schema=make_schema())
    assert not list(killed.glob(".*.tmp"))
    assert tree(killed / "p") == tree(tmp_path / "q")


def test_foreign_directories_are_left_alone(csv_file, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")

    with pytest.raises(FileExistsError, match="nothing in it was touched"):
        deepfm_tf.prepare(csv_file, tmp_path / "mine", schema=make_schema())


def test_a_damaged_shard_is_noticed(csv_file, tmp_path):
    deepfm_tf.prepare(csv_file, tmp_path / "p", schema=make_schema())
    shard = tmp_path / "p" / "shard-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1])

    with pytest.raises(ValueError, match="The directory is damaged"):
        deepfm_tf.PreparedData.load(tmp_path / "p")
    with pytest.warns(UserWarning, match="It is prepared again"):
        deepfm_tf.prepare(csv_file, tmp_path / "p", schema=make_schema())
    with pytest.raises(FileNotFoundError, match="holds no prepared data"):
        deepfm_tf.PreparedData.load(tmp_path)


def test_arguments_are_checked(csv_file, tmp_path):
    with pytest.raises(ValueError, match="Received: neither"):
        deepfm_tf.prepare(csv_file, tmp_path / "p")
    with pytest.raises(ValueError, match="`on_error` must be one of"):
        deepfm_tf.prepare(
            csv_file, tmp_path / "p", schema=make_schema(), on_error="x"
        )


@pytest.mark.parametrize(
    ("ids", "label", "message"),
    [
        ([[52]], [0], "Field 'C14' has id 52 but vocabulary_size=52; ids run"),
        ([[-2]], [0], "Field 'C14' has id -2"),
        ([[1, 2]], [0], "of shape \\(1, 1\\)"),
        ([[1]], [2], "each 0 or 1"),
    ],
)
def test_ids_of_your_own_are_checked(ids, label, message):
    field = deepfm_tf.CategoricalField("C14", vocabulary_size=52)

    with pytest.raises(ValueError, match=message):
        deepfm_tf.dataset_from_ids(
            {"ids": np.array(ids)}, label, deepfm_tf.Schema((field,), "y")
        )


def test_two_input_pipelines_share_the_rows(prepared):
    dataset = prepared.dataset(100)

    halves = [rows_of(dataset.shard(2, i)) for i in range(2)]

    assert sum(map(len, halves)) == 1000


WEIGHTED = {
    "site": ["b", "a", "b", "a"],
    "x": [0.5, 1.5, -1.0, 2.0],
    "click": [1, 0, 0, 1],
    "importance": [2.0, 0.0, 0.25, 1.5],
}


def weighted_schema():
    return deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("site", min_count=1),
            deepfm_tf.NumericField("x", "none"),
        ),
        "click",
        example_weight="importance",
    )


def test_every_source_gives_the_example_weights(tmp_path):
    path = tmp_path / "weighted.csv"
    pd.DataFrame(WEIGHTED).to_csv(path, index=False)
    prepared = deepfm_tf.prepare(
        path, tmp_path / "prepared", schema=weighted_schema()
    )
    vocabulary = prepared.vocabulary
    packed = deepfm_tf.encode(WEIGHTED, vocabulary)

    datasets = [
        deepfm_tf.PreparedData.load(tmp_path / "prepared").dataset(3),
        deepfm_tf.dataset_from_memory(WEIGHTED, vocabulary, 3),
        deepfm_tf.dataset_from_text(path, vocabulary, 3),
        deepfm_tf.dataset_from_ids(
            packed,
            WEIGHTED["click"],
            vocabulary.schema,
            3,
            weight=WEIGHTED["importance"],
        ),
    ]

    for dataset in datasets:
        assert dataset.element_spec == datasets[0].element_spec
        inputs, label, weight = zip(*dataset.as_numpy_iterator(), strict=True)
        np.testing.assert_array_equal(
            np.concatenate(weight), WEIGHTED["importance"]
        )
        np.testing.assert_array_equal(
            np.concatenate(label)[:, 0], WEIGHTED["click"]
        )
        for name in packed:
            np.testing.assert_array_equal(
                np.concatenate([part[name] for part in inputs]), packed[name]
            )


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory):
    """A file, and the data set of what it holds whenever that is read."""
    path = tmp_path_factory.mktemp("rewritten") / "weighted.csv"
    pd.DataFrame(WEIGHTED).to_csv(path, index=False)
    vocabulary = deepfm_tf.fit_vocabulary(WEIGHTED, weighted_schema())
    return path, vocabulary, deepfm_tf.dataset_from_text(path, vocabulary)


@pytest.mark.parametrize("value", ["-1", "", "heavy", "inf"])
def test_an_example_weight_is_a_number_of_at_least_0(value, rewritten):
    path, vocabulary, dataset = rewritten
    text = pd.DataFrame(WEIGHTED).to_csv(index=False)
    path.write_text(text.replace("0.25", value))

    with pytest.raises(ValueError, match="weighted.csv, line 4.*'importance'"):
        deepfm_tf.dataset_from_memory(path, vocabulary)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="line 4.*'importance'"
    ):
        list(dataset)


def test_weights_of_your_own_are_checked():
    vocabulary = deepfm_tf.fit_vocabulary(WEIGHTED, weighted_schema())
    packed = deepfm_tf.encode(WEIGHTED, vocabulary)

    for weight, message in (
        (None, "`weight` must be given if"),
        ([1.0, -1.0, 1.0, 1.0], "4 finite numbers of at least 0"),
        ([1.0], "4 finite numbers of at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            deepfm_tf.dataset_from_ids(
                packed, WEIGHTED["click"], vocabulary.schema, weight=weight
            )


def test_example_weights_count_in_training_and_evaluation():
    vocabulary = deepfm_tf.fit_vocabulary(WEIGHTED, weighted_schema())
    dataset = deepfm_tf.dataset_from_memory(WEIGHTED, vocabulary, 4)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    model.compile("sgd", "binary_crossentropy", run_eagerly=True)
    model.optimizer.learning_rate = 0.1

    before = deepfm_tf.evaluate(model, dataset)
    loss = model.fit(dataset, verbose=0, shuffle=False).history["loss"]

    # p = 1/2 at first: the gradient of the bias is mean(w (p - y)).
    gradient = (2 * -0.5 + 0 * 0.5 + 0.25 * 0.5 + 1.5 * -0.5) / 4
    np.testing.assert_allclose(
        model.linear_term.bias, -0.1 * gradient, rtol=1e-5
    )
    np.testing.assert_allclose(loss, [3.75 / 4 * np.log(2)], rtol=1e-5)
    assert before["log_loss"] == pytest.approx(np.log(2))
    assert before["mean_label"] == pytest.approx(3.5 / 3.75)


def test_an_inferred_schema_leaves_the_example_weight_out():
    log = make_log(300)
    log["importance"] = np.linspace(0, 2, 300)

    schema = deepfm_tf.infer_schema(log, "clicked", example_weight="importance")

    assert schema.example_weight == "importance"
    assert "importance" not in [field.name for field in schema.fields]
    assert deepfm_tf.Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize("name", ["site", "click"])
def test_an_example_weight_is_a_column_of_its_own(name):
    field = deepfm_tf.CategoricalField("site")

    with pytest.raises(ValueError, match=f"weight '{name}' is also the label"):
        deepfm_tf.Schema((field,), "click", example_weight=name)


def test_a_further_day_extends_the_vocabulary_of_the_days_before(tmp_path):
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "click")
    days = [
        {"site": ["b", "b", "a", "d"], "click": [1, 0, 0, 1]},
        {"site": ["a", "c", "c", "d"], "click": [1, 0, 0, 1]},
    ]

    first = deepfm_tf.prepare(days[0], tmp_path / "1", schema=schema)
    second = deepfm_tf.prepare(
        days[1], tmp_path / "2", extends=first.vocabulary
    )
    before = (tmp_path / "2").stat().st_ino
    again = deepfm_tf.prepare(days[1], tmp_path / "2", extends=first.vocabulary)
    other = deepfm_tf.prepare(
        days[1], tmp_path / "valid", vocabulary=second.vocabulary
    )

    # Once on each of two days is twice: with both, a and d; c by itself.
    assert second.vocabulary.values["site"].tolist() == ["b", "c", "a", "d"]
    ids = [x["ids"].numpy().tolist() for x, _ in second.dataset(4)]
    assert ids == [[[4], [3], [3], [5]]]
    # Prepared once; the counts are in the training data alone.
    assert before == (tmp_path / "2").stat().st_ino
    assert again.fingerprint == second.fingerprint
    assert again.vocabulary.seen is not None
    assert other.vocabulary.seen is None


def test_what_cannot_be_extended_is_refused_before_it_is_read(tmp_path):
    field = deepfm_tf.CategoricalField("site", encodings=("count",))
    schema = deepfm_tf.Schema((field,), "click")
    data = {"site": ["b", "b", "c"], "click": [1, 0, 0]}
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)

    with pytest.raises(deepfm_tf.UserError, match="`encodings`"):
        deepfm_tf.prepare("none.csv", tmp_path / "p", extends=vocabulary)
    with pytest.raises(deepfm_tf.UserError, match="Received: both"):
        deepfm_tf.prepare(
            data, tmp_path / "p", extends=vocabulary, vocabulary=vocabulary
        )


def test_a_warning_is_of_the_line_that_prepares(tmp_path):
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("a"),), "y")
    log = {"a": ["b", "c"] * 50, "y": [1] * 100}

    with pytest.warns(UserWarning, match="Every label is 1") as told:
        deepfm_tf.prepare(log, tmp_path / "p", schema=schema)

    assert told[0].filename == __file__
