"""Experiments on a small file: what the options do, and what is said."""

import argparse
import errno
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf import shell
from deepfm_tf.experiment.command_line import CommandLine, main
from deepfm_tf.experiment.export import export
from deepfm_tf.experiment.fitting import training as learning
from deepfm_tf.experiment.results import calibrate
from deepfm_tf.experiment.run import begin, run
from deepfm_tf.experiment.run_folder.files import run_folder
from pipelines import tabular
from tests.conftest import make_log, unchecked


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_clicks(directory):
    frame = make_log(800).drop(
        columns=["user", "ad2", "tags", "genres", "count"]
    )
    frame.to_csv(directory / "clicks.csv", index=False)
    return directory / "clicks.csv"


@pytest.fixture
def clicks(tmp_path):
    return write_clicks(tmp_path)


# One batch an epoch: each other size of a batch is traced and compiled anew.
SMALL = ["--epochs", "1", "--batch-size", "1024"]
OWN = ["--train", "clicks.csv", "--label", "clicked", *SMALL]
# For tests of what is around the model: the one that is traced the fastest.
QUICK = ["--model", "logistic_regression"]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """Where an own file went all the way, what came of it, what was said."""
    directory = tmp_path_factory.mktemp("own")
    write_clicks(directory)
    outcomes, out = [], io.StringIO()
    with pytest.MonkeyPatch.context() as patch, unchecked():
        patch.chdir(directory)
        patch.setattr(sys, "stdout", out)
        status = main(
            tabular.RECIPE,
            [*OWN, "--epochs", "2", "--model", "logistic_regression,deepfm"]
            + ["--hidden-units", "4", "--warm-up-rows", "1"]
            + ["--export", "saved_models/clicks"]
            + ["--report", "out/report.json", "--explain", "--reduce-lr"],
            lambda settings: outcomes.append(run(settings)),
        )
    assert status == 0
    return directory, outcomes[0], out.getvalue()


@pytest.fixture
def finished(finished_run, tmp_path):
    """A copy of that directory, and the test is in it."""
    return shutil.copytree(finished_run[0], tmp_path, dirs_exist_ok=True)


def test_an_own_file_goes_all_the_way(finished_run):
    directory, _, out = finished_run
    report = json.loads((directory / "out" / "report.json").read_text())
    assert "each a random tenth of its rows (seed 1)" in out
    card = directory / "saved_models/clicks/1/assets.extra/model_card.json"
    assert "site" in json.loads(card.read_text())["explain"]["fields"]
    assert sum(part["rows"] for part in report["data"].values()) == 800
    assert [m["model"] for m in report["models"]] == [
        "logistic_regression",
        "deepfm",
    ]
    for result in report["models"]:
        assert set(result) == {
            *("model", "preset", "parameters", "seconds"),
            *("examples_per_second", "epochs", "best_epoch", "history"),
            *("test", "seed", "curve", "reliability"),
            *(("strengths",) if "fm" in result["model"] else ()),
        }
        assert {"auc", "log_loss", "rows"} < set(result["test"])
        assert len(result["history"]["loss"]) == 2
        assert "learning_rate" in result["history"]  # as of --reduce-lr
        first, second = result["history"]["val_log_loss"]
        # Half of the labels are 1: of log 2, a ten-thousandth is no gain.
        gains = first - second > 0.69e-4
        assert result["best_epoch"] == 1 + gains
    assert {"tensorflow", "keras"} <= set(report["versions"])
    command = shell.command_line("python", "-m", "pipelines.tabular", "--train")
    assert report["command"].startswith(command)
    version = "saved_models/clicks/1"
    look = shell.command_line("saved_model_cli", "show", "--dir", version)
    assert look in out


def test_it_ends_with_the_verdict_and_what_to_type_next(finished_run):
    _, _, out = finished_run
    serve = shell.command_line("deepfm-tf", "serve", "--model_name=clicks")
    improve = shell.command_line("python", "-m", "pipelines.tabular")

    places = [
        out.index(text)
        for text in (
            *("Epoch 2/2", "test log loss", "on the test data is"),
            *("Look at it with:", f"Serve it with:\n    {serve}"),
            f"To try more presets on the same data:\n    {improve} --train",
        )
    ]

    assert places == sorted(places)
    assert " --model_base_path=saved_models/clicks --rest_api_port" in out
    *_, last = out.strip().split("\n")
    assert " --auto" in last and "-auto --prepared" in last
    assert " --hidden-units 4 " in last
    assert ", the best on the validation data (log_loss), to" in out


