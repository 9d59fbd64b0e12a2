"""Raw files to prepared data, and what is said of them."""

import re
import shlex
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.experiment import run as experiment
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.data import evaluation_dataset
from deepfm_tf.experiment.report import report_content
from deepfm_tf.files.text import TextBlock
from pipelines import tabular


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begins a run in an empty directory: settings and data by part."""
    monkeypatch.chdir(tmp_path)

    def begin(*options):
        begun = []

        def prepare(settings):
            begun.append((settings, experiment.begin(settings)[1]))

        arguments = ["--train", "train.csv", "--label", "click", *options]
        status = main(tabular.RECIPE, arguments, run_with=prepare)
        return (status, *begun[0]) if begun else (status, None, None)

    return begin


def write(name, devices, users):
    rows = np.arange(1200)
    frame = pd.DataFrame(
        {
            "device": [devices[n % len(devices)] for n in rows],
            "user_id": [users[n % len(users)] for n in rows],
            "click": rows % 3 % 2,
        }
    )
    frame.to_csv(name, index=False)
    return frame


@pytest.mark.filterwarnings("default:The values of test differ")
def test_values_unlike_training_are_told_and_reported(begin, capsys):
    # With "x", the field is none of whole numbers: "7.0" is never "7".
    write("train.csv", ["7", "8", "9", "x"], range(600))
    write("test.csv", ["7.0", "8.0", "9"], range(600))
    test = ("--test", "test.csv", "--categorical", "device")

    for _ in range(2):  # prepared already, it is told again
        status, settings, data = begin(*test)

        said = capsys.readouterr()
        assert status == 0
        assert "warning: The values of test differ from those of the tra" in (
            said.err
        )
        assert "Field 'device': 67 % of the values are unseen" in said.err
        assert "'7.0' stands for training's '7'" in said.err
        assert "of valid" not in said.err
    report = report_content(settings, data, [])
    (drift,) = report["data"]["test"]["drift"]
    assert (drift["field"], drift["cause"]) == ("device", "type")
    assert drift["share"] == pytest.approx(2 / 3)
    assert drift["examples"] == ["7.0", "8.0"]
    assert report["data"]["valid"]["drift"] == []
    shares = {s["field"]: s for s in report["data"]["test"]["shares"]}
    assert shares["device"]["unseen"] == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("default:The values of test differ")
def test_data_prepared_once_are_used_by_the_training(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write("train.csv", ["a", "b"], range(600))
    write("test.csv", ["a", "b", "c", "d"], range(600))
    words = ["--train", "train.csv", "--label", "click", "--seed", "3"]
    words += ["--test", "test.csv"]
    words += ["--negative-sampling", "0.5", "--prepared", "my data"]

    assert main(arguments=words, command="prepare") == 0

    out, err = capsys.readouterr()
    assert "\ntest: 1,200 rows, 33.3% positive\n" in out
    assert "Field 'device': 50 % of the values are unseen" in err
    opening = (
        r"deepfm_tf [\d.]+ · train: train.csv \(0.0 MB\) · test: test.csv "
    )
    opening += r"\(0.0 MB\) · valid: a random tenth of its rows \(seed 3\) · "
    assert re.match(opening + "2 categorical fields\n", out)
    assert "deepfm_tf.PreparedData.load('my data/train')" in out
    files = {p: p.stat().st_mtime_ns for p in Path("my data").rglob("*.bin")}
    prepared = deepfm_tf.PreparedData.load("my data/train")
    command = shlex.split(out.splitlines()[-1])
    assert command[1:3] == ["train", "--train"]
    begun = []
    assert (
        main(
            arguments=command[2:],
            run_with=lambda settings: begun.append(
                experiment.begin(settings)[1]
            ),
        )
        == 0
    )
    assert begun[0]["train"].fingerprint == prepared.fingerprint
    assert {p: p.stat().st_mtime_ns for p in files} == files
    out = capsys.readouterr().out
    assert "\ntest: 1,200 rows, 33.3% positive, reused\n" in out


@pytest.mark.filterwarnings("ignore:Field 'user_id' keeps no value")
@pytest.mark.filterwarnings("ignore:--train and --valid both name train.csv")
@pytest.mark.filterwarnings("ignore:.* of the rows of --valid are also in")
def test_parts_that_are_prepared_again_are_told(begin, capsys):
    write("train.csv", ["a", "b"], range(1200))
    write("test.csv", ["a"], [0])
    files = ("--valid", "train.csv", "--test", "test.csv")
    begin(*files)
    first = capsys.readouterr().out
    write("test.csv", ["b"], [0])

    begin(*files)

    again = capsys.readouterr().out
    assert "reused" not in first and "again" not in first
    lines = [line for line in again.splitlines() if "% positive" in line]
    ends = [line.partition("% positive")[2] for line in lines]
    assert ends[:2] == [", reused"] * 2
    assert ends[2].startswith(", prepared again: ")


def test_a_stopped_preparation_says_what_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupt(_):
        raise KeyboardInterrupt

    words = ["--train", "train.csv", "--label", "click", "--run", "here"]
    assert main(arguments=words, command="prepare", run_with=interrupt) == 130

    first, *_, last = capsys.readouterr().err.strip().splitlines()
    assert first == (
        "Stopped. Each complete part is kept in here/prepared. Continue with:"
    )
    assert last.endswith(f"prepare {' '.join(words)}")


@pytest.mark.filterwarnings("error:The values of")
def test_many_new_users_are_said_though_they_are_expected(begin, capsys):
    random = np.random.default_rng(1)
    # Of 1,200 draws from 600 users, e^-2 of the others are not among them.
    for name in ("train.csv", "test.csv"):
        users = random.integers(0, 600, 1200)
        write(name, ["a", "b"], [f"u{user}" for user in users])

    status, _, data = begin("--test", "test.csv")

    said = capsys.readouterr()
    assert not said.err
    shares = {s.field: s.unseen for s in data["test"].shares}
    assert status == 0
    assert shares["user_id"] > 0.2
    line = next(x for x in said.out.splitlines() if "of test" in x)
    percent = round(100 * shares["user_id"])
    assert f"{percent} % of the values of test are unseen" in line
    assert "about as many as expected from the training data" in line


@pytest.mark.filterwarnings("ignore:Field 'user_id' keeps no value")
@pytest.mark.filterwarnings("ignore:--train and --test have the same rows")
@pytest.mark.parametrize("given", [True, False])
def test_groups_are_the_raw_column_of_the_test_rows(begin, given):
    frame = write("train.csv", ["a", "b"], [10**10 + n for n in range(1200)])
    frame.to_csv("test.csv", index=False)

    _, _, data = begin(
        *("--group-by", "user_id", "--categorical", "user_id"),
        *(("--test", "test.csv") if given else ()),
    )

    test = data["test"]
    assert len(test.groups) == len(set(test.groups)) == test.num_rows
    labels = frame.set_index(frame["user_id"].astype(str))["click"]
    (batch,) = test.dataset(1200)
    assert [labels[user] for user in test.groups] == (
        batch[1].numpy()[:, 0].tolist()
    )
    assert test.num_rows == 1200 or not given


def test_a_sample_without_negatives_is_refused(begin, capsys):
    write("train.csv", ["a", "b"], range(600))

    # 400 of 1,200 labels are 1, 320 of them about in the part for training.
    assert begin("--negative-sampling", "1e-9")[0] == 2

    error = capsys.readouterr().err
    assert "--negative-sampling must leave at least one row" in error
    assert "--negative-sampling 1e-09, which keeps none of" in error


def test_a_mistyped_column_to_group_by_is_told(begin, capsys):
    write("train.csv", ["a", "b"], range(600))

    assert begin("--group-by", "usr")[0] == 2
    assert "usr" in capsys.readouterr().err


def test_metrics_of_a_run_have_gauc(begin, monkeypatch):
    write("train.csv", ["a", "b"], range(600))
    _, settings, data = begin("--group-by", "device")
    label = np.arange(data["test"].num_rows) % 2
    probability = np.linspace(0, 1, len(label))
    rows = (label, probability, None)
    model = deepfm_tf.FM(data["train"].schema)
    monkeypatch.setattr(experiment, "fit", lambda *_: (model, {}))
    monkeypatch.setattr(
        deepfm_tf.evaluation, "predict_with_weights", lambda *_: rows
    )

    _, result, _ = experiment.train(settings, "fm", data, None)

    right = deepfm_tf.metrics.grouped_auc(
        label, probability, data["test"].groups
    )
    assert result["test"]["grouped_auc"] == right.auc
    assert right.num_groups == 2


def test_encodings_are_of_all_categorical_fields_or_of_those_named(
    begin, capsys
):
    write("train.csv", ["x", "y"], [f"u{n}" for n in range(100)])

    _, _, data = begin("--encodings", "count,target_mean")
    told = "Encodings count, target_mean of device, user_id: numbers"
    assert told in capsys.readouterr().out
    _, _, named = begin(
        *("--run", "two", "--encodings", "count"),
        *("--encoded-fields", "user_id"),
    )

    assert [f.name for f in data["train"].schema.numeric_fields] == [
        "device (count)",
        "device (target mean)",
        "user_id (count)",
        "user_id (target mean)",
    ]
    fields = named["valid"].schema.numeric_fields
    assert [f.name for f in fields] == ["user_id (count)"]


def test_fields_to_encode_need_a_word_on_how(begin, capsys):
    write("train.csv", ["x", "y"], ["u1", "u2"])

    status, _, _ = begin("--encoded-fields", "user_id")

    assert status == 2
    assert "Give --encodings too" in capsys.readouterr().err


def test_data_to_evaluate_on_are_read_once_for_all_models(tmp_path):
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("x"),), "click")
    click = [1, 0, 0, 1, 0]
    part = deepfm_tf.prepare(
        {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "click": click},
        tmp_path,
        schema=schema,
    )

    passes = []
    for _ in range(2):
        dataset = evaluation_dataset(part, 2)
        passes.append([label.numpy().ravel().tolist() for _, label in dataset])
        shutil.rmtree(tmp_path, ignore_errors=True)

    assert passes == [[[1, 0], [0, 1], [0]]] * 2


def test_a_file_is_read_for_its_schema_and_once_for_all_parts(
    begin, monkeypatch
):
    write("train.csv", ["a", "b", "c"], range(600))
    reads, read = [], TextBlock.read

    def counted(block, columns):
        reads.append((threading.current_thread().name, sorted(columns)))
        return read(block, columns)

    monkeypatch.setattr(TextBlock, "read", counted)

    status, _, data = begin()

    assert status == 0 and data.keys() == {"train", "valid", "test"}
    threads, columns = zip(*reads, strict=True)
    assert columns == (["click", "device", "user_id"],) * 2
    # While TensorFlow is imported by the main one.
    assert threads[0].startswith("deepfm_tf-first-rows")
