"""An engine prepares what one process does, byte for byte."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.data.preparing import shard_writer
from deepfm_tf.data.reading import spill
from deepfm_tf.files import readers, text

FIELDS = (
    deepfm_tf.CategoricalField("site", min_count=2, encodings=("count",)),
    deepfm_tf.BucketizedField("age", num_buckets=5),
    deepfm_tf.NumericField("price"),
    deepfm_tf.MultiValuedField("tags", max_length=3, min_count=1),
    deepfm_tf.TimestampField("at"),
)
SCHEMA = deepfm_tf.Schema(FIELDS, "click", example_weight="mass")


def make_log(num_rows, seed):
    random = np.random.default_rng(seed)
    sites = random.zipf(1.5, num_rows) % 100
    tags = random.integers(0, 9, (num_rows, 2)).astype(str)
    seconds = random.integers(10**9, 2 * 10**9, num_rows)
    return pd.DataFrame(
        {
            "site": [f"s{site}" for site in sites],
            "age": random.integers(18, 90, num_rows),
            "price": random.lognormal(size=num_rows),
            "tags": ["|".join(row) for row in tags],
            "at": seconds,
            "mass": random.random(num_rows),
            "click": random.integers(0, 2, num_rows),
        }
    )


def write_text(folder):
    names = ("a.csv", "b.csv", "c.csv.gz")
    for seed, name in enumerate(names):
        make_log(700 + seed, seed).to_csv(folder / name, index=False)
    # Rows that cannot be read, in the file that is read last but one.
    with open(folder / "b.csv", "a") as file:
        file.write("cut,off\n" + "s1,20,1.5,3,1000000000,1,maybe\n" * 3)
    return [folder / name for name in names]


def write_parquet(folder):
    for seed in range(3):
        make_log(900 + seed, seed).to_parquet(folder / f"{seed}.parquet")
    return str(folder / "*.parquet")


def tree(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        # Times and inodes of files are their own.
        if path.is_file() and path.name != "stamps.json"
    }


SAMPLED = deepfm_tf.Part(0.1, 0.9, seed=3, negative_sampling=0.4)
LATE = deepfm_tf.TimePart("at", 12 * 10**14, None)


@pytest.mark.parametrize(
    ("write", "part"),
    [
        pytest.param(write_text, None, id="text"),
        *(
            # Parquet is in the test of tasks that run twice.
            pytest.param(*case, id=name, marks=pytest.mark.long)
            for name, case in (
                ("a sample of text", (write_text, SAMPLED)),
                ("the end of Parquet", (write_parquet, LATE)),
            )
        ),
    ],
)
def test_tasks_done_elsewhere_make_the_same_directory(
    write, part, tmp_path, monkeypatch
):
    monkeypatch.setattr(text, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(readers, "BLOCK_ROWS", 300)
    monkeypatch.setattr(shard_writer, "SHARD_BLOCKS", 2)
    source = write(tmp_path)
    arguments = {"part": part, "on_error": "skip"}

    with ThreadPoolExecutor(2) as executor:
        for name, used in (("here", None), ("elsewhere", executor)):
            train = deepfm_tf.prepare(
                source,
                tmp_path / name / "train",
                schema=SCHEMA,
                executor=used,
                **arguments,
            )
            deepfm_tf.prepare(
                source[1:] if write is write_text else tmp_path / "1.parquet",
                tmp_path / name / "other",
                vocabulary=train.vocabulary,
                executor=used,
                **arguments,
            )

    here, elsewhere = tree(tmp_path / "here"), tree(tmp_path / "elsewhere")
    assert len([name for name in here if "shard-" in name]) >= 4
    assert part is not None or "train/rejected.csv" in here
    assert here.keys() == elsewhere.keys()
    assert [name for name in here if here[name] != elsewhere[name]] == []


def test_a_split_of_many_files_is_disjoint_and_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 2_000)
    rows = np.arange(999)
    for number in range(3):
        frame = pd.DataFrame({"row": rows[number::3], "click": [0, 1, 1] * 111})
        frame.to_csv(tmp_path / f"{number}.csv", index=False)
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("row", "none"),), "click")
    found = []
    for start, stop in ((0.0, 0.7), (0.7, 1.0)):
        prepared = deepfm_tf.prepare(
            str(tmp_path / "*.csv"),
            tmp_path / str(start),
            schema=schema,
            part=deepfm_tf.Part(start, stop, seed=3),
        )
        batches = prepared.dataset(1000).as_numpy_iterator()
        found.append([row for x, _ in batches for row in x["values"][:, 0]])

    assert sorted(found[0] + found[1]) == rows.tolist()
    # Each file draws its own: no two of them keep the same places.
    kept = [{r // 3 for r in found[0] if r % 3 == n} for n in range(3)]
    assert kept[0] != kept[1] != kept[2] != kept[0]


def test_a_task_that_runs_twice_does_no_harm(tmp_path):
    class Twice(ThreadPoolExecutor):
        def map(self, function, *tasks):
            list(super().map(function, *tasks))
            return super().map(function, *tasks)

    source = write_parquet(tmp_path)
    deepfm_tf.prepare(source, tmp_path / "once", schema=SCHEMA)
    with Twice(2) as executor:
        deepfm_tf.prepare(
            source, tmp_path / "twice", schema=SCHEMA, executor=executor
        )

    assert tree(tmp_path / "once") == tree(tmp_path / "twice")


def test_relative_names_are_those_of_the_one_who_calls(tmp_path, monkeypatch):
    write_text(tmp_path)
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        prepared = deepfm_tf.prepare(
            "b.csv", "p", schema=SCHEMA, on_error="skip", executor=executor
        )

    rejected = pd.read_csv("p/rejected.csv")
    assert set(rejected["source"]) == {"b.csv"}
    assert prepared.num_rejected == len(rejected) == 4


def test_a_bad_row_is_told_as_it_is_here(tmp_path):
    write_text(tmp_path)
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(
            deepfm_tf.UserError, match="b.csv, line 703: 7 values expected, 2"
        ):
            deepfm_tf.prepare(
                tmp_path / "b.csv",
                tmp_path / "p",
                schema=SCHEMA,
                executor=executor,
            )

    assert not (tmp_path / "p").exists()


def test_a_worker_without_the_folder_says_which_host_it_is(
    tmp_path, monkeypatch
):
    write_parquet(tmp_path)
    # As on a host that has not mounted it.
    monkeypatch.setattr(
        spill.SpilledBlocks, "is_there", property(lambda self: False)
    )
    monkeypatch.setattr("socket.gethostname", lambda: "host7")

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(
            deepfm_tf.UserError, match="every worker has mounted.*host7 does"
        ):
            deepfm_tf.prepare(
                tmp_path / "0.parquet",
                tmp_path / "p",
                schema=SCHEMA,
                executor=executor,
            )


def test_what_is_no_executor_is_refused(tmp_path):
    with pytest.raises(TypeError, match="`executor` must be a concurrent"):
        deepfm_tf.prepare(
            {"site": ["a"]}, tmp_path / "p", schema=SCHEMA, executor=4
        )


def test_data_in_memory_are_read_by_the_one_who_calls(tmp_path):
    frame = make_log(500, 1)
    with ThreadPoolExecutor(1) as executor:
        for name, used in (("here", None), ("elsewhere", executor)):
            deepfm_tf.prepare(
                frame, tmp_path / name, schema=SCHEMA, executor=used
            )

    assert tree(tmp_path / "here") == tree(tmp_path / "elsewhere")
