"""Files in every shape they come in, and what is said of bad rows."""

import csv
import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import deepfm_tf
from deepfm_tf.files import text
from deepfm_tf.files.readers import num_rows, read_blocks, read_rows
from deepfm_tf.files.text import TextFormat

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("a", min_count=1),
        deepfm_tf.NumericField("n", scaling="none"),
    ),
    "y",
)
ROWS = [("x", 1.5, 1), ("y", -2.0, 0), ("x", 3.0, 1)]
PLAIN = "a,n,y\nx,1.5,1\ny,-2,0\nx,3,1\n"


def read(source, text_format=None, **arguments):
    """Values of `a`, of `n`, and labels, by way of the public functions."""
    vocabulary = deepfm_tf.fit_vocabulary(
        source, SCHEMA, text_format=text_format, **arguments
    )
    dataset = deepfm_tf.dataset_from_memory(
        source, vocabulary, 64, text_format=text_format
    )
    names = ["OOV", "missing", *vocabulary.values["a"]]
    rows = []
    for inputs, label in dataset:
        for i, n, y in zip(
            inputs["ids"][:, 0],
            inputs["values"][:, 0],
            label[:, 0],
            strict=True,
        ):
            rows.append((names[int(i)], float(n), int(y)))
    return rows


@pytest.mark.parametrize(
    ("name", "content", "text_format"),
    [
        ("a.csv", PLAIN, None),
        ("a.csv", PLAIN.rstrip("\n"), None),
        ("a.csv", PLAIN.replace("\n", "\r\n"), None),
        ("a.csv", "\ufeff" + PLAIN, None),
        ("a.csv", PLAIN.replace("\n", "\n\n"), None),
        ("a.tsv", PLAIN.replace(",", "\t"), None),
        ("a.txt", PLAIN.replace(",", ";"), deepfm_tf.TextFormat(";")),
        ("a.csv", PLAIN.replace(",", ",  "), deepfm_tf.TextFormat(", ")),
        ("a.csv", "y,z,n,a\n1,,1.5,x\n0,,-2,y\n1,,3,x\n", None),
        (
            "a.csv",
            PLAIN[6:],
            deepfm_tf.TextFormat(column_names=("a", "n", "y")),
        ),
        ("a.csv", PLAIN.replace("x", '"x"'), None),
        ("a.csv", PLAIN.replace("1.5", " +15e-1 "), None),
    ],
)
def test_layouts_of_text_read_alike(tmp_path, name, content, text_format):
    path = tmp_path / name
    path.write_bytes(content.encode())

    assert read(path, text_format) == ROWS


def test_gzipped_parquet_frames_and_arrays_read_alike(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["a", "n", "y"])
    frame.to_parquet(tmp_path / "a.parquet")
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write(PLAIN)

    for source in (
        tmp_path / "a.parquet",
        tmp_path / "a.csv.gz",
        frame,
        frame.astype({"a": "category", "y": bool}),
        {name: frame[name].tolist() for name in frame},
    ):
        assert read(source) == ROWS


def test_many_files_are_read_in_order(tmp_path):
    (tmp_path / "1.csv").write_text("a,n,y\nx,1.5,1\ny,-2,0\n")
    (tmp_path / "2.csv").write_text("y,a,n\n1,x,3\n")

    assert read(str(tmp_path / "*.csv")) == ROWS
    assert read([tmp_path / "1.csv", tmp_path / "2.csv"]) == ROWS


def test_quoted_line_breaks_survive_block_borders(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    path = tmp_path / "a.csv"
    rows = [(f"a\n{i}, {'q' * (i % 7)}", str(i), i % 2) for i in range(50)]
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("a", "n", "y"), *rows])

    found = []
    for block in read_blocks(path, ["a", "n"]):
        table, bad = block.read(["a", "n"])
        assert not bad
        found += table.column("a").to_pylist()

    assert [value.decode() for value in found] == [row[0] for row in rows]


def test_without_quoting_a_quote_is_a_character(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,n,y\n"x,1.5,1\n"z,2,0\n')

    rows = read(path, deepfm_tf.TextFormat(quoting=False))

    assert [row[0] for row in rows] == ['"x', '"z']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,n,y\nx,1,1\n\nx,oops,0\n", "a.csv, line 4, column 'n': 'oops' is"),
        ("a,n,y\nx,1,1\nx,1\n", "a.csv, line 3: 3 values expected, 2 found"),
        ("a,n,y\nx,1,1\nx,inf,0\n", "line 3, column 'n': 'inf' is not a fin"),
        ("a,n,y\nx,1,1\nx,1,2\n", "line 3, column 'y': the label must be 0"),
        ("a,n,y\nx,1,\n", "line 2, column 'y'.*but is missing"),
        ('a,n,y\n"x\nz",1,1\nx,b,0\n', "line 4, column 'n': 'b' is not"),
    ],
)
def test_bad_rows_are_named_by_file_line_and_column(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)

    with pytest.raises(ValueError, match=message):
        read(path)


def test_text_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,n,y\nx,1,1\n\xff\xfe,1,0\n")

    with pytest.raises(ValueError, match="line 3, column 'a'.*not UTF-8"):
        read(path)


