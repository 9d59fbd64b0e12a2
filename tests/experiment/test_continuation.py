"""A run that goes on with the model of an earlier one."""

import argparse
import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.experiment.command_line import CommandLine, main
from deepfm_tf.experiment.fitting import progressive, training as learning
from deepfm_tf.experiment.run import begin
from pipelines import tabular
from tests.conftest import make_log, unchecked

pytestmark = pytest.mark.filterwarnings("ignore:.*is ill-defined")
YESTERDAY = "runs/yesterday/logistic_regression"
TODAY = ["--train", "today.csv", "--run", "runs/today"]


def write_days():
    for number, name in enumerate(("yesterday.csv", "today.csv")):
        log = make_log(600, seed=number)[["site", "ad", "price", "clicked"]]
        if number:
            log.loc[::4, "site"] = "new"
        log.to_csv(name, index=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Where a model was trained on one day, and then on the next."""
    directory = tmp_path_factory.mktemp("days")
    with pytest.MonkeyPatch.context() as patch, unchecked():
        patch.chdir(directory)
        write_days()
        first = ["--train", "yesterday.csv", "--label", "clicked"]
        first += ["--model", "logistic_regression", "--epochs", "1"]
        first += ["--batch-size", "512", "--warm-up-rows", "1"]
        first += ["--run", "runs/yesterday", "--learning-rate", "0.02"]
        assert main(tabular.RECIPE, [*first, "--export", "models/clicks"]) == 0
        second = ["--continue-from", YESTERDAY, "--report", "today.json"]
        assert main(tabular.RECIPE, [*TODAY, *second]) == 0
    return directory


@pytest.fixture(autouse=True)
def there(finished, monkeypatch):
    monkeypatch.chdir(finished)


def settings_of(*words):
    return CommandLine(tabular.RECIPE).settings([*TODAY, *words])


def test_a_further_day_needs_its_files_alone(finished):
    settings = settings_of("--continue-from", YESTERDAY)

    assert settings.model == ("logistic_regression",)
    assert (settings.label, settings.learning_rate) == ("clicked", 0.02)
    assert str(settings.export) == "models/clicks"
    assert settings.train == ["today.csv"]
    assert (settings.valid, settings.report) == (None, None)
    versions = sorted(p.name for p in (finished / "models/clicks").iterdir())
    assert versions == ["1", "2"]


def test_what_is_typed_and_decides_the_training_alone_wins():
    settings = settings_of(
        "--continue-from", YESTERDAY, "--learning-rate", "0.5", "--epochs", "3"
    )

    assert (settings.learning_rate, settings.epochs) == (0.5, 3)


def test_the_next_version_knows_the_new_values(finished):
    before, after = (
        deepfm_tf.Vocabulary.load(finished / "models/clicks" / number)
        for number in "12"
    )

    known = before.values["site"].tolist()
    assert after.values["site"].tolist() == [*known, "new"]
    run = finished / "runs" / "today" / "logistic_regression"
    model, _ = deepfm_tf.load_checkpoint(run, best=True)
    # One step on each of the two days.
    assert int(model.optimizer.iterations) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)


def test_new_rows_are_predicted_before_they_are_learnt_from(finished):
    (result,) = json.loads((finished / "today.json").read_text())["models"]
    vocabulary = deepfm_tf.Vocabulary.load(finished / "models/clicks/1")
    model = deepfm_tf.grow_model(finished / "models/clicks/1", vocabulary)
    # As text: pandas would make 0 of an id "000".
    today = pd.read_csv("today.csv", dtype=str, keep_default_na=False)
    packed = deepfm_tf.encode(today, vocabulary)
    p = np.asarray(model(packed, training=False)["probability"])[:, 0]
    label = today["clicked"].astype(int).to_numpy()

    found = result["before"]["all"]

    # Yesterday's model, with yesterday's vocabulary.
    expected = -np.log(np.where(label == 1, p, 1 - p)).mean()
    assert found["rows"] == 600
    assert found["log_loss"] == pytest.approx(expected, rel=1e-5)
    assert result["before"]["test"]["rows"] == result["test"]["rows"]


def test_negatives_that_were_left_out_count_before_training(
    finished, monkeypatch
):
    from deepfm_tf.experiment.fitting import progressive

    label = np.array([0, 1], "float32")
    odds = np.array([0.25, 0.5], "float32")
    part = deepfm_tf.PreparedData.load("runs/today/prepared/test")
    part.negative_sampling = 0.5
    monkeypatch.setattr(
        "deepfm_tf.evaluation.predict_with_weights",
        lambda *_: (label, odds, None),
    )
    settings = settings_of("--continue-from", YESTERDAY)

    found = progressive.before_training(
        settings, None, {"test": part}, finished / "sampled"
    )

    # The one negative stands for two.
    expected = -(2 * np.log(0.75) + np.log(0.5)) / 3
    assert found["all"]["log_loss"] == pytest.approx(expected, rel=1e-6)


def test_an_export_is_gone_on_with_and_told_to_have_no_optimizer(capsys):
    words = ("--continue-from", "models/clicks/1", "--optimizer", "lazy_ftrl")
    settings = settings_of(*words)
    train = deepfm_tf.PreparedData.load("runs/today/prepared/train")

    model = learning.build(settings, "logistic_regression", train)

    assert settings.label == "clicked"
    assert str(settings.export) == "models/clicks"
    assert type(model.optimizer).__name__ == "LazyFTRL"
    assert int(model.optimizer.iterations) == 0
    rows, before = (
        sum(s.vocabulary_sizes)
        for s in (train.schema, settings.origin.vocabulary.schema)
    )
    assert model.embedding_layer.embeddings.shape[0] == rows
    out = capsys.readouterr().out
    assert f"models/clicks/1: {rows} table rows, before {before}" in out
    assert "Its optimizer state and its counts" in out


def test_rare_values_can_be_let_go_first():
    train = deepfm_tf.PreparedData.load("runs/yesterday/prepared/train")
    ids = np.concatenate([x["ids"] for x, _ in train.dataset(512)])
    ids, counts = np.unique(ids[:, 1], return_counts=True)
    least = int(np.median(counts)) + 1
    words = ("--continue-from", YESTERDAY, "--evict-below", str(least))

    left = settings_of(*words).extends.values["ad"].tolist()

    values = train.vocabulary.values["ad"]
    assert left == values[ids[counts >= least] - 2].tolist()  # OOV, missing
    assert 0 < len(left) < len(values)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--run", "runs/yesterday"], "--run runs/yesterday is the folder of"),
        (["--train", "yesterday.csv"], "of a run of --train today.csv --conti"),
        (["--prepared", "runs/yesterday/prepared"], "--prepared runs/yester"),
        (["--optimizer", "adam"], "What differs: --optimizer adam (was lazy_"),
        (["--model", "fm"], "What differs: --model fm (was logistic_regr"),
        (["--negative-sampling", "0.5"], "--negative-sampling 0.5 (was 1)"),
        (["--ignore", "ad"], "--ignore decides the fields, but --continue-"),
        (
            ["--label", "ad"],
            "--label must be clicked, as in the model of --continue-from",
        ),
        (["--schema", "other.json"], "without 'ad', 'price'; new 'os'"),
        (["--auto"], "--auto trains new models, but --continue-from"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_what_another_day_cannot_change_is_refused(words, told, capsys):
    fields = tuple(deepfm_tf.CategoricalField(name) for name in ("site", "os"))
    deepfm_tf.Schema(fields, "clicked").save("other.json")

    status = main(
        tabular.RECIPE, [*TODAY, "--continue-from", YESTERDAY, *words]
    )

    assert status == 2
    assert told in capsys.readouterr().err


def test_where_there_is_no_model_it_is_said(finished, tmp_path, capsys):
    shutil.copytree(YESTERDAY, tmp_path / "run" / "bare")
    without = shutil.copytree("runs/yesterday", tmp_path / "without")
    (file,) = without.glob("logistic_regression/model-*.json")
    config = json.loads(file.read_text()) | {"compile_config": None}
    file.write_text(json.dumps(config))
    # As versions before 0.11 wrote it.
    earlier = shutil.copytree(without, tmp_path / "earlier")
    file = earlier / file.relative_to(without)
    with zipfile.ZipFile(file.with_suffix(".keras"), "w") as archive:
        archive.write(file, "config.json")
    state = file.with_name("state.json")
    state.write_text(state.read_text().replace(file.name, file.stem + ".keras"))
    file.unlink()

    lost = shutil.copytree("runs/yesterday", tmp_path / "lost")
    (lost / "logistic_regression" / "epoch-0001.npz").unlink()
    for path, told in (
        (lost, "epoch-0001.npz is missing, which holds weights"),
        ("runs/nope", "there is no such folder. Name that of a model"),
        ("runs", f"one of these: .*, {YESTERDAY}"),
        (tmp_path / "run", "there is no run.toml in .*/run, which says how"),
        (without, "model-0001.json holds no optimizer state"),
        (earlier, "model-0001.keras holds no optimizer state"),
        ("models/clicks", "must name one version. Give the newest, .*/2"),
        ("models", "there must be one model to continue. Received: a fol"),
    ):
        with pytest.raises(SystemExit):
            settings_of("--continue-from", str(path))
        assert re.search(told, capsys.readouterr().err), path


@pytest.mark.parametrize(("after", "is_worse"), [(0.56, True), (0.54, False)])
def test_a_day_that_made_the_model_worse_is_told(after, is_worse):
    settings = argparse.Namespace(continue_from="runs/a/fm")
    before = {"all": {"log_loss": 0.5, "rows": 9}, "test": {"log_loss": 0.55}}
    result = {"model": "fm", "before": before, "test": {"log_loss": after}}

    assert ("It is worse" in progressive.told(settings, result)) is is_worse


def test_several_workers_do_not_go_on_with_a_model(monkeypatch, capsys):
    cluster = {"worker": ["a:1", "b:2"]}
    task = {"type": "worker", "index": 0}
    text = json.dumps({"cluster": cluster, "task": task})
    monkeypatch.setenv("TF_CONFIG", text)

    assert main(tabular.RECIPE, [*TODAY, "--continue-from", YESTERDAY]) == 2

    told = " ".join(capsys.readouterr().err.split())
    assert "trains on one host, but TF_CONFIG names 2 workers" in told


def test_options_of_going_on_need_a_model_and_a_training(capsys):
    words = ["--train", "today.csv", "--label", "clicked", "--run", "runs/x"]

    assert main(tabular.RECIPE, [*words, "--evict-unseen", "3"]) == 2
    assert "--evict-unseen must come with" in capsys.readouterr().err
    compare = [*words, "--continue-from", YESTERDAY]
    assert main(tabular.RECIPE, compare, command="compare") == 2
    assert "cannot be combined with a comparison" in capsys.readouterr().err


def test_a_day_is_trained_on_once(finished, capsys):
    digests = [
        hashlib.blake2b((finished / name).read_bytes(), digest_size=16)
        for name in ("yesterday.csv", "today.csv")
    ]
    card = Path("models/clicks/2/assets.extra/model_card.json").read_text()
    words = ["--train", "today.csv", "--run", "runs/again"]

    status = main(
        tabular.RECIPE, [*words, "--continue-from", "models/clicks/2"], begin
    )

    assert json.loads(card)["training_data"]["files"] == [
        digest.hexdigest() for digest in digests
    ]
    assert status == 2
    assert "--train must have a file that the mo" in capsys.readouterr().err
    assert not Path("runs/again/prepared/train").exists()


def test_a_vocabulary_that_is_another_one_is_told_before_any_work(
    finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished / "runs/yesterday", "runs/yesterday")
    shutil.copy(finished / "today.csv", "today.csv")
    # As if other data had been prepared in their place.
    folder = Path("runs/yesterday/prepared/train/vocabulary")
    shutil.rmtree(folder)
    today = finished / "runs/today/prepared/train/vocabulary"
    shutil.copytree(today, folder)

    status = main(tabular.RECIPE, [*TODAY, "--continue-from", YESTERDAY], begin)

    assert status == 2
    told = "must hold the vocabulary that the model was trained with"
    assert told in capsys.readouterr().err
    assert not Path("runs/today").exists()


def test_a_column_that_is_gone_is_told_before_any_work(capsys):
    log = make_log(60)[["site", "price", "clicked"]]
    log.to_csv("less.csv", index=False)
    words = ["--train", "less.csv", "--run", "runs/less"]

    status = main(tabular.RECIPE, [*words, "--continue-from", YESTERDAY], begin)

    assert status == 2
    assert "less.csv has no column 'ad'" in capsys.readouterr().err
