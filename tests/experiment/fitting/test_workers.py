"""What several workers are refused, and tables that they share out.

What needs several processes is left out unless asked for, with -m multi_worker.
"""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.__main__ import main
from tests import workers
from tests.conftest import make_log
from tests.workers import Workers

WORDS = (
    *("train", "--train", "clicks.csv", "--label", "clicked", "--run", "run"),
    *("--prepared", "prep", "--epochs", "3", "--batch-size", "64"),
    *("--hidden-units", "4", "--seed", "2", "--shard-tables"),
    *("--embedding-dim", "2", "--freeze-embeddings", "ad"),
    *("--embeddings", "ad=ad.parquet"),
)
VECTORS = {
    "value": ["002", "000", "001"],
    "vector": [[1.5, 2.0], [-3.0, 4.5], [0.5, 0.25]],
}


def write_clicks(folder):
    """1200 clicks; and vectors of three of the four values of `ad`."""
    pq.write_table(pa.table(VECTORS), folder / "ad.parquet")
    clicks = make_log(1200)[["site", "ad", "price", "clicked"]]
    clicks.to_csv(folder / "clicks.csv", index=False)
    return clicks


@pytest.mark.parametrize(
    "words, said",
    [
        (("--optimizer", "adam"), "--shard-tables must come with an optimizer"),
        (
            ("--embedding-l2", "0.1", "--l2-mode", "table"),
            "--l2-mode table reads the whole table at each step",
        ),
        (("--auto",), "trains many models"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_at_once(
    words, said, tmp_path, monkeypatch, capsys
):
    write_clicks(tmp_path)
    monkeypatch.chdir(tmp_path)
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))

    assert main([*WORDS, *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_one_worker_alone_is_refused(tmp_path, monkeypatch, capsys):
    write_clicks(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert main(list(WORDS)) == 2
    assert "error: --shard-tables distributes" in capsys.readouterr().err


def several(test):
    """Mark a test of several processes."""
    return pytest.mark.multi_worker(pytest.mark.timeout(900)(test))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where two workers have shared out a table, and what the chief said."""
    folder = tmp_path_factory.mktemp("trained")
    write_clicks(folder)
    words = (*WORDS, "--export", "models/clicks", "--report", "report.json")
    words += ("--prune-untrained",)
    with Workers(2, folder, workers.command, folder, *words) as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        return folder, processes.texts()[0]


def best_model(folder):
    """The best epoch, as one host loads it from the workers' files."""
    return deepfm_tf.load_checkpoint(folder / "run" / "deepfm", best=True)[0]


@several
def test_the_export_predicts_what_the_best_epoch_does_on_one_host(trained):
    folder, _ = trained
    clicks = write_clicks(folder)
    vocabulary = deepfm_tf.PreparedData.load(folder / "prep/train").vocabulary
    rows = clicks[:100].assign(price=clicks.price[:100].astype("float32"))
    dataset = deepfm_tf.dataset_from_memory(rows, vocabulary, 100)
    ((packed, *_),) = dataset

    expected = best_model(folder)(packed)["probability"].numpy()[:, 0]

    served = tf.saved_model.load(str(folder / "models" / "clicks" / "1"))
    raw = {
        name: tf.constant(rows[name].to_numpy())
        for name in ("site", "ad", "price")
    }
    found = served.signatures["serving_default"](**raw)["probability"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@several
def test_given_vectors_are_those_of_the_rows_that_each_worker_holds(trained):
    folder, chief = trained
    vocabulary = deepfm_tf.PreparedData.load(folder / "prep/train").vocabulary

    found = deepfm_tf.models.embeddings_of(
        best_model(folder), "ad", vocabulary, VECTORS["value"]
    )

    # Of rows that follow each other, each worker holds every second one.
    assert {id_ % 2 for id_ in found.ids.tolist()} == {0, 1}
    assert found.vectors.tolist() == VECTORS["vector"]
    assert "'ad': 3 of 4 values received a pretrained vector" in chief
    assert re.search(r"rows of its table were (never )?trained", chief)


@several
def test_the_report_counts_the_parameters_of_all_workers(trained):
    folder, _ = trained
    report = json.loads((folder / "report.json").read_text())

    expected = best_model(folder).count_params()

    assert report["models"][0]["parameters"] == expected


@several
def test_one_host_exports_without_untrained_rows_what_two_trained(
    trained, monkeypatch, capsys
):
    folder, _ = trained
    monkeypatch.chdir(folder)
    words = [word for word in WORDS if word != "--shard-tables"]

    assert main([*words, "--resume", "--export", "p", "--prune-untrained"]) == 0

    printed = capsys.readouterr().out
    assert "Trained already, up to epoch 3" in printed
    assert re.search(r"rows of its table were (never )?trained", printed)


@several
def test_a_lost_worker_costs_nothing_but_the_epoch(trained, tmp_path):
    write_clicks(tmp_path)
    arguments = (tmp_path, 1, *WORDS)
    with Workers(2, tmp_path, workers.command_killed, *arguments) as processes:
        chief = processes.processes[0]
        processes.processes[1].join(workers.LIMIT)
        chief.join(60)
        assert processes.processes[1].exitcode == -9
        assert chief.exitcode not in (0, None), processes.texts()
        assert "has lost another one" in processes.texts()[0]
        assert "Traceback" not in processes.texts()[0]

    with Workers(2, tmp_path, workers.command, tmp_path, *WORDS) as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        assert "Resumed after epoch 1" in processes.texts()[0]

    ends = [folder / "run" / "deepfm" for folder in (trained[0], tmp_path)]
    assert workers.digest(ends[0]) == workers.digest(ends[1])


@several
def test_a_lost_file_of_rows_is_told(trained):
    folder, _ = trained
    path = next((folder / "run" / "deepfm").glob("epoch-*-rows-1-of-2.npy"))
    kept = path.read_bytes()
    path.unlink()
    try:
        with Workers(2, folder, workers.command, folder, *WORDS) as processes:
            assert processes.statuses() == [2, 2], processes.texts()
            for text in processes.texts():
                assert (
                    f"{path.name} is missing. It holds the table rows" in text
                )
    finally:
        path.write_bytes(kept)
