"""A Dask cluster prepares what one process does, byte for byte."""

import functools
import os
import signal

import pytest

import deepfm_tf
from deepfm_tf.__main__ import main
from deepfm_tf.data.preparing import shard_writer
from deepfm_tf.experiment import dask
from deepfm_tf.files import readers, text
from tests.data.preparing.test_maps import (
    LATE,
    SAMPLED,
    SCHEMA,
    make_log,
    tree,
    write_parquet,
    write_text,
)

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.dask,
    # Dask's own: its event loop, and what it looks up of the machine.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


def shrink():
    text.BLOCK_BYTES, readers.BLOCK_ROWS = 20_000, 300
    shard_writer.SHARD_BLOCKS = 2


class Shrink(distributed.WorkerPlugin):
    """Many blocks and shards of little data, in each worker there will be."""

    def setup(self, worker):
        shrink()


def die_once(function, marker, task):
    """Do a task; the first time, take the worker and the result away."""
    result = function(task)
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return result
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """An executor, one of whose workers is killed in each map."""

    def __init__(self, executor, folder):
        self._executor, self._folder = executor, folder

    def map(self, function, tasks):
        marker = self._folder / function.__name__
        mortal = functools.partial(die_once, function, marker)
        return self._executor.map(mortal, tasks)


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.register_plugin(Shrink())
        yield client


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(readers, "BLOCK_ROWS", 300)
    monkeypatch.setattr(shard_writer, "SHARD_BLOCKS", 2)


def write_urls(folder):
    write_parquet(folder)
    return f"{folder.as_uri()}/*.parquet"


@pytest.mark.parametrize(
    ("write", "part", "is_killed"),
    [
        (write_text, None, False),
        (write_text, SAMPLED, True),
        (write_parquet, None, True),
        (write_parquet, LATE, False),
        (write_urls, SAMPLED, False),
    ],
    ids=["text", "sample, killed", "Parquet, killed", "Parquet's end", "URL"],
)
def test_a_cluster_makes_the_same_directory(
    write, part, is_killed, cluster, tmp_path
):
    source = write(tmp_path)
    executor = cluster.get_executor(retries=3)
    if is_killed:
        executor = Mortal(executor, tmp_path)

    for name, used in (("here", None), ("elsewhere", executor)):
        deepfm_tf.prepare(
            source,
            tmp_path / name,
            schema=SCHEMA,
            part=part,
            on_error="skip",
            executor=used,
        )

    here, elsewhere = tree(tmp_path / "here"), tree(tmp_path / "elsewhere")
    assert len([name for name in here if "shard-" in name]) >= 2
    assert here.keys() == elsewhere.keys()
    assert [name for name in here if here[name] != elsewhere[name]] == []
    killed = (tmp_path / "count_file", tmp_path / "write_shard")
    assert [path.exists() for path in killed] == [is_killed] * 2


def test_the_command_prepares_on_a_cluster(cluster, tmp_path, capsys):
    make_log(3000, 1).to_csv(tmp_path / "log.csv", index=False)
    command = ["prepare", "--train", str(tmp_path / "log.csv")]
    command += ["--label", "click", "--run", str(tmp_path / "run")]

    main([*command, "--prepared", str(tmp_path / "here")])
    main(
        [
            *(*command, "--prepared", str(tmp_path / "elsewhere")),
            *("--dask", cluster.scheduler.address),
        ]
    )

    assert "--dask" not in capsys.readouterr().out
    assert tree(tmp_path / "here") == tree(tmp_path / "elsewhere")


def test_no_scheduler_is_told(monkeypatch):
    monkeypatch.setattr(dask, "TIMEOUT_SECONDS", 0.2)

    with pytest.raises(
        deepfm_tf.UserError, match="no Dask scheduler answers there"
    ):
        with dask.dask_executor("tcp://127.0.0.1:9"):
            pass


def test_a_worker_needs_no_tensorflow(cluster):
    def modules():
        import sys

        from deepfm_tf.data.preparing.file_counts import count_file
        from deepfm_tf.data.preparing.shard_writer import write_shard

        return count_file, write_shard, "tensorflow" in sys.modules

    for *_, is_imported in cluster.run(modules).values():
        assert not is_imported
