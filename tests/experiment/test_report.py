"""Reports of the recipes: JSON, and the page on request."""

import importlib.util
import io
import json
import math
import sys
import warnings

import pytest

from deepfm_tf.experiment import report
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.run import begin
from pipelines import tabular
from tests.conftest import make_log
from tests.report.reports import blank_figures
from tests.report.test_html_report import read

# Three whole batches of 627 rows: each other size is traced and compiled.
ARGUMENTS = [
    *("--train", "clicks.csv", "--label", "clicked", "--epochs", "1"),
    *("--batch-size", "209", "--model", "logistic_regression"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Where a page was written, and what was said."""
    directory = tmp_path_factory.mktemp("report")
    write_clicks(directory)
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        blank_figures(),
    ):
        warnings.filterwarnings("default", "An isotonic calibration needs")
        patch.chdir(directory)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        status = main(
            tabular.RECIPE,
            [*ARGUMENTS, "--report", "out/page.html", "--slice-by", "site"]
            + ["--calibration", "isotonic"],
        )
    assert status == 0
    return directory, out.getvalue(), err.getvalue()


def write_clicks(directory):
    path = directory / "clicks.csv"
    make_log(800)[["site", "ad", "clicked"]].to_csv(path, index=False)


@pytest.fixture(autouse=True)
def clicks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clicks(tmp_path)
    return tmp_path


@pytest.fixture
def no_extras(monkeypatch):
    find_spec = importlib.util.find_spec
    extras = ("matplotlib", "sklearn")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name in extras else find_spec(name, *a),
    )


def test_a_page_has_its_json_beside_it(finished):
    folder, out, err = finished
    content = json.loads((folder / "out" / "page.json").read_text())
    reader = read((folder / "out" / "page.html").read_text(encoding="utf-8"))
    (run,) = content["models"]
    assert [point["step"] for point in run["curve"]] == [3]
    assert run["curve"][0]["auc"] == run["history"]["val_auc"][0]
    assert len(run["slices"]) == 4
    assert sum(run["reliability"]["weight"]) == content["data"]["test"]["rows"]
    results, training, calibration, *slices = reader.tables
    after = run["calibration"]["test"]["log_loss"]
    assert calibration[1][:2] == ["logistic_regression", "isotonic"]
    assert calibration[1][2] == f"{run['test']['log_loss']:.5f} → {after:.5f}"
    assert results[1][:2] == [
        "logistic_regression",
        f"{run['test']['auc']:.4f}",
    ]
    # What is exported has its row, here and in the terminal.
    assert results[2][:3] == [
        "logistic_regression, isotonic",
        f"{run['calibration']['test']['auc']:.4f}",
        f"{after:.4f}",
    ]
    assert training[0] == [
        *("model", "epochs", "best epoch", "seconds", "parameters")
    ]
    assert training[1][:3] == ["logistic_regression", "1", "1"]
    assert slices[0][1][0] == f"site = {run['slices'][0]['value']}"
    assert slices[0][1][1] == str(run["slices"][0]["rows"])
    assert content["command"] in "".join(reader.text)
    assert "Page: out/page.html" in out
    (line,) = (
        x
        for x in out.splitlines()
        if x.startswith("logistic_regression, isotonic")
    )
    assert line.split()[:5] == [
        *("logistic_regression,", "isotonic"),
        *(
            f"{run['calibration']['test'][m]:.4f}"
            for m in ("auc", "log_loss", "normalized_entropy")
        ),
    ]
    assert "\nwarning: An isotonic calibration needs 1,000 rows" in f"\n{err}"
    assert "warnings.warn" not in err


def test_the_constant_and_what_to_know_are_told(finished):
    folder, out, _ = finished
    content = json.loads((folder / "out" / "page.json").read_text())
    reader = read((folder / "out" / "page.html").read_text(encoding="utf-8"))
    train, test = (content["data"][n] for n in ("train", "test"))
    rate = train["positives"] / train["rows"]
    share = test["positives"] / test["rows"]
    log_loss = -share * math.log(rate) - (1 - share) * math.log(1 - rate)

    *_, row = reader.tables[0]
    *_, line = (x for x in out.splitlines() if x.startswith("constant "))

    assert row[:3] == ["constant", "0.5000", f"{log_loss:.4f}"]
    assert line.split()[:3] == row[:3]
    assert float(line.split()[3]) == pytest.approx(1, abs=0.05)
    # Of 80 test rows, some are positive; one epoch is the last allowed.
    assert f"among {test['rows']} rows: logistic_regression's AUC" in out
    assert "was evaluated once" in out
    text = "".join(reader.text)
    for finding in content["findings"]:
        assert f"\n{finding}\n" in out and finding in text
    assert content["verdict"] in text.split("Results")[0]


def test_json_needs_no_matplotlib(clicks, finished, no_extras):
    results = json.loads((finished[0] / "out" / "page.json").read_text())

    def write(settings):
        data = begin(settings)[1]
        report.write_report(settings, data, results["models"], {})

    assert main(tabular.RECIPE, [*ARGUMENTS, "--report", "r.json"], write) == 0
    assert [path.name for path in clicks.glob("r.*")] == ["r.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "r.html"], "-m pip install matplotlib"),
        (["--slice-by", "site"], "--slice-by must come with --report"),
        (
            ["--report", "r.json", "--calibration", "platt"],
            "-m pip install scikit-learn",
        ),
        (["--report", "r.json", "--slice-by", "sight"], "'sight'"),
    ],
)
def test_what_a_report_lacks_is_said_before_training(
    clicks, no_extras, capsys, arguments, message
):
    status = main(tabular.RECIPE, [*ARGUMENTS, *arguments])

    assert status == 2
    assert message in capsys.readouterr().err
    assert not (clicks / "runs" / "tabular" / "logistic_regression").exists()


def test_undefined_numbers_are_null(tmp_path):
    report.write_json(tmp_path / "a" / "b.json", {"auc": [math.nan, 0.5]})

    text = (tmp_path / "a" / "b.json").read_text()
    assert json.loads(text) == {"auc": [None, 0.5]}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]
