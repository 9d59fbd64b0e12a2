"""The comparison from the command line, on a small file."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_limits

import deepfm_tf
from deepfm_tf.experiment import main, run as experiment
from deepfm_tf.experiment.options.commands import ORDER
from deepfm_tf.experiment.options.settings import ExportSettings
from deepfm_tf.experiment.studies import kept_runs as many_runs
from deepfm_tf.experiment.studies.compare import add_steps_to_reach, lead
from deepfm_tf.options import options_of
from deepfm_tf.shell import command_line
from pipelines.recipes import RECIPES
from tests.benchmarks import bench_reference
from tests.conftest import make_log
from tests.experiment.conftest import stop_and_resume
from tests.report.reports import blank_figures
from tests.report.test_html_report import read

ARGUMENTS = [
    *("--train", "clicks.csv", "--label", "clicked", "--epochs", "1"),
    *("--batch-size", "256", "--model", "fm,deepfm", "--slice-by", "site"),
    *("--curve-every", "2", "--hidden-units", "4"),
    *("--example-weight", "importance"),
]
pytestmark = pytest.mark.usefixtures("there")


def run_compare(words):
    return main(arguments=words, command="compare")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A comparison of two seeds, interrupted in its second run.

    Models with the second seed are not trained: they are those of the first.
    Returns its folder, and what was to be trained.
    """
    directory = tmp_path_factory.mktemp("compare")
    columns = ["site", "ad", "price", "clicked"]
    log = make_log(800)[columns].assign(importance=[1, 3] * 400)
    log.to_csv(directory / "clicks.csv", index=False)
    trained, kept = [], {}

    def train(settings, name, data, strategy, curve):
        trained.append((name, settings.seed))
        if len(trained) == 2:
            raise KeyboardInterrupt
        if settings.seed == 1:
            own = experiment.train(settings, name, data, strategy, curve)
            kept[name] = own, curve.points
        (model, result, rows), curve.points = kept[name]
        return model, dict(result), rows

    words = [*ARGUMENTS, "--seeds", "2"]
    stop_and_resume(lambda: run_compare(words), directory, (many_runs, train))
    return directory, trained


def test_finished_runs_are_not_trained_again(finished):
    _, trained = finished

    assert trained == [
        *(("fm", 1), ("deepfm", 1)),  # interrupted
        *(("deepfm", 1), ("fm", 2), ("deepfm", 2)),
    ]


def test_more_can_be_asked_for_and_nothing_is_trained_twice(
    monkeypatch, capsys
):
    monkeypatch.setattr(many_runs, "train", None)

    with blank_figures():
        status = run_compare([*ARGUMENTS, "--seeds", "1", "--report", "one"])

    out = capsys.readouterr().out
    assert status == 0
    assert out.count(": kept") == 2
    assert "±" not in (Path("one") / "table.md").read_text().split("\n\n")[0]


@pytest.mark.parametrize("option", ["--learning-rate=0.1", "--group-by=ad"])
def test_other_options_need_another_folder(option, capsys):
    kept = Path("runs/compare/run.toml").read_text(encoding="utf-8")

    status = run_compare([*ARGUMENTS, option])

    assert status == 2
    assert "holds runs on other data or with other" in capsys.readouterr().err
    assert Path("runs/compare/run.toml").read_text(encoding="utf-8") == kept
    assert "\nhidden_units = [4]\n" in kept


def test_the_report_has_everything(report):
    assert [(r["model"], r["seed"]) for r in report["models"]] == [
        *(("fm", 1), ("deepfm", 1), ("fm", 2), ("deepfm", 2)),
    ]
    for run in report["models"]:
        steps = [point["step"] for point in run["curve"]]
        assert steps == [2, 3]  # an epoch of 640 rows
        assert len(run["slices"]) == 4
        assert ("strengths" in run) == (run["seed"] == 1)
        last = run["history"]["val_log_loss"][-1]
        assert run["curve"][-1]["log_loss"] == last
    assert [(row["model"], row["seeds"]) for row in report["summary"]] == [
        *(("fm", 2), ("deepfm", 2), ("constant", 1)),
    ]
    assert [(c["model"], c["metric"]) for c in report["comparisons"]] == [
        ("deepfm", "auc"),
        ("deepfm", "log_loss"),
    ]
    assert report["reach"]["name"] == "fm's best"


