"""Files of rows and back, against the local server."""

import csv
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from deepfm_tf.files.formats import format_of
from deepfm_tf.files.writers import row_writer
from deepfm_tf.serving.client import predict_file
from deepfm_tf.serving.client.signature import Signature, TensorInfo
from deepfm_tf.serving.served_fields import ServedField, ServedFields
from tests.serving.toy_model import COLUMNS, expected_ctr

MANY = {name: values * 100 for name, values in COLUMNS.items()}


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


def test_a_file_is_scored_in_blocks(run_predict, tmp_path, monkeypatch):
    monkeypatch.setattr(predict_file, "BLOCK_BYTES", 500)
    path = write(tmp_path / "rows.csv", MANY)
    output = tmp_path / "scores.parquet"

    status, out, err = run_predict("--input", path, "--output", output)

    assert (status, out) == (0, "")
    assert "300 rows scored: " in err
    scores = pa.parquet.read_table(output)["ctr"].to_pylist()
    assert scores == pytest.approx(expected_ctr(MANY), rel=1e-6)


def test_json_lines_come_out_as_json_lines(run_predict, tmp_path):
    path = write(tmp_path / "rows.jsonl", COLUMNS)

    run_predict("--input", path, "--output", tmp_path / "scores.jsonl")

    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["ctr"] == pytest.approx(
        expected_ctr(COLUMNS)[0], rel=1e-6
    )


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
    assert list(rows[0]) == [*COLUMNS, *taken, "predicted_ctr_2"]
    assert [row["ctr"] for row in rows] == ["1", "2", "3"]
    assert [float(row["predicted_ctr_2"]) for row in rows] == pytest.approx(
        expected_ctr(COLUMNS), rel=1e-6
    )


def test_a_later_key_called_like_the_output_is_told(
    run_predict, tmp_path, monkeypatch
):
    monkeypatch.setattr(predict_file, "BLOCK_BYTES", 50)
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


TAKES = Signature(
    "",
    {
        "site": TensorInfo("string", (None,)),
        "price": TensorInfo("float32", (None,)),
        "tags": TensorInfo("string", (None,)),
    },
    {},
)
TOLD = ServedFields(
    (
        ServedField("site", "site"),
        ServedField("price €", "price"),
        ServedField("tags", "tags", separator="|"),
    )
)


@pytest.mark.parametrize(
    ("column", "values", "marks", "expected"),
    [
        # Blanks are part of a text, and not of a number.
        ("site", ["?", " ?", "a", None], ["?"], [None, " ?", "a", None]),
        ("price €", ["?", " ? ", "1.5", "cheap"], ["?"],
         [None, None, "1.5", "cheap"]),
        # A mark is a text or a number, as the column is for.
        ("site", [-1, 7, None], ["-1"], [None, 7, None]),
        ("site", [-1, 7], ["-1.0"], [-1, 7]),
        ("price €", [-1.0, 7.5], ["-1.0"], [None, 7.5]),
        ("price €", ["-1.0", "7"], ["-1"], [None, "7"]),
        ("tags", ["a|?|b", "?", "", None], ["?"], ["a|b", None, None, None]),
        ("tags", [["a", "?"], ["b"], []], ["?"], ["a", "b", None]),
        ("other", ["?"], ["?"], ["?"]),
    ],
)  # fmt: skip
def test_marks_of_missing_values_are_those_of_training(
    column, values, marks, expected
):
    block = pa.table({column: values})

    found = predict_file.without_marks(block, marks, TAKES, TOLD)

    assert found.column(column).to_pylist() == expected
    assert block.column(column).to_pylist() == values


@pytest.mark.parametrize("kind", ["plain", "large", "category"])
def test_marks_of_missing_values_are_found_however_text_is_stored(kind):
    texts = pa.array(["a", "?", "b"])
    column = {
        "plain": texts,
        "large": texts.cast(pa.large_string()),
        "category": texts.dictionary_encode(),
    }[kind]
    block = pa.table({"site": column})

    found = predict_file.without_marks(block, ["?"], TAKES, TOLD)

    assert found.column("site").to_pylist() == ["a", None, "b"]


def test_a_header_alone_gives_a_header(run_predict, tmp_path):
    (tmp_path / "rows.csv").write_text(",".join(COLUMNS) + "\n")

    status, out, _ = run_predict("--input", tmp_path / "rows.csv")

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


def test_a_signature_of_examples_is_told_from_those_of_columns(
    run_predict, tmp_path
):
    path = write(tmp_path / "rows.csv", COLUMNS)

    status, _, err = run_predict("--input", path, "--signature=classify")

    assert status == 1
    assert (
        "--signature must be one that takes columns. Received: 'classify', "
        "which takes serialized tf.train.Examples. The model has these: "
        "'serving_default'."
    ) in err


CARD = {"explain": {"fields": ["c0", "n1"], "pairs": [["c0", "n1"]]}}


def test_the_card_of_a_model_is_that_of_its_newest_version(tmp_path):
    for number in ("2", "10", "old"):
        card = tmp_path / number / "assets.extra" / "model_card.json"
        card.parent.mkdir(parents=True)
        fields = {"fields": [f"of {number}"], "pairs": []}
        card.write_text(json.dumps({"explain": fields}))

    names = predict_file.names_of_card(str(tmp_path))

    assert names["contributions"] == ["of 10"]


def test_a_directory_without_versions_has_no_card(tmp_path):
    with pytest.raises(ValueError, match="--model_card must be.*none is"):
        predict_file.names_of_card(str(tmp_path))


@pytest.mark.parametrize("with_card", [False, True])
def test_the_columns_of_explain_are_called_as_the_card_says(
    tmp_path, with_card
):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    names = predict_file.names_of_card(
        tmp_path / "card.json" if with_card else None
    )
    outputs = {
        "contributions": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "logit": np.array([5.0, 6.0]),
        "pairs": np.array([[7.0], [8.0]]),
    }

    columns = predict_file.output_columns(outputs, names)
    table = predict_file.append_columns(
        pa.table({"id": [1, 2]}), columns, list(columns)
    ).to_pydict()

    expected = {"id": [1, 2], "logit": [5, 6]}
    if with_card:
        expected |= {"contributions_c0": [1, 3], "contributions_n1": [2, 4]}
        expected |= {"pairs_c0 × n1": [7, 8]}
    else:
        expected |= {"contributions_0": [1, 3], "contributions_1": [2, 4]}
        expected |= {"pairs": [7, 8]}
    assert table == expected


def test_a_card_of_another_version_is_told(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    names = predict_file.names_of_card(tmp_path / "card.json")

    with pytest.raises(ValueError, match="names 2 columns.*which has 3"):
        predict_file.output_columns({"deep": np.zeros((1, 3))}, names)


def test_the_outputs_asked_for_are_written(run_predict, tmp_path):
    path = write(tmp_path / "rows.csv", COLUMNS)

    status, out, _ = run_predict("--input", path, "--outputs=ctr")

    assert status == 0
    assert out.splitlines()[0] == ",".join([*COLUMNS, "ctr"])
