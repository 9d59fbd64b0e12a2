"""JSON lines are trained on, and their broken lines named."""

import gzip
import json

import pytest

import deepfm_tf
from deepfm_tf.errors import UserError
from deepfm_tf.files import json_lines
from deepfm_tf.files.json_lines import json_blocks, json_keys
from deepfm_tf.files.readers import column_names


def write(path, *rows):
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def read(path, columns, block_bytes=None):
    rows, bad = [], []
    for block in json_blocks(path, block_bytes):
        table, wrong = block.read(columns)
        rows += table.to_pylist()
        bad += [(row.line, row.column) for row in wrong]
    return rows, bad


def test_training_reads_json_lines_as_it_reads_csv(tmp_path):
    rows = [
        {"device": 7, "tags": ["a", "b"], "is_new": True, "click": 1},
        {"device": 8, "tags": [], "is_new": False, "click": 0},
        {"tags": None, "is_new": True, "click": 0, "more": {"x": 1}},
    ]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("\n\n".join(map(json.dumps, rows)))
    (tmp_path / "a.csv").write_text(
        "device,tags,is_new,click\n7,a|b,True,1\n8,,False,0\n,,True,0\n"
    )
    schema = deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("device", min_count=1),
            deepfm_tf.MultiValuedField("tags", min_count=1, max_length=2),
        ),
        "click",
    )
    vocabulary = deepfm_tf.fit_vocabulary(tmp_path / "a.csv", schema)

    json_ids, csv_ids = (
        deepfm_tf.encode(tmp_path / name, vocabulary)["ids"].tolist()
        for name in ("a.jsonl.gz", "a.csv")
    )

    assert json_ids == csv_ids
    found = deepfm_tf.fit_vocabulary(tmp_path / "a.jsonl.gz", schema)
    assert found.values["device"].tolist() == ["7", "8"]


def test_rows_and_columns_are_the_same_for_any_block(tmp_path):
    rows = [{"a": n, "b": "x" * (n % 5)} for n in range(40)]
    rows[30]["c"] = 1
    path = write(tmp_path / "r.ndjson", *rows)

    for block_bytes in (1, 50, None):
        assert read(path, ["a", "b"], block_bytes) == (
            [{"a": row["a"], "b": row["b"]} for row in rows],
            [],
        )
    assert json_keys(path) == column_names(path) == ["a", "b", "c"]


def test_broken_lines_are_named_and_the_others_read(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        {"a": 1},
        "",
        '{"a": ',
        "[1]",
        {"a": {"b": 1}},
        r'{"a": "\ud800"}',
        r'{"a": "\ud83d\ude00"}',
        '{"b": 2}',
    )

    (block,) = json_blocks(path)
    table, bad = block.read(["a"])

    # Objects are none of the columns' values, halves of characters no text.
    assert [row.line for row in bad] == [3, 4, 5, 6]
    assert [row.column for row in bad] == ["", "", "a", ""]
    assert table.num_rows == 3
    assert block.locate([2]) == [(8, '{"b": 2}')]


def test_values_of_several_types_are_texts_by_the_one_rule(tmp_path):
    values = [7, 7.0, True, "x", None, 0.5, 2**70, [1, "b"]]
    path = write(tmp_path / "r.jsonl", *({"a": v} for v in values[:-1]))
    lists = write(tmp_path / "l.jsonl", *({"a": v} for v in values[-1:]))

    (found, _), (in_lists, _) = read(path, ["a"]), read(lists, ["a"])

    assert [row["a"] for row in found] == [
        *("7", "7", "True", "x", None, "0.5", "1180591620717411303424")
    ]
    assert in_lists == [{"a": ["1", "b"]}]


@pytest.mark.parametrize(
    ("kind", "values", "bad"),
    [
        (
            "CategoricalField",
            ["x", ["x", "y"], None],
            r"\['x', 'y'\] is a list",
        ),
        (
            "CategoricalField",
            [7, ["y"], 8],
            r"\['y'\] is a list, not one value",
        ),
        ("NumericField", [1.5, [2.5], 3], r"'\[2.5\]' is not a finite number"),
        ("MultiValuedField", ["x", ["x", "y"], None], None),
    ],
)
def test_a_list_among_single_values_is_a_bad_row(kind, values, bad, tmp_path):
    rows = [{"a": v, "b": v, "click": 1} for v in values]
    path = write(tmp_path / "r.jsonl", *rows)
    least = {} if kind == "NumericField" else {"min_count": 1}
    field = getattr(deepfm_tf, kind)("a", **least)
    schema = deepfm_tf.Schema((field,), "click")

    if bad is None:
        vocabulary = deepfm_tf.fit_vocabulary(path, schema)
        assert vocabulary.values["a"].tolist() == ["x", "y"]
        return
    with pytest.raises(UserError, match=f"line 2, column 'a': {bad}"):
        deepfm_tf.fit_vocabulary(path, schema)
    vocabulary = deepfm_tf.fit_vocabulary(path, schema, on_error="skip")
    assert vocabulary.statistics["a"]["rows"] == 2


def test_a_bad_value_names_its_line(tmp_path):
    path = write(
        tmp_path / "r.jsonl",
        *({"n": 1, "click": 1}, {"n": "oops", "click": 0}),
    )
    schema = deepfm_tf.Schema((deepfm_tf.NumericField("n"),), "click")

    with pytest.raises(UserError, match="r.jsonl, line 2, column 'n': 'oops'"):
        deepfm_tf.fit_vocabulary(path, schema)
    with pytest.raises(UserError, match="must be text files"):
        data = {"n": [1, 2], "click": [1, 0]}
        vocabulary = deepfm_tf.fit_vocabulary(data, schema)
        deepfm_tf.dataset_from_text(path, vocabulary)


@pytest.mark.parametrize("text", ['[{"a": 1}]', '{\n "a": 1\n}', "a,b\n1,2"])
def test_json_in_one_piece_is_told(tmp_path, text):
    path = write(tmp_path / "r.json", text)

    with pytest.raises(UserError, match=r"r.json, line 1: .*lines=True"):
        column_names(path)


def test_a_line_without_end_and_json_called_csv_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 8)
    path = write(tmp_path / "r.jsonl", {"a": "x" * 40})
    named_csv = write(tmp_path / "r.csv", {"a": 1, "click": 0})

    with pytest.raises(UserError, match="line 1: a line must be shorter than"):
        read(path, ["a"])
    with pytest.raises(UserError, match="its name must end in .jsonl"):
        deepfm_tf.fit_vocabulary(
            named_csv,
            deepfm_tf.Schema((deepfm_tf.CategoricalField("a"),), "click"),
        )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (deepfm_tf.CategoricalField, ("x", 1e20, 7)),
        (deepfm_tf.MultiValuedField, (["x", None], [1e20, "y"], [7])),
        (deepfm_tf.MultiValuedField, ("x", [1e20, "y"], [7, "x"])),
        (deepfm_tf.MultiValuedField, ("x", 1e20, ["x"], [7, None])),
    ],
)
def test_a_value_without_a_text_costs_its_own_row_alone(tmp_path, kind, values):
    path = write(
        tmp_path / "r.jsonl", *({"a": value, "click": 1} for value in values)
    )
    field = kind("a", min_count=1)
    schema = deepfm_tf.Schema((field,), "click")

    vocabulary = deepfm_tf.fit_vocabulary(path, schema, on_error="skip")

    assert sorted(vocabulary.values["a"]) == ["7", "x"]
    with pytest.raises(UserError, match=r"line 2, column 'a': 1e\+20 is a"):
        deepfm_tf.fit_vocabulary(path, schema)
