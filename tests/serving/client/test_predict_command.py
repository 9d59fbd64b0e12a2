"""`deepfm-tf predict`: its command line; files of rows and back."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from google.protobuf import text_format

from deepfm_tf.files.formats import format_of
from deepfm_tf.files.writers import row_writer
from deepfm_tf.serving.client import predict_command
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server, message_type
from tests.serving.localhost_tls import CERTIFICATE, KEY
from tests.serving.toy_model import COLUMNS, expected_ctr

MANY = {name: values * 100 for name, values in COLUMNS.items()}


@pytest.fixture
def rows(tmp_path):
    """A file of the toy's rows."""
    lines = [COLUMNS, *zip(*COLUMNS.values(), strict=True)]
    text = "".join(",".join(map(str, line)) + "\n" for line in lines)
    (tmp_path / "rows.csv").write_text(text)
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=nope.csv"], "error: There is no file nope.csv"),
        (["--input=rows.xlsx"], "error: "),
        (["--input={rows}", "--separator=;"], "needs the columns"),
        (["--input=arrow.csv"], "arrow.csv must be text .* is an Arrow"),
        (["--input={rows}", "--signature=x"], "has no signature 'x'"),
        (
            ["--input={rows}", "--signature=classify"],
            "must be one that takes columns. Received: 'classify', which takes "
            "serialized .* The model has these: 'serving_default'.$",
        ),
        (["--input={rows}", "--model_card={rows}"], "names no columns of it"),
        (["--input={rows}", "--model_card=no.json"], "No such file.*no.json"),
        (["--input={rows}", "--outputs=ctr,odds"], "odds"),
        (
            ["--input={rows}", "--model_version=9"],
            "Without --model_version.*Specific\\(toy, 9\\)",
        ),
        (["--input={rows}", "--output=x.doc"], "must be CSV"),
        (
            ["--input={rows}", "--address=localhost:1"],
            "No server answers at .* TLS, --ssl_root_certificates",
        ),
        (
            ["--input={rows}", "--timeout=1e-6"],
            "^error: localhost:.* within 1e-06 seconds. Set a longer "
            "--timeout, or send fewer rows at a time .--max_rows.",
        ),
        (["--input={rows}", "--address=localhost"], "address must be host:por"),
        (["--input={rows}", "--ssl_root_certificates={rows}"], "certificates"),
    ],
)
def test_mistakes_are_told_in_words(
    run_predict, rows, monkeypatch, arguments, message
):
    monkeypatch.chdir(rows.parent)
    (rows.parent / "arrow.csv").write_bytes(b"ARROW1")

    status, out, err = run_predict(*[a.format(rows=rows) for a in arguments])

    assert status == 1
    assert out == ""
    with pytest.raises(ValueError, match=message):
        raise ValueError(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout=-1"], "--timeout: must be seconds, more than 0. .*'-1'"),
        (["--timeout=inf"], "--timeout: must be seconds, more than 0"),
        (["--timeout=soon"], "--timeout: must be seconds.*'soon'"),
        (["--max_rows=2.5"], "--max_rows: must be a positive whole number"),
        (["--max_rows=0"], "--max_rows: must be a positive whole number"),
        (["--no-header"], "--no-header and --columns A,B,C must come tog"),
        (["--separator=ab"], "--separator must be one character"),
        (["--ssl_client_key=k"], "_certificate and --ssl_client_key must come"),
        (["--inptu=y.csv"], "There is no option --inptu. Did you mean --inp"),
        (["--model-nam=m"], "option --model-nam. Did you mean --model_name?"),
    ],
)
def test_a_wrong_command_line_is_told(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        predict_command.main(["--input=x.csv", *arguments])

    assert caught.value.code == 2
    with pytest.raises(ValueError, match=message):
        raise ValueError(capsys.readouterr().err)


def test_a_server_that_verifies_its_clients_is_shown_a_certificate(
    toy_path, tmp_path, rows, capsys
):
    for name, text in {"root.pem": CERTIFICATE, "key.pem": KEY}.items():
        (tmp_path / name).write_text(text)
    config = message_type("SSLConfig")(
        server_key=KEY,
        server_cert=CERTIFICATE,
        custom_ca=CERTIFICATE,
        client_verify=True,
    )
    (tmp_path / "tls").write_text(text_format.MessageToString(config))
    given = Options(
        port=0,
        model_name="toy",
        model_base_path=str(toy_path.parent),
        ssl_config_file=str(tmp_path / "tls"),
    )
    with Server(given) as server:
        known = [
            f"--address=localhost:{server.port}",
            "--model_name=toy",
            f"--input={rows}",
            f"--ssl_root_certificates={tmp_path}/root.pem",
        ]
        shown = [
            f"--ssl_client_certificate={tmp_path}/root.pem",
            f"--ssl_client_key={tmp_path}/key.pem",
        ]

        assert predict_command.main([*known, *shown]) == 0
        assert predict_command.main(known) == 1

    assert (
        "(and --ssl_client_certificate where it asks" in capsys.readouterr().err
    )


@pytest.mark.slow_process
def test_what_needs_no_data_is_said_without_numpy():
    code = """
import contextlib, sys
from deepfm_tf.serving.client import predict_command
heavy = {"numpy", "pandas", "pyarrow", "tensorflow"}
for argument in ("--help", "--input=nope.csv"):
    with contextlib.suppress(SystemExit):
        predict_command.main([argument])
    if found := sorted(heavy & set(sys.modules)):
        sys.exit(f"{argument}: {found}")
"""

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60
    )

    assert done.returncode == 0, done.stderr