def test_bad_weights_are_named(tmp_path):
    schema = deepfm_tf.Schema(
        (deepfm_tf.MultiValuedField("a", weight_separator=":"),), "y"
    )

    with pytest.raises(ValueError, match="row 2, column 'a': a weight in 'b:x"):
        deepfm_tf.fit_vocabulary({"a": ["a:1", "b:x"], "y": [0, 1]}, schema)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.csv", b"", ValueError, "a.csv is empty"),
        ("a.csv", b"\na,n,y\n", ValueError, "first line is empty"),
        ("a.csv", b"a,n,y\n", ValueError, "at least one row"),
        ("a.csv", b"a,m,y\nx,1,1\n", ValueError, "no column 'n'"),
        ("a.csv", b"aa,n,y\nx,1,1\n", ValueError, "Did you mean 'aa'"),
        ("a.csv", b"a;n;y\nx;1;1\n", ValueError, "set the separator"),
        ("a.csv", b"a,n,n,y\nx,1,1,1\n", ValueError, "2 columns named 'n'"),
        (
            "a.csv.gz",
            gzip.compress(b"a,n,y\n" * 99, mtime=0)[:-9],
            ValueError,
            "cut",
        ),
        ("a.parquet", b"PAR1 half", ValueError, "not a whole Parquet file"),
    ],
)
def test_unusable_files_are_refused_in_plain_words(
    tmp_path, name, content, error, message
):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(error, match=message):
        read(path)


def test_a_misspelt_file_name_suggests_the_right_one(tmp_path):
    (tmp_path / "train.csv").write_text(PLAIN)

    with pytest.raises(FileNotFoundError, match="Did you mean .*train.csv"):
        read(tmp_path / "trian.csv")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ([], ValueError, "at least one file"),
        ([3], TypeError, "must be a file name"),
        ({"a": ["x"], "n": [1, 2], "y": [1]}, ValueError, "of one length"),
    ],
)
def test_sources_that_are_none_are_refused(source, error, message):
    with pytest.raises(error, match=message):
        read(source)


@pytest.mark.parametrize("separator", ["", "ab", "\n", '"'])
def test_separators_that_cannot_be_are_refused(separator):
    with pytest.raises(ValueError, match="`separator` must be one character"):
        deepfm_tf.TextFormat(separator)


def test_lists_in_parquet_are_multi_valued(tmp_path):
    frame = pd.DataFrame({"a": [["x", "y"], []], "y": [0, 1]})
    frame.to_parquet(tmp_path / "a.parquet")
    field = deepfm_tf.MultiValuedField("a", min_count=1, max_length=2)

    vocabulary = deepfm_tf.fit_vocabulary(
        tmp_path / "a.parquet", deepfm_tf.Schema((field,), "y")
    )
    ids = deepfm_tf.encode(tmp_path / "a.parquet", vocabulary)["ids"]

    assert ids.tolist() == [[1, 2], [-1, -1]]


def test_whole_numbers_may_be_measurements_or_names():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "item": random.integers(957, 5_000, 500),
            "City": random.integers(0, 300, 500),
            "slot": random.integers(957, 5_000, 500),
            "visits": np.exp(random.normal(0, 3, 500)).astype(int),
            "price": random.normal(size=500),
            "same": "s",
            "y": random.integers(0, 2, 500),
        }
    )

    schema = deepfm_tf.infer_schema(frame, "y")
    told = deepfm_tf.infer_schema(frame, "y", categorical=["slot", "same"])

    kinds = {f.name: f.type_name for f in schema.fields}
    assert kinds == {
        "item": "categorical",
        "City": "categorical",
        "slot": "numeric",
        "visits": "numeric",
        "price": "numeric",
    }
    (doubt,) = (note for note in schema.notes if "'slot'" in note)
    assert "--categorical" in doubt and "'price'" not in doubt
    (doubt,) = (note for note in schema.notes if "'visits'" in note)
    assert "--categorical" in doubt
    kinds |= {"slot": "categorical", "same": "categorical"}
    assert {f.name: f.type_name for f in told.fields} == kinds
    with pytest.raises(ValueError, match="no column 'slott'.*'slot'"):
        deepfm_tf.infer_schema(frame, "y", categorical="slott")


def test_infer_chooses_sensible_fields():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "site": random.choice(["a", "b"], 500),
            "user_id": random.integers(0, 300, 500),
            "zip": random.choice(["01234", "56789"], 500),
            "price": random.normal(size=500),
            "clicks": np.exp(random.normal(0, 3, 500)).astype(int),
            "genres": random.choice(["a|b", "b|c", "a"], 500),
            "same": "s",
            "uuid": [f"u{i}" for i in range(500)],
            "empty": np.nan,
            "y": random.integers(0, 2, 500),
        }
    )

    schema = deepfm_tf.infer_schema(frame, "y")

    kinds = {f.name: f.type_name for f in schema.fields}
    assert kinds == {
        "site": "categorical",
        "user_id": "categorical",
        "zip": "categorical",
        "price": "numeric",
        "clicks": "numeric",
        "genres": "multi_valued",
    }
    assert schema.field("clicks").scaling == "log"
    notes = " ".join(schema.notes)
    assert all(name in notes for name in ("'same'", "'uuid'", "'empty'"))