def test_example_weights_count_wherever_rows_are_compared(finished, report):
    results = finished[0] / "runs" / "compare" / "results"
    label, weight = (np.load(results / f"{n}.npy") for n in ("label", "weight"))

    assert sorted(set(weight)) == [1.0, 3.0]
    for run in report["models"]:
        path = results / f"{run['model']}-seed-{run['seed']}.npy"
        rows = label, np.load(path), weight
        expected = deepfm_tf.metrics.binary_metrics(*rows)["log_loss"]
        assert run["test"]["log_loss"] == pytest.approx(expected)
        # A bin of the curve weighs what its rows do.
        assert sum(run["reliability"]["weight"]) == weight.sum()
    (losses,) = (c for c in report["comparisons"] if c["metric"] == "log_loss")
    runs = [r for r in report["models"] if r["model"] == "deepfm"]
    assert losses["first"] == pytest.approx(
        np.mean([run["test"]["log_loss"] for run in runs])
    )


def test_the_page_says_what_the_report_says(finished, report):
    folder = finished[0] / "runs" / "compare" / "report"
    reader = read((folder / "report.html").read_text(encoding="utf-8"))

    results = reader.tables[0]
    for row, entry in zip(results[1:], report["summary"], strict=True):
        assert row[0] == entry["model"]
        assert row[1].startswith(f"{entry['auc']['mean']:.4f}")
        assert ("±" in row[1]) == (entry["model"] != "constant")
    text = "".join(reader.text)
    for sentence in ("verdict", "lead", "command", "next_command"):
        assert report[sentence] in text
    assert report["findings"]
    table = (folder / "table.md").read_text(encoding="utf-8")
    for finding in report["findings"]:
        assert finding in text and finding in table
    assert report["comparisons"][0]["text"] in text
    assert {path.name for path in folder.iterdir()} == {
        *("report.html", "report.json", "table.md", "reliability.png"),
        *("learning_curve_auc.png", "learning_curve_log_loss.png"),
        *("field_strengths_fm.png", "field_strengths_deepfm.png"),
    }


def test_what_was_kept_is_small(finished):
    for pattern in ("epoch-*", "model-*"):
        assert not list(finished[0].rglob(pattern))


def test_the_next_command_trains_the_best_model_alone(report):
    command = report["next_command"]

    assert command.startswith(command_line("deepfm-tf", "train", "--train"))
    assert f" --model {report['best']} --hidden-units 4 " in command
    assert " --prepared runs/compare/prepared " in command
    assert "--seeds" not in command and "--slice-by" not in command
    # A folder of the data's own, not one that others have versions in.
    assert " --export saved_models/clicks " in command
    assert report["next_step"] == (
        f"train {report['best']} again, the best on the validation data, and "
        "export it"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "x"], "--export cannot be combined with a comparison"),
        (["--slice-by", "sight"], "sight"),
        (
            ["--context-fields", "site"],
            "--context-fields cannot be combined with",
        ),
        (["--calibration", "platt"], "--calibration cannot be combined with"),
        (["--report", "clicks.csv"], "--report clicks.csv: is a file. Name a"),
        (["--run", "clicks.csv"], "--run clicks.csv: is a file. Name a folder"),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    monkeypatch, capsys, arguments, message
):
    monkeypatch.setattr(many_runs, "train", None)

    status = run_compare([*ARGUMENTS, "--run", "other", *arguments])

    assert status == 2
    assert message in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *args: None,
    )

    status = run_compare(ARGUMENTS)

    assert status == 2
    assert "-m pip install matplotlib" in capsys.readouterr().err


def test_a_recipe_brings_its_own_options_and_defaults(capsys):
    with pytest.raises(SystemExit):
        main(
            arguments=["--recipe", "census", "--help"],
            command="compare",
            recipes=RECIPES,
        )

    text = capsys.readouterr().out
    assert "--min-count" in text and "--positive-label" not in text
    assert "--curve-every" in text and "--slice-by" in text
    told = " ".join(text.split())
    assert f"(default: {','.join(ORDER)})" in told
    for refused in (o.flag for o in options_of(ExportSettings).values()):
        assert refused not in text


