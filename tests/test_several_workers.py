"""Several processes on this machine that train one model.

Not part of `pytest` without `-m multi_worker`: they take a minute.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from tests import workers
from tests.conftest import make_log
from tests.workers import CASES, FEW_ROWS, NUM_ROWS, Workers, side_by_side

pytestmark = [pytest.mark.multi_worker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=[2, 3])
def learnt(request, tmp_path_factory, small_vocabulary):
    """How many workers, their folder, and what each has kept."""
    folder = tmp_path_factory.mktemp("workers")
    for name, num_rows in (("train", NUM_ROWS), ("few", FEW_ROWS)):
        deepfm_tf.prepare(
            make_log(num_rows), folder / name, vocabulary=small_vocabulary
        )
    count = request.param
    with Workers(count, folder, workers.learn, folder) as processes:
        assert processes.statuses() == [0] * count, processes.texts()
    kept = [dict(np.load(folder / f"{n}.npz")) for n in range(count)]
    return count, folder, kept


@pytest.fixture(scope="module")
def alone(learnt):
    """Losses and weights of one process, by case."""
    count, folder, _ = learnt
    data, few = (
        deepfm_tf.PreparedData.load(folder / name) for name in ("train", "few")
    )
    dataset = side_by_side(data, count)
    found = []
    for case in CASES:
        model = workers.model_of(data.schema, *case)
        history = model.fit(dataset, epochs=2, shuffle=False, verbose=0)
        last = model.fit(few.dataset(FEW_ROWS), shuffle=False, verbose=0)
        losses = history.history["loss"] + last.history["loss"]
        found.append((losses, model.get_weights()))
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(str, CASES))
def test_workers_learn_what_one_does(number, learnt, alone):
    _, _, kept = learnt
    optimizer, _, has_batch_norm = CASES[number]
    loss, weights = alone[number]
    # Adam divides by what may be nearly zero, and amplifies the last bits.
    limit = 1e-4 if optimizer == "lazy_adam" else 1e-6
    limit = 1e-5 if has_batch_norm else limit

    np.testing.assert_allclose(kept[0][f"{number} loss"], loss, atol=limit)
    if optimizer != "lazy_adam":
        for place, weight in enumerate(weights):
            found = kept[0][f"{number} weight {place}"]
            np.testing.assert_allclose(found, weight, atol=limit)


def test_all_workers_have_the_same_weights_and_metrics(learnt):
    _, _, (chief, *others) = learnt

    assert len(others) == learnt[0] - 1
    for other in others:
        assert set(other) == set(chief)
        for name in set(chief) - {"kernels", "refused"}:
            np.testing.assert_array_equal(other[name], chief[name])


def test_all_rows_are_evaluated_in_their_order(learnt):
    _, folder, (chief, *_) = learnt
    data = deepfm_tf.PreparedData.load(folder / "train")
    model = workers.model_of(data.schema, *CASES[-1])
    number = len(CASES) - 1
    model.set_weights(
        [
            chief[f"{number} weight {place}"]
            for place in range(len(model.weights))
        ]
    )
    (inputs, *_), *_ = data.dataset(NUM_ROWS)

    expected = model(inputs)["probability"].numpy().ravel()

    assert chief["metrics"][2] == NUM_ROWS
    np.testing.assert_allclose(chief["probability"], expected, atol=1e-6)
    # Of fewer rows than there may be workers.
    few = deepfm_tf.PreparedData.load(folder / "few").dataset(FEW_ROWS)
    (inputs, *_), *_ = few
    expected = model(inputs)["probability"].numpy().ravel()
    np.testing.assert_allclose(chief["few"], expected, atol=1e-6)


def test_kernels_are_taken_only_if_all_workers_have_them(learnt):
    count, _, kept = learnt
    here = tf.distribute.get_strategy()
    alone = deepfm_tf.training.kernels_told(here)
    if not alone.endswith("our own"):
        pytest.skip(alone)

    told = [str(each["kernels"]) for each in kept]

    if count == 2:
        assert told == [alone] * 2
    else:
        assert "not all workers" in told[0]
        assert told[1] == told[0]
        assert "DEEPFM_TF_KERNELS=off" in told[workers.WITHOUT_KERNELS]


def test_workers_tell_each_other_a_text(learnt):
    count, _, (chief, *_) = learnt

    assert list(chief["told"]) == [f"I am {n}" for n in range(count)]


def test_mistakes_are_told_on_all_workers(learnt):
    _, _, (chief, *others) = learnt

    for kept in (chief, *others):
        shard, disagree, _ = kept["refused"]
        assert "train.distributed(strategy, batch_size)" in shard
        assert "must have the same options. Those of worker 1" in disagree
    assert chief["refused"][2] == "division by zero"
    for kept in others:
        assert kept["refused"][2] == "The chief has stopped: division by zero"


def write_clicks(folder, name="clicks.csv"):
    make_log(1200)[["site", "ad", "price", "clicked"]].to_csv(
        folder / name, index=False
    )


WORDS = (
    *("train", "--train", "clicks.csv", "--label", "clicked"),
    *("--run", "run", "--prepared", "prep", "--epochs", "3"),
    *("--batch-size", "64", "--hidden-units", "4", "--seed", "2"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder where two workers were let alone, and what they printed."""
    folder = tmp_path_factory.mktemp("trained")
    write_clicks(folder)
    words = (*WORDS, "--export", "models/clicks", "--report", "report.json")
    run = Workers(2, folder, workers.command, folder, *words, "--tensorboard")
    with run as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        return folder, processes.texts()