@pytest.mark.parametrize(
    ("share", "num_amounts", "kind"),
    [
        (0.9, 100, "categorical"),  # 20 rows for each amount
        (0.9, 1000, "numeric"),  # 2 rows
        (0.4, 100, "numeric"),  # zeros are not what most rows have
    ],
)
def test_infer_takes_rare_amounts_that_recur_as_names(share, num_amounts, kind):
    random = np.random.default_rng(0)
    amounts = random.integers(1, num_amounts + 1, 20_000) * 17
    amounts[random.random(20_000) < share] = 0
    frame = pd.DataFrame({"gain": amounts, "y": random.integers(0, 2, 20_000)})

    schema = deepfm_tf.infer_schema(frame, "y")

    assert schema.field("gain").type_name == kind
    assert ("the others repeat" in str(schema.notes)) == (kind != "numeric")


def zipped(data):
    """The same bytes at any time: they are in the names of tests."""
    return gzip.compress(data, mtime=0)


TEXT = 'id,price,note\n007,1.50,"a, ""b""\nc"\n2020-01-01,,\n'
WRITTEN = [
    {"id": "007", "price": "1.50", "note": 'a, "b"\nc'},
    {"id": "2020-01-01", "price": "", "note": ""},
]


def rows_of(path):
    return pa.concat_tables(read_rows(path)).to_pylist()


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.csv.gz"])
def test_text_stays_text(tmp_path, name):
    path = tmp_path / name
    text = TEXT.replace(",", "\t") if "tsv" in name else TEXT
    rows = [
        {k: v.replace(",", "\t") if "tsv" in name else v for k, v in r.items()}
        for r in WRITTEN
    ]
    data = ("\ufeff" + text).encode()
    path.write_bytes(zipped(data) if name.endswith(".gz") else data)

    assert rows_of(path) == rows


def test_typed_files_keep_their_types(tmp_path):
    rows = [{"id": "007", "n": 7, "x": 0.5}, {"id": None, "n": None, "x": 1.0}]
    pa.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "r.jsonl").write_text("\n\n".join(lines))

    assert rows_of(tmp_path / "r.parquet") == rows
    assert rows_of(tmp_path / "r.jsonl") == rows
    assert num_rows(tmp_path / "r.parquet") == 2
    assert num_rows(tmp_path / "r.jsonl") is None


def test_json_of_mixed_types_and_absent_keys(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"a": 7}\n{"a": "x", "b": 1}\n')

    assert rows_of(tmp_path / "r.jsonl") == [
        {"a": "7", "b": None},
        {"a": "x", "b": 1},
    ]


def test_json_with_a_byte_order_mark_and_long_numbers(tmp_path):
    text = '\ufeff{"id": 123456789012345678901234567890}\n'
    (tmp_path / "r.jsonl").write_text(text, encoding="utf-8")

    assert rows_of(tmp_path / "r.jsonl") == [
        {"id": "123456789012345678901234567890"}
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "", "is empty. Write a line of column names"),
        ("r.csv", "\n", "must begin with a line of column names"),
        ("r.csv", "a,b\n1,2\n3\n", "line 3: 2 values expected, 1 found"),
        ("r.csv", b"a\nx\n\xff\n", "line 3, column 'a': the text is not UTF"),
        ("r.parquet", "no", "not a whole Parquet file"),
        ("r.jsonl", '{"a": 1}\n{"a"', "line 2: .*must be a JSON object"),
        ("r.jsonl", "[1]", r"line 1: each line must be .*Received: \[1\]"),
        ("r.jsonl", b'{"a": "\xe9"}', "line 1: the text is not UTF-8"),
        ("r.csv.gz", zipped(b"a\n1\n")[:-9], "cannot be unpacked to its end"),
        ("r.jsonl.gz", "no", "r.jsonl.gz, line 1: each line must be"),
        ("r.jsonl.gz", zipped(b'{"a": 1}')[:-9], "cannot be unpacked"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ValueError, match=message):
        list(read_rows(path))


def test_text_is_read_in_the_layout_that_training_is_told(tmp_path):
    layout = TextFormat("; ", column_names=("a", "b"), quoting=False)
    (tmp_path / "rows").write_text('1; "x\n2;y\n')

    (table,) = read_rows(tmp_path / "rows", layout)

    assert table.to_pydict() == {"a": ["1", "2"], "b": ['"x', "y"]}


def test_lists_and_objects_of_json_stay_what_they_are(tmp_path):
    rows = [
        {"tags": ["a", "b"], "more": {"x": 1}},
        {"tags": None, "more": None},
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))

    assert rows_of(tmp_path / "r.jsonl") == rows


def test_parquet_needs_no_suffix(tmp_path):
    pa.parquet.write_table(pa.table({"n": [1]}), tmp_path / "part-0")

    assert rows_of(tmp_path / "part-0") == [{"n": 1}]
    assert num_rows(tmp_path / "part-0") == 1