@pytest.mark.filterwarnings("ignore:An isotonic calibration needs")
def test_the_options_of_an_export_reach_it(finished, finished_run, capsys):
    outcome = finished_run[1]
    model, result = outcome.models["deepfm"], dict(outcome.results[1])
    for number in ("1", "2"):
        version = finished / "models" / number
        version.mkdir(parents=True)
        (version / "saved_model.pb").touch()
    settings = settings_of(
        *("--model", "deepfm", "--context-fields", "site,price"),
        *("--export", "models", "--keep-versions", "2"),
        *("--table-dtype", "bfloat16", "--calibration", "isotonic"),
        *("--warm-up-rows", "1", "--prune-untrained"),
    )
    rows = deepfm_tf.evaluation.predict_with_weights(
        model, outcome.data["test"].dataset(1024)
    )

    calibration, result["calibration"] = calibrate(
        settings, model, outcome.data, result, rows
    )
    with unchecked():
        path = export(settings, model, outcome.data, result, calibration)

    out = capsys.readouterr().out
    card = json.loads((path / "assets.extra/model_card.json").read_text())
    assert sorted(p.name for p in path.parent.iterdir()) == ["2", "3"]
    assert card["context_fields"] == ["site", "price"]
    assert "rank" in card["signatures"]
    calibrated = result["calibration"]["test"]
    before = {"before_calibration": result["test"]}
    assert card["metrics"] == calibrated | before
    for name in ("method", "parameters", "rows"):
        assert card["calibration"][name] == result["calibration"][name]
    assert card["calibration"]["rows"] == outcome.data["valid"].num_rows
    change = card["table"]["log_loss"] - card["table"]["log_loss_change"]
    assert change == pytest.approx(calibrated["log_loss"], abs=1e-6)
    assert card["training_data"]["fingerprint"]
    assert card["table"]["rows"] == outcome.data["test"].num_rows
    assert "With its table in bfloat16 the test log loss is 0." in out
    assert re.search(r"All \d+ rows of its table were trained", out)
    assert "to models/3 in " in out


def test_the_inferred_schema_can_be_edited_and_given_back(finished, capsys):
    path = finished / "runs" / "tabular" / "schema.json"
    schema = json.loads(path.read_text())
    schema["fields"] = [f for f in schema["fields"] if f["name"] == "site"]
    path.write_text(json.dumps(schema))

    assert main(tabular.RECIPE, [*OWN, "--schema", str(path)], begin) == 0
    assert "1 categorical fields" in capsys.readouterr().out
    both = [*OWN, "--schema", str(path), "--categorical", "site"]
    assert main(tabular.RECIPE, both) == 2
    assert "Leave it out with --schema" in capsys.readouterr().err


def test_what_needs_no_data_is_told_before_any_work(clicks, capsys):
    path = clicks.parent / "numbers.json"
    path.symlink_to("/dev/null")

    for options, message in (
        (["--test", "clicks.csv", "nope.csv"], "--test: There is no file nope"),
        (["--report", "numbers.html"], "numbers.json: is no regular file"),
        (["--export", "a/b", "--run", "/proc/x"], "--run /proc/x: cannot be"),
        (["--schema", "."], "--schema: "),
        (["--slice-by", "site"], "--slice-by must come with --report"),
    ):
        assert main(tabular.RECIPE, [*OWN, *options]) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert not captured.out
    assert sorted(p.name for p in clicks.parent.iterdir()) == [
        *("clicks.csv", "numbers.json"),
    ]


def test_a_second_run_in_one_folder_is_refused_at_once(clicks, capsys):
    with run_folder(Path("runs/tabular")):
        (clicks.parent / "runs" / "tabular" / "mine").touch()
        status = main(tabular.RECIPE, OWN)

    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert "--run runs/tabular is in use by another run (pro" in captured.err
    left = (clicks.parent / "runs" / "tabular").iterdir()
    assert [path.name for path in left] == ["mine"]