def test_one_worker_prepares_reports_and_exports_for_all(trained):
    folder, (chief, other) = trained

    assert [path.name for path in (folder / "models/clicks").iterdir()] == ["1"]
    report = json.loads((folder / "report.json").read_text())
    assert sum(part["rows"] for part in report["data"].values()) == 1200
    assert len(report["models"][0]["history"]["loss"]) == 3
    events = (folder / "run/deepfm/tensorboard").rglob("events*")
    assert sorted(p.parent.name for p in events) == ["train", "validation"]
    for line in ("train: ", "test: ", "Epoch 3/3", "Exported deepfm"):
        assert chief.count(f"\n{line}") == 1
        assert f"\n{line}" not in other
    assert re.search(r"^Worker 0 of 2, .* is the chief", chief, re.MULTILINE)
    assert re.search(
        r"^Worker 1 of 2, .*, waits for the chief", other, re.MULTILINE
    )


def test_the_command_goes_on_where_it_was(trained):
    folder, _ = trained

    with Workers(2, folder, workers.command, folder, *WORDS) as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        assert "Trained already, up to epoch 3" in processes.texts()[0]


def test_the_script_of_the_page_trains_on_all_workers(tmp_path):
    page = Path(__file__).parents[1] / "pipelines" / "several_hosts.md"
    (text,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    write_clicks(tmp_path)
    write_clicks(tmp_path, "valid.csv")

    with Workers(2, tmp_path, workers.script, tmp_path, text) as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        chief, other = processes.texts()

    assert "Epoch 3/3" in chief
    assert "Epoch" not in other
    assert json.loads((tmp_path / "run/state.json").read_text())["epoch"] == 3


@pytest.mark.parametrize("killed", [1, 0], ids=["worker", "chief"])
def test_kill_of_one_stops_the_other_and_nothing_is_lost(
    killed, trained, tmp_path
):
    write_clicks(tmp_path)
    arguments = (tmp_path, killed, *WORDS)
    with Workers(2, tmp_path, workers.command_killed, *arguments) as processes:
        # Of the one that is left: within a minute, with a sentence.
        other = processes.processes[1 - killed]
        processes.processes[killed].join(workers.LIMIT)
        other.join(60)
        assert processes.processes[killed].exitcode == -9
        assert other.exitcode not in (0, None), processes.texts()
        text = processes.texts()[1 - killed]
    assert "has lost another one, whose output says why it ended" in text
    assert "Traceback" not in text
    state = json.loads((tmp_path / "run/deepfm/state.json").read_text())
    assert state["epoch"] == 1

    with Workers(2, tmp_path, workers.command, tmp_path, *WORDS) as processes:
        assert processes.statuses() == [0, 0], processes.texts()
        assert "Resumed after epoch 1" in processes.texts()[0]

    ends = [folder / "run" / "deepfm" for folder in (trained[0], tmp_path)]
    assert workers.digest(ends[0]) == workers.digest(ends[1])