def write(path, columns):
    with row_writer(path, format_of(path)) as writer:
        writer(pa.table(columns))
    return path


@pytest.mark.parametrize("name", ["r.csv", "r.tsv.gz", "r.parquet", "r.jsonl"])
def test_scores_are_printed_behind_the_rows(run_predict, tmp_path, name):
    path = write(tmp_path / name, {"id": ["007", "8", "9"], **COLUMNS})

    status, out, err = run_predict("--input", path)

    assert (status, err) == (0, "")
    rows = list(csv.DictReader(out.splitlines()))
    assert [row["id"] for row in rows] == ["007", "8", "9"]
    assert list(rows[0]) == ["id", *COLUMNS, "ctr"]
    assert [float(row["ctr"]) for row in rows] == pytest.approx(
        expected_ctr(COLUMNS), rel=1e-6
    )


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_file_is_scored_in_blocks(run_predict, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(predict_command, "BLOCK_BYTES", 500)
    path = write(tmp_path / "rows.csv", MANY)
    output = tmp_path / f"scores.{kind}"

    status, out, err = run_predict("--input", path, "--output", output)

    assert (status, out) == (0, "")
    assert "300 rows scored: " in err
    if kind == "parquet":
        scores = pa.parquet.read_table(output)["ctr"].to_pylist()
    else:
        lines = map(json.loads, output.read_text().splitlines())
        scores = [line["ctr"] for line in lines]
    assert scores == pytest.approx(expected_ctr(MANY), rel=1e-6)


def test_a_missing_column_is_named_and_nothing_written(run_predict, tmp_path):
    columns = {("N1" if n == "n1" else n): v for n, v in COLUMNS.items()}
    path = write(tmp_path / "rows.csv", columns)

    status, _, err = run_predict(
        "--input", path, "--output", tmp_path / "out.csv"
    )

    assert status == 1
    assert "rows 1 to 3: The model needs the columns 'n1'" in err
    assert "Did you mean 'N1'?" in err
    assert not (tmp_path / "out.csv").exists()


def test_an_output_called_like_a_column_gets_a_free_name(run_predict, tmp_path):
    taken = {"ctr": [1, 2, 3], "predicted_ctr": [4, 5, 6]}
    path = write(tmp_path / "rows.csv", {**COLUMNS, **taken})

    status, out, _ = run_predict("--input", path)

    assert status == 0
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0]) == [*COLUMNS, *taken, "predicted_predicted_ctr"]
    assert [row["ctr"] for row in rows] == ["1", "2", "3"]
    scores = [float(row["predicted_predicted_ctr"]) for row in rows]
    assert scores == pytest.approx(expected_ctr(COLUMNS), rel=1e-6)