def test_a_full_disk_is_told_with_what_to_do(clicks, capsys, monkeypatch):
    def export(*_):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    result = {"model": "logistic_regression", "parameters": 9, "epochs": 1}
    result |= {"preset": "default"}
    result |= {
        "seconds": 1.0,
        "best_epoch": 1,
        "history": {"val_log_loss": [1]},
    }
    result |= {"test": {"auc": 0.5, "log_loss": 0.7, "mean_label": 0.5}}
    rows = (np.array([0.0, 1.0]), np.array([0.5, 0.5]), None)
    trained = (None, result, rows)
    monkeypatch.setattr("deepfm_tf.experiment.run.train", lambda *_: trained)
    monkeypatch.setattr("deepfm_tf.experiment.run.export", export)

    status = main(tabular.RECIPE, [*OWN, *QUICK, "--export", "my models"])

    error = capsys.readouterr().err
    assert status == 2
    assert (
        "error: my models could not be written: No space left on device. "
        "Make room there. Or give another path with --export. Nothing is "
        "trained again:"
    ) in error
    words = shlex.split(error.splitlines()[-1])
    assert words[1:3] == ["-m", "pipelines.tabular"]
    assert words[-3:] == ["--export", "my models", "--resume"]


def test_an_interrupted_run_says_how_to_resume_and_does(
    clicks, capsys, monkeypatch
):
    from deepfm_tf.experiment import run as experiment

    arguments = ["--train", "clicks.csv", "--label", "clicked", *QUICK]
    arguments += ["--epochs", "2", "--batch-size", "1024", "--patience", "9"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            experiment.deepfm_tf.evaluation, "predict_with_weights", interrupt
        )
        stopped = main(tabular.RECIPE, arguments)
    message = capsys.readouterr().err
    arguments[arguments.index("2")] = "3"
    resumed = main(tabular.RECIPE, [*arguments, "--resume"])

    assert (stopped, resumed) == (130, 0)
    assert "--resume" in message
    out = capsys.readouterr().out
    assert "Resumed after epoch 2" in out
    run = clicks.parent / "runs" / "tabular" / "logistic_regression"
    assert json.loads((run / "state.json").read_text())["epoch"] == 3


def settings_of(*options):
    """Those of a recipe with these options."""
    return CommandLine(tabular.RECIPE).settings([*OWN, *options])


def run_with(*options):
    """The outcome of a recipe with these options."""
    outcomes = []
    status = main(
        tabular.RECIPE,
        [*OWN, *options],
        lambda settings: outcomes.append(run(settings)),
    )
    assert status == 0
    return outcomes[0]


BENCHMARK = [
    *("--batch-norm", "--embedding-init", "normal", "--clip-norm", "9"),
    *("--embedding-l2", "0.05", "--hidden-units", "4"),
    *("--activation", "tanh"),
]
TABLE = ("--l2-mode", "table")


def test_the_benchmarks_options_reach_the_model(finished_run):
    settings = settings_of(*BENCHMARK, *TABLE)
    train = finished_run[1].data["train"]

    logistic, deepfm = (
        learning.build(settings, name, train)
        for name in ("logistic_regression", "deepfm")
    )

    for model in (logistic, deepfm):
        penalty = model.embedding_layer.embeddings_regularizer
        assert penalty.l2 == pytest.approx(0.025)
        assert model.optimizer.batch_l2 is None
        assert model.optimizer.global_clipnorm == 9.0
    assert deepfm.batch_normalization
    assert deepfm.activation == "tanh"
    assert deepfm.hidden_units == (4,)
    assert deepfm.shared_embedding.embeddings_initializer.stddev == 1e-4


def test_vectors_of_a_file_are_where_training_starts(
    finished_run, tmp_path, capsys
):
    vectors = pd.DataFrame(
        {"value": ["s 1", "s 9"], "vector": [[1.0] * 10] * 2}
    )
    vectors.to_parquet(tmp_path / "site.parquet")
    settings = settings_of(
        *OWN,
        *("--embeddings", f"site={tmp_path / 'site.parquet'}"),
        *("--freeze-embeddings", "site"),
    )
    train = finished_run[1].data["train"]

    model = learning.build(settings, "deepfm", train)

    found = deepfm_tf.models.embeddings_of(
        model, "site", train.vocabulary, ["s 1", "s 2"]
    )
    assert found.vectors[0].tolist() == [1.0] * 10
    assert found.vectors[1].tolist() != [1.0] * 10
    assert model.freeze_embeddings == ("site",)
    assert "'site': 1 of 4 values received" in capsys.readouterr().out
    before = settings.fingerprint({"train": train})
    vectors.head(1).to_parquet(tmp_path / "site.parquet")
    assert settings.fingerprint({"train": train}) != before