@pytest.mark.long
def test_the_reference_benchmark_learns_from_the_same_rows(tmp_path):
    run = Path("runs") / "compare"
    data = bench_reference.read(run, tmp_path / "compare")
    # Few trees: what they learn is no concern of this test.
    grid = [{"max_iter": 2}, {"max_iter": 4, "max_leaf_nodes": 4}]

    # Threads that wait for each other take long on a machine with other work.
    with threadpool_limits(1):
        records = list(bench_reference.measure(run, 2, tmp_path, grid))
        record, probability = bench_reference.fit(data, grid[1], seed=1)

    label, weight = data.test.label, data.test.weight
    auc = roc_auc_score(label, probability, sample_weight=weight)
    loss = log_loss(label, probability, sample_weight=weight)
    parts = (data.train, data.valid, data.test)
    assert [len(part.label) for part in parts] == [627, 89, 84]
    assert [r["benchmark"] for r in records] == [
        *["reference grid"] * 2,
        *(["reference run"] * 2 + ["reference"]) * 2,
        *["reference comparison"] * 8,
    ]
    assert records[1]["test_auc"] == record["test_auc"]
    assert record["test_auc"] == pytest.approx(auc, abs=1e-6)
    assert record["test_log_loss"] == pytest.approx(loss, abs=1e-6)
    ours = records[8]
    assert (ours["model"], ours["baseline"]) == ("deepfm", "defaults")


def make_run(model, seed, losses, aucs=None):
    points = zip(losses, aucs or losses, strict=True)
    return {
        "model": model,
        "seed": seed,
        "curve": [
            {"step": 10 * n, "log_loss": loss, "auc": auc}
            for n, (loss, auc) in enumerate(points, 1)
        ],
    }


def test_steps_to_reach_fm_are_counted_seed_by_seed():
    runs = [
        make_run("fm", 1, [0.5, 0.4, 0.45]),
        make_run("fm", 2, [0.5, 0.45, 0.3]),
        make_run("deepfm", 1, [0.4, 0.2, 0.2]),
        make_run("deepfm", 2, [0.4, 0.35, 0.31]),
    ]

    reach = add_steps_to_reach(runs, "log_loss")

    assert [run["steps_to_reach"] for run in runs] == [20, 30, 10, None]
    assert reach == {
        "metric": "log_loss",
        "name": "fm's best",
        "value": pytest.approx(0.35),
    }


def test_a_higher_auc_is_nearer_to_the_mark():
    runs = [
        make_run("fm", 1, [1, 1], [0.7, 0.6]),
        make_run("deepfm", 1, [1, 1], [0.69, 0.71]),
    ]

    add_steps_to_reach(runs, "auc")

    assert [run["steps_to_reach"] for run in runs] == [10, 20]


def test_without_fm_there_is_no_mark():
    runs = [make_run("deepfm", 1, [0.4])]

    assert add_steps_to_reach(runs, "log_loss") is None
    assert "steps_to_reach" not in runs[0]


def make_report(reached):
    runs = {"mean": 20.0 if reached else None, "std": None, "reached": reached}
    fm = {"mean": 1000.0, "std": None, "reached": 2}
    return {
        "comparisons": [
            {"model": "deepfm", "metric": "auc", "text": "better by 0.1"},
            {"model": "deepfm", "metric": "log_loss", "text": "worse by 0.2"},
        ],
        "summary": [
            {"model": "fm", "steps_to_reach": fm, "seeds": 2},
            {"model": "deepfm", "steps_to_reach": runs, "seeds": 2},
        ],
        "reach": {"metric": "auc", "name": "fm's best", "value": 0.7},
    }


@pytest.mark.parametrize(
    ("reached", "ending"),
    [
        (2, "takes deepfm 20 training steps, fm 1,000."),
        (1, "deepfm 20 training steps, fm 1,000 (reached in 1 of 2 runs)."),
        (0, "deepfm does not reach fm's best validation AUC."),
    ],
)
def test_the_sentence_says_what_came_out(reached, ending):
    text = lead(make_report(reached), "deepfm", "nfm")

    assert text.startswith(
        "deepfm against nfm, the best other model on the validation data: "
        "AUC better by 0.1; log loss worse by 0.2."
    )
    assert text.endswith(ending)
