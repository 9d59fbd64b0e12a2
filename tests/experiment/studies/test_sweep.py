"""The sweep from the command line, on a small file."""

import importlib.util
import re
import sys
import types

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.experiment import main, run as experiment
from deepfm_tf.experiment.studies import kept_runs as many_runs, sweep, trials
from deepfm_tf.shell import command_line
from tests.conftest import make_log
from tests.experiment.conftest import stop_and_resume
from tests.report.test_html_report import read

ARGUMENTS = [
    *("--train", "clicks.csv", "--label", "clicked", "--epochs", "1"),
    *("--batch-size", "256", "--seeds", "2", "--depths", "2"),
    *("--widths", "4,6", "--shapes", "pyramid,constant", "--dropouts", "0"),
    *("--activations", "tanh", "--embedding-dims", "2"),
]
BASE = "5-3, tanh, dropout 0, k 2"
# Widths and seed -> the validation log loss that a run pretends to have.
LOSSES = {
    ((5, 3), 1): 0.50,
    ((5, 3), 2): 0.52,
    ((8, 4), 1): 0.75,
    ((4, 4), 1): 0.49,
    ((6, 6), 1): 0.40,
    ((6, 6), 2): 0.43,
}
pytestmark = pytest.mark.usefixtures("there")


def run_sweep(words):
    return main(arguments=words, command="sweep")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep of one searched trial, interrupted in its third run.

    Only the first run trains; the others have its model, and losses that are
    known. Returns the folder, and what was to be trained.
    """
    directory = tmp_path_factory.mktemp("sweep")
    columns = ["site", "ad", "price", "clicked"]
    make_log(800)[columns].to_csv(directory / "clicks.csv", index=False)
    trained, models, rows = [], [], []

    def pretend(settings, curve):
        trained.append((settings.hidden_units, settings.seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        loss = LOSSES[trained[-1]]
        curve.points = [{"step": 3, "epoch": 1, "auc": 0.7, "log_loss": loss}]
        numbers = {"parameters": 100, "seconds": 1.0, "epochs": 1.0}
        history = {"val_log_loss": [loss]}
        result = {"model": "deepfm", "preset": "default", **numbers}
        return {**result, "history": history}

    def fit(settings, name, data, strategy, curve):
        return models[0], pretend(settings, curve)

    def train(settings, name, data, strategy, curve):
        if not models:
            model, _, own = experiment.train(
                settings, name, data, strategy, curve
            )
            models.append(model)
            rows.append(own)
        result = pretend(settings, curve)
        result["test"] = deepfm_tf.metrics.binary_metrics(*rows[0])
        return models[0], result, rows[0]

    words = [*ARGUMENTS, "--trials", "1"]
    stop_and_resume(
        lambda: run_sweep(words),
        directory,
        (trials, fit),
        (many_runs, train),
    )
    assert models[0].activation == "tanh"
    assert models[0].hidden_units == (5, 3)
    return directory, trained


def test_a_stopped_sweep_goes_on_where_it_was(finished):
    _, trained = finished

    assert trained == [
        *(((5, 3), 1), ((5, 3), 2)),  # the base
        ((8, 4), 1),  # width 6, interrupted
        *(((8, 4), 1), ((4, 4), 1)),  # width 6, shape constant
        ((6, 6), 1),  # all that is left to search
        *(((6, 6), 1), ((6, 6), 2)),  # the best, on the test data
    ]


def test_only_the_base_and_the_best_see_the_test_data(finished, report):
    folder = finished[0] / "runs" / "sweep" / "results"

    assert {path.stem for path in folder.glob("*.json")} == {
        *("tested-5-3_tanh_dropout-0_k-2-seed-1",),
        *("tested-5-3_tanh_dropout-0_k-2-seed-2",),
        *("trials-8-4_tanh_dropout-0_k-2-seed-1",),
        *("trials-4-4_tanh_dropout-0_k-2-seed-1",),
        *("trials-6-6_tanh_dropout-0_k-2-seed-1",),
        *("tested-6-6_tanh_dropout-0_k-2-seed-1",),
        *("tested-6-6_tanh_dropout-0_k-2-seed-2",),
    }
    assert [(run["model"], run["seed"]) for run in report["models"]] == [
        *(("base", 1), ("base", 2), ("best", 1), ("best", 2)),
    ]


def test_changes_are_measured_by_what_the_seed_does(report):
    base = report["structure"]["base"]

    assert (base["name"], base["values"]) == (BASE, [0.50, 0.52])
    np.testing.assert_allclose(base["mean"], 0.51)
    np.testing.assert_allclose(base["std"], 0.02 / np.sqrt(2))
    # 12.71: Student's t with one degree of freedom.
    margin = 12.71 * 0.02 / np.sqrt(2) * np.sqrt(1 + 1 / 2)
    np.testing.assert_allclose(base["margin"], margin)  # .2201
    rows = report["structure"]["changes"] + report["structure"]["searched"]
    np.testing.assert_allclose(
        [row["improvement"] for row in rows], [-0.24, 0.02, 0.11]
    )
    assert [(row.get("factor"), row["name"][:3]) for row in rows] == [
        *(("width", "8-4"), ("shape", "4-4"), (None, "6-6")),
    ]
    assert [row["beyond_seeds"] for row in rows] == [True, False, False]
    assert "1 of the 2 single changes goes beyond" in report["lead"]
    assert "width 6 (worse by 0.2400)" in report["lead"]
    assert "factor: width 0.2400, shape 0.0200." in report["lead"]
    assert " 3 structures besides the base were tried" in report["lead"]
    assert "The best on the validation data (6-6, tanh" in report["lead"]


def test_the_best_is_told_by_its_mean_too(finished, report):
    best = report["structure"]["best"]
    folder = finished[0] / "runs" / "sweep" / "report"
    table = (folder / "table.md").read_text(encoding="utf-8").splitlines()

    # .40 with the seed that made it the best, .43 with the other.
    assert best["values"] == [0.40, 0.43]
    np.testing.assert_allclose(best["improvement"], 0.51 - 0.415)
    assert "| 0.5100 ± 0.0141 |" in table[2]
    assert table[3].startswith("| best, over the seeds | 6-6, tanh, ")
    assert "| 0.4150 ± 0.0212 | better by 0.0950 |" in table[3]


def test_the_page_and_the_table_say_it_too(finished, report):
    folder = finished[0] / "runs" / "sweep" / "report"
    reader = read((folder / "report.html").read_text(encoding="utf-8"))
    table = (folder / "table.md").read_text(encoding="utf-8")

    text = "".join(reader.text)
    for sentence in ("verdict", "lead", "command", "next_command"):
        assert report[sentence] in text
    for entry in report["structure"]["changes"]:
        line = next(x for x in table.splitlines() if entry["name"] in x)
        assert f"| {entry['value']:.4f} |" in line
        assert entry["name"] in text
    plots = {path.name for path in folder.glob("structure_*.png")}
    assert plots == {f"structure_{name}.png" for name in ("width", "shape")}


def test_the_next_command_trains_what_the_test_data_speak_for(report):
    # All have the one model here, so that none is the better on the test data.
    assert report["recommended"] == "base"
    assert report["next_step"] == "train the base again and export it"
    assert report["next_command"] == (
        f"{command_line('deepfm-tf')} train "
        "--train clicks.csv --label clicked "
        "--prepared runs/sweep/prepared --export saved_models/clicks "
        "--model deepfm --embedding-dim 2 --hidden-units 5,3 --dropout 0 "
        "--activation tanh --batch-size 256 --epochs 1"
    )


def test_what_is_finished_is_not_trained_again(monkeypatch, capsys):
    monkeypatch.setattr(trials, "fit", None)
    monkeypatch.setattr(many_runs, "train", None)
    monkeypatch.setattr(sweep, "write_pages", lambda *_: "page")

    status = run_sweep([*ARGUMENTS, "--trials", "1", "--report", "again"])

    out = capsys.readouterr().out
    assert status == 0
    assert out.count(": kept") == 7
    # The final table, of the test data.
    (line,) = (x for x in out.splitlines() if x.startswith("constant "))
    assert line.split()[1] == "0.5000"
    assert "\nbase was evaluated once" in out


def test_other_values_need_another_folder(capsys):
    status = run_sweep([*ARGUMENTS, "--widths", "4,8"])

    assert status == 2
    assert "holds runs on other data or with other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "x"], "--export cannot be combined with a sweep"),
        (["--dropout", "0.2"], "values to try with --dropouts"),
        (["--hidden-units", "8"], "with --depths, --widths and --shapes"),
        (["--model", "fm"], "hidden layers of one model.*--model fm"),
        (["--model", "deepfm,nfm"], "hidden layers of one model"),
        (
            ["--widths", "1", "--depths", "4"],
            "too narrow for the shape pyramid",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    monkeypatch, capsys, arguments, message
):
    monkeypatch.setattr(sweep, "begin", None)

    status = run_sweep([*ARGUMENTS, "--run", "other", *arguments])

    assert status == 2
    text = capsys.readouterr().err
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shapes", "pyramid,cone"], "'cone' is not known. Allowed"),
        (["--activations", "reluu"], "'reluu' is not known. Allowed"),
        (["--depths", "2,0"], "whole number of at least 1, not '0'"),
        (["--seeds", "1"], "at least 2, not '1': one run does not"),
        (["--seeds", "0"], "at least 2, not '0': one run does not show"),
        (["--trials", "-1"], "a whole number of at least 0, not '-1'"),
    ],
)
def test_a_typo_is_explained(capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_sweep([*ARGUMENTS, *arguments])

    assert message in capsys.readouterr().err


def test_without_optuna_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None)

    status = run_sweep(ARGUMENTS)

    assert status == 2
    assert "-m pip install matplotlib optuna" in capsys.readouterr().err


def test_without_a_search_there_is_no_need_of_optuna(monkeypatch, capsys):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "optuna" else find_spec(name),
    )
    monkeypatch.setitem(sys.modules, "optuna", None)

    def begin(settings):
        assert sweep.search(settings, None, None) == []
        raise deepfm_tf.UserError("begun")

    monkeypatch.setattr(sweep, "begin", begin)

    assert run_sweep([*ARGUMENTS, "--trials", "0"]) == 2
    assert capsys.readouterr().err == "error: begun\n"


def make_trials(losses):
    """Trials that pretend to train: a hopeless one is stopped when told."""

    def run(what, structure, seed, is_hopeless=None):
        points, pruned = [], False
        for step, loss in enumerate(losses(structure), 1):
            points.append({"step": step, "log_loss": loss})
            if is_hopeless is not None and is_hopeless(step, loss):
                pruned = True
                break
        made.finished[structure.name] = {
            "curve": points,
            "pruned": pruned,
            "value": min(point["log_loss"] for point in points),
            "structure": sweep.dataclasses.asdict(structure),
        }
        return made.finished[structure.name]

    made = types.SimpleNamespace(finished={}, every=1, run=run)
    return made


VALUES = {
    "depth": (1, 2, 3),
    "width": (8, 16, 32),
    "shape": ("constant",),
    "activation": ("relu", "tanh"),
    "dropout": (0.0, 0.5),
    "embedding_dim": (4, 8),
}


def searched(losses, num_trials, values=VALUES):
    space = sweep.Space(values)
    settings = types.SimpleNamespace(
        monitor="log_loss", seed=1, trials=num_trials
    )
    made = make_trials(losses)
    made.run("base", space.base, 1)
    for _, changed in space.changes():
        made.run("change", changed, 1)
    return sweep.search(settings, space, made)


def test_the_search_prunes_what_is_worse_than_most():
    def losses(structure):
        bad = structure.activation == "tanh" or structure.dropout > 0
        return [0.9 if bad else 0.3] * 5

    runs = searched(losses, 12)

    pruned = [run for run in runs if run["pruned"]]
    assert pruned
    for run in pruned:
        # Two evaluations are granted to each.
        assert len(run["curve"]) == 2 and run["value"] == 0.9
    whole = [run for run in runs if not run["pruned"]]
    assert all(len(run["curve"]) == 5 for run in whole)


def test_the_search_is_the_same_each_time_and_proposes_new_structures():
    def losses(structure):
        return [1 / structure.width + structure.dropout] * 3

    first, again = (searched(losses, 8) for _ in range(2))
    longer = searched(losses, 11)

    assert first == again == longer[:8]
    structures = [tuple(run["structure"].values()) for run in longer]
    assert len(set(structures)) == 11


def test_a_single_layer_is_credited_to_no_shape():
    values = VALUES | {"shape": ("pyramid", "constant", "diamond")}

    runs = searched(lambda structure: [0.5], 12, values)

    found = {(r["structure"]["depth"], r["structure"]["shape"]) for r in runs}
    assert {shape for depth, shape in found if depth == 1} == {"pyramid"}
    assert {shape for depth, shape in found if depth == 2} <= {
        *("pyramid", "constant"),
    }


def test_the_search_ends_when_nothing_is_new(capsys):
    few = VALUES | {"width": (8,), "activation": ("relu",), "depth": (1, 2)}

    runs = searched(lambda structure: [0.5], 50, few)

    assert len(runs) == 2 * 2 * 2 - 4  # less the base and the changes
    assert "finds nothing new" in capsys.readouterr().out