def test_auto_needs_the_length_of_given_vectors(clicks, capsys):
    vectors = pd.DataFrame({"value": ["s 1"], "vector": [[1.0, 2.0]]})
    vectors.to_parquet("site.parquet")
    given = [*OWN, "--auto", "--embeddings", "site=site.parquet"]

    assert main(tabular.RECIPE, given) == 2
    assert "Give it with --embedding-dim" in capsys.readouterr().err


def test_files_of_vectors_are_looked_for_before_any_work(clicks, capsys):
    given = ["--embeddings", "site=none.parquet"]

    assert main(tabular.RECIPE, [*OWN, *given]) == 2
    assert re.search("--embeddings: .*none.parquet", capsys.readouterr().err)


def test_l2_of_a_batch_and_bfloat16_reach_the_model(clicks, finished_run):
    settings = settings_of(
        *(*BENCHMARK, "--l2-mode", "batch", "--precision", "mixed_bfloat16")
    )
    asked = learning.build(settings, "deepfm", begin(settings)[1]["train"])

    assert asked.embedding_layer.embeddings_regularizer is None
    assert asked.optimizer.batch_l2 == 0.05
    # The pyramid alone is for bfloat16, and only if asked for.
    plain = finished_run[1].models["deepfm"]
    assert asked.dense_pyramid.dtype_policy.name == "mixed_bfloat16"
    assert asked.shared_embedding.dtype_policy.name == "float32"
    assert plain.dense_pyramid.dtype_policy.name == "float32"
    assert plain.shared_embedding.dtype_policy.name == "float32"
    # That of the next model is its own affair.
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ((), "deepfm", "float32"),  # 128-64
        (("--preset", "strong"), "deepfm", "mixed_bfloat16"),  # 256-128
        (("--preset", "strong"), "fm", "float32"),
        (("--hidden-units", "400,30"), "deepfm", "mixed_bfloat16"),
        (("--hidden-units", "30,400"), "deepfm", "float32"),
    ],
)
def test_auto_takes_the_precision_for_the_layers_that_there_are(
    options, name, expected, clicks, finished_run, monkeypatch, capsys
):
    monkeypatch.setattr("deepfm_tf.training.has_bfloat16", lambda: True)
    settings = settings_of(*OWN, "--precision", "auto", *options)

    model = learning.build(settings, name, finished_run[1].data["train"])

    assert model.dtype_policy.name == expected
    assert f"Precision of training: {expected}\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def finished_weighted_run(tmp_path_factory):
    """Weights, sampled negatives and evaluation inside an epoch, in one."""
    directory = tmp_path_factory.mktemp("weighted")
    path = write_clicks(directory)
    frame = pd.read_csv(path)
    frame["importance"] = np.where(frame["clicked"] == 1, 3.0, 1.0)
    frame.to_csv(path, index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        outcome = run_with(
            *("--example-weight", "importance", "--negative-sampling", "0.25"),
            *("--evaluate-every", "2", "--batch-size", "160", "--epochs", "2"),
            *("--model", "logistic_regression"),
        )
    return directory, outcome


@pytest.fixture
def weighted_run(finished_weighted_run, monkeypatch):
    """Its outcome, and the test is where its prepared data are."""
    monkeypatch.chdir(finished_weighted_run[0])
    return finished_weighted_run[1]


def test_example_weights_are_no_field_and_count(weighted_run):
    train, test = weighted_run.data["train"], weighted_run.data["test"]
    assert train.schema.example_weight == "importance"
    assert "importance" not in [field.name for field in train.schema.fields]
    share = test.num_positives / test.num_rows
    metrics = weighted_run.results[0]["test"]
    assert metrics["mean_label"] == pytest.approx(3 * share / (1 + 2 * share))


def test_sampled_negatives_are_corrected_for(weighted_run):
    train, test = weighted_run.data["train"], weighted_run.data["test"]
    assert train.negative_sampling == 0.25
    assert test.negative_sampling == 1.0
    assert train.num_positives > 0.7 * train.num_rows
    assert 0.3 < test.num_positives / test.num_rows < 0.7
    assert weighted_run.models["logistic_regression"].negative_sampling == 0.25


def test_evaluation_inside_an_epoch_keeps_the_best(weighted_run):
    # Three steps; two epochs of them are one evaluation each two steps.
    assert 320 < weighted_run.data["train"].num_rows <= 480
    result, model = (
        weighted_run.results[0],
        weighted_run.models["logistic_regression"],
    )
    losses = result["history"]["val_log_loss"]
    assert len(losses) == 3
    assert model.optimizer.iterations == 6
    assert result["epochs"] == 2.0
    valid = weighted_run.data["valid"].dataset()
    loss = deepfm_tf.evaluate(model, valid)["log_loss"]
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_a_run_stopped_inside_an_epoch_sees_the_rest_of_it(clicks):
    schema = deepfm_tf.infer_schema("clicks.csv", "clicked")
    data = deepfm_tf.prepare("clicks.csv", "prepared", schema=schema)

    def batches(settings, first, count):
        strategy = deepfm_tf.create_strategy()
        dataset, _ = learning.training_data(
            settings, preset, data, first, strategy
        )
        return [label.numpy() for _, label in dataset.take(count)]

    settings = argparse.Namespace(seed=3, epochs=3, evaluate_every=4)
    preset = deepfm_tf.Preset(model="DeepFM", batch_size=120)
    # 7 steps in an epoch: the second stretch runs over its end.
    assert learning.num_steps(preset, data) == 7
    whole = batches(settings, 0, 16)
    rest = batches(settings, 1, 12)

    for expected, received in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(received, expected)


def test_all_epochs_are_one_data_set_each_in_its_order(clicks):
    schema = deepfm_tf.infer_schema("clicks.csv", "clicked")
    data = deepfm_tf.prepare("clicks.csv", "prepared", schema=schema)
    settings = argparse.Namespace(seed=3, epochs=3, evaluate_every=None)
    preset = deepfm_tf.Preset(model="DeepFM", batch_size=300)

    strategy = deepfm_tf.create_strategy()
    dataset, stretch = learning.training_data(
        *(settings, preset, data, 1, strategy)
    )
    often = deepfm_tf.Preset(model="DeepFM", batch_size=100, evaluations=3)
    _, stretches = learning.training_data(settings, often, data, 0, strategy)

    # Two batches of 300, and the 200 rows that are left.
    assert stretch == {"epochs": 3, "steps_per_epoch": 3}
    # A third of 8 steps is 2, of which 24 have 12.
    assert stretches == {"epochs": 12, "steps_per_epoch": 2}
    epochs = [
        data.dataset(300, shuffle=True, seed=3, first_epoch=epoch)
        for epoch in (1, 2)
    ]
    expected = [label.numpy() for each in epochs for _, label in each]
    received = [label.numpy() for _, label in dataset.take(6)]
    for one, other in zip(expected, received, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--embedding-l2", "1", "--l2-mode", "batch"]
            + ["--optimizer", "adam"],
            "which rows a batch touches",
        ),
        (["--evaluate-every", "999"], "nothing would be evaluated"),
        (
            ["--embedding-l2", "1", "--optimizer", "adam"],
            "give --l2-mode table. To penalize only the rows of each",
        ),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(
    clicks, capsys, monkeypatch, options, message
):
    monkeypatch.setattr(learning, "LARGE_TABLE", 10)

    assert main(tabular.RECIPE, [*OWN, *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("finished")
def test_the_file_of_a_run_has_its_fingerprint(finished_run):
    words = ["--config", "runs/tabular/run.toml"]

    again = CommandLine(tabular.RECIPE).settings(words)

    assert (again.reduce_lr, again.epochs) == (True, 2)
    for name in ("logistic_regression", "deepfm"):
        trained = Path("runs/tabular", name, "settings.txt").read_text()
        assert again.fingerprint(finished_run[1].data) == trained


@pytest.mark.usefixtures("finished")
def test_resuming_with_other_options_is_refused(capsys):
    kept = Path("runs/tabular/run.toml").read_text(encoding="utf-8")

    status = main(tabular.RECIPE, [*OWN, "--resume", "--seed", "2"])

    assert status == 2
    assert Path("runs/tabular/run.toml").read_text(encoding="utf-8") == kept
    assert "What differs: --seed 2 (was 1), " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "clickd"], "no column 'clickd'. Did you mean 'clicked'?"),
        (["--label", "clicked", "--schema", "no.json"], "No such file"),
        (["--label", "site"], "the label must be 0"),
        (["--label", "clicked", "--test", "no.csv"], "--test: There is no fil"),
        (["--label", "clicked", "--export", "clicks.csv"], "is a file. Name a"),
        (["--label", "clicked", "--run", "clicks.csv"], "--run clicks.csv: is"),
        (["--label", "clicked", "--prepared", "/proc/x"], "cannot be written"),
        (["--label", "clicked", "--report", "clicks.csv"], "end in .html or"),
        (["--label", "clicked", "--l2-mode", "batch"], "Give --embedding-l2"),
        (
            ["--label", "clicked", "--dropout", "0.3", "--model", "fm"],
            "--dropout is an option of deepfm, wide_and_deep, nfm only. "
            "Received: --model fm.",
        ),
        (
            ["--label", "clicked", "--export", "m", "--context-fields", "sit"],
            "no column 'sit'. Did you mean 'site'?",
        ),
        (
            ["--label", "clicked", "--keep-versions", "2"],
            "--keep-versions must come with --export",
        ),
        (["--label", "clicked", "--explain"], "--explain must come with --exp"),
        (
            ["--label", "clicked", "--warm-up-rows", "1,64"],
            "--warm-up-rows must come with --export",
        ),
        (
            ["--label", "clicked", "--export", "m", "--no-rank-warm-up"],
            "--no-rank-warm-up must come with --context-fields",
        ),
        (
            ["--label", "clicked", "--export", "m", "--explain"]
            + ["--table-dtype", "float16"],
            "Leave one of the two out",
        ),
        (
            ["--label", "clicked", "--calibration", "platt"],
            "--calibration must come with --export",
        ),
        (
            ["--label", "clicked", "--export", "m", "--context-fields"]
            + ["site,ad,price,age"],
            "must leave at least one field to the candidates",
        ),
        (
            ["--label", "clicked", "--split-by-time", "site"],
            "or pass --on-error skip to leave such rows out.",
        ),
        (
            ["--label", "clicked", "--categorical", "ad", "--ignore", "ad,age"],
            "--categorical and --ignore must not name the same column",
        ),
    ],
)
def test_mistakes_in_the_data_are_one_sentence(
    clicks, capsys, arguments, message
):
    status = main(tabular.RECIPE, ["--train", "clicks.csv", *arguments])

    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "deepmf"], "'deepmf' is not a model. Allowed"),
        (["--hidden-units", "30;20"], "widths separated by commas"),
        (["--embeddings", "site"], "must be FIELD=FILE"),
        (["--dropout", "1"], "from 0 to below 1"),
        (["--epochs", "0"], "a whole number of at least 1"),
        (["--learning-rate", "-1"], "must be a positive number"),
        (["--negative-sampling", "0"], "above 0 and up to 1"),
        (["--no-header"], "go together"),
        (["--separator", "abc"], "must be one character"),
        (["--keep-versions", "0"], "a whole number of at least 1"),
        (["--table-dtype", "int8"], "invalid choice: 'int8'"),
        (["--calibration", "sigmoid"], "invalid choice: 'sigmoid'"),
        (["--optimizer", "adamm"], "invalid choice: 'adamm'"),
        (["--seed", "-1"], "from 0 to 4294967295, not '-1'"),
        (["--seed", "4294967296"], "from 0 to 4294967295"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(capsys, arguments, message):
    with pytest.raises(SystemExit):
        main(
            tabular.RECIPE,
            ["--train", "a.csv", "--label", "y", *arguments],
        )

    assert message in capsys.readouterr().err


def test_a_training_that_diverges_ends_in_one_line(clicks, capsys):
    rate = ["--learning-rate", "1e30", "--optimizer", "adam"]

    status = main(tabular.RECIPE, [*OWN, "--model", "fm", *rate])

    error = capsys.readouterr().err
    assert status == 2
    assert "has diverged. Lower the learning rate (--learning-rate)" in error
    assert len(error.splitlines()) == 1