def test_a_later_key_called_like_the_output_is_told(
    run_predict, tmp_path, monkeypatch
):
    monkeypatch.setattr(predict_command, "BLOCK_BYTES", 50)
    rows = pa.table(COLUMNS).to_pylist()
    rows[2]["ctr"] = 1
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))

    status, _, err = run_predict("--input", tmp_path / "r.jsonl")

    assert status == 1
    assert "must have the key 'ctr' if later ones have it" in err


def test_the_layout_and_marks_of_missing_values_are_those_of_training(
    run_predict, tmp_path
):
    rows = pa.table(COLUMNS).to_pylist()
    lines = [";".join(map(str, row.values())) for row in rows]
    lines[0] = lines[0].replace("a;", "?;", 1)
    (tmp_path / "rows").write_text("\n".join(lines))
    as_csv = write(
        tmp_path / "rows.csv",
        {**COLUMNS, "c0": ["" if c == "a" else c for c in COLUMNS["c0"]]},
    )

    status, out, _ = run_predict(
        *("--input", tmp_path / "rows", "--separator", ";", "--no-header"),
        *("--columns", ",".join(COLUMNS), "--missing", "?", "NA"),
    )
    _, right, _ = run_predict("--input", as_csv)

    assert status == 0
    scores = [row["ctr"] for row in csv.DictReader(out.splitlines())]
    assert scores == [r["ctr"] for r in csv.DictReader(right.splitlines())]
    assert out.splitlines()[1].startswith("?;".replace(";", ","))


def test_a_header_alone_gives_a_header(run_predict, tmp_path):
    (tmp_path / "rows.csv").write_text(",".join(COLUMNS) + "\n")

    status, out, _ = run_predict(
        "--input", tmp_path / "rows.csv", "--outputs=ctr"
    )

    assert status == 0
    assert out == ",".join([*COLUMNS, "ctr"]) + "\n"


@pytest.mark.parametrize("max_rows", [1, 2, 3])
def test_max_rows_cuts_requests(run_predict, tmp_path, toy_server, max_rows):
    def served():
        counts = re.findall(
            'serving:request_count{.*"toy".* (.*)',
            toy_server.metrics.text().decode(),
        )
        return sum(map(float, counts))

    path = write(tmp_path / "rows.csv", COLUMNS)
    before = served()

    run_predict("--input", path, f"--max_rows={max_rows}")

    assert served() - before == {1: 3, 2: 2, 3: 1}[max_rows]


CARD = {"explain": {"fields": ["c0", "n1"], "pairs": [["c0", "n1"]]}}


def test_the_card_of_a_model_is_that_of_its_newest_version(tmp_path):
    with pytest.raises(ValueError, match="--model_card must be.*none is"):
        predict_command.names_of_card(str(tmp_path))
    for number in ("2", "10", "old"):
        card = tmp_path / number / "assets.extra" / "model_card.json"
        card.parent.mkdir(parents=True)
        fields = {"fields": [f"of {number}"], "pairs": []}
        card.write_text(json.dumps({"explain": fields}))

    names = predict_command.names_of_card(str(tmp_path))

    assert names["contributions"] == ["of 10"]


def test_the_columns_of_explain_are_called_as_the_card_says(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    names = predict_command.names_of_card(tmp_path / "card.json")
    outputs = {
        "contributions": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "logit": np.array([5.0, 6.0]),
        "pairs": np.array([[7.0], [8.0]]),
    }

    named = predict_command.output_columns(outputs, names)
    numbered = predict_command.output_columns(outputs, {})

    assert {n: list(values) for n, values in named.items()} == {
        "contributions_c0": [1, 3],
        "contributions_n1": [2, 4],
        "logit": [5, 6],
        "pairs_c0 × n1": [7, 8],
    }
    assert list(numbered) == [
        *("contributions_0", "contributions_1"),
        *("logit", "pairs"),
    ]
    with pytest.raises(ValueError, match="names 2 columns.*which has 3"):
        predict_command.output_columns({"deep": np.zeros((1, 3))}, names)
