import datetime
import json
import shlex
import uuid
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import deepfm_tf
from deepfm_tf import NumericField, Schema, TimestampField, infer_schema
from deepfm_tf.experiment.command_line import CommandLine, told

ROWS = 400


def log(**columns):
    """A frame with a site, a click, and the columns."""
    click = np.arange(ROWS) % 2
    site = [f"s{n % 5}" for n in range(ROWS)]
    return pd.DataFrame({"site": site, **columns, "click": click})


def prices():
    """400 texts of numbers, of which half are whole."""
    random = np.random.default_rng(1)
    numbers = random.gamma(2, 10, ROWS).round(2)
    return [f"{x:g}" for x in np.where(np.arange(ROWS) % 2, numbers, 7)]


def infer_csv(tmp_path, frame, label="click", **options):
    """The schema of the frame's CSV file, and the warnings' texts."""
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        schema = infer_schema(path, label, **options)
    return schema, [str(warning.message) for warning in said], path


def kinds(schema):
    return {f.name: f.type_name for f in schema.fields}


@pytest.mark.parametrize(
    "marker",
    ["nan", "NaN", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "None"],
)
def test_a_usual_spelling_of_missing_is_missing_among_numbers(marker, tmp_path):
    texts = prices()
    texts[7] = marker
    schema, said, path = infer_csv(tmp_path, log(price=texts))

    vocabulary = deepfm_tf.fit_vocabulary(path, schema)
    values = deepfm_tf.encode(path, vocabulary)["values"][:, 0]

    assert isinstance(schema.field("price"), NumericField)
    assert np.flatnonzero(np.isnan(values)).tolist() == [7]
    assert f"{marker} (1 rows) means missing" in " ".join(schema.notes)
    assert said == []


@pytest.mark.parametrize(
    ("odd", "advice"),
    [
        ("-", "--missing -)"),
        ("unknown", "--missing unknown)"),
        ("n. a.", "--missing 'n. a.')"),
        ("--", "--missing=--)"),
        ("12,5", "with a point and without a comma"),
        ("1,234.5", "with a point and without a comma"),
    ],
)
def test_an_odd_text_among_numbers_is_named(odd, advice, tmp_path):
    texts = prices()
    texts[7] = texts[9] = odd
    frame = log(price=texts)

    schema, said, path = infer_csv(tmp_path, frame)

    assert isinstance(schema.field("price"), NumericField)
    (message,) = said
    assert f"{odd!r} (2 rows, first in {path}, line 9)" in message
    assert "2 of the first 400 rows" in message
    assert advice in message
    # What it says works, from the command line and in Python.
    flag = message[message.index("--missing") :].split(")")[0]
    options = (
        CommandLine()
        .parser()
        .parse_args(["--train", "a", "--label", "b", *shlex.split(flag)])
    )
    assert options.missing == [odd]
    schema, said, _ = infer_csv(tmp_path, frame, missing_values=[odd])
    assert said == []
    vocabulary = deepfm_tf.fit_vocabulary(path, schema)
    assert vocabulary.statistics["price"]["missing"] == 2


def test_where_no_row_can_be_read_the_first_says_why(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("site,clicked\na,1,\nb,0,\n")

    with pytest.raises(ValueError, match="line 2: 2 values expected, 3 found"):
        infer_schema(path, label="clicked")


def test_codes_of_which_most_are_digits_are_no_numbers(tmp_path):
    codes = [f"{n % 150}{'A' * (n % 12 == 0)}" for n in range(ROWS)]

    schema, said, _ = infer_csv(tmp_path, log(code_text=codes))

    assert kinds(schema)["code_text"] == "categorical"
    assert said == []


def test_numbers_with_commas_throughout_are_told(tmp_path):
    texts = [text.replace(".", ",") for text in prices()]
    addresses = [f"192.168.{n % 9}.{n % 7}" for n in range(ROWS)]

    schema, said, _ = infer_csv(tmp_path, log(price=texts, address=addresses))

    assert kinds(schema)["price"] == "categorical"
    (message,) = said
    assert "'price' is a category: its values seem to be numbers" in message


@pytest.mark.parametrize(
    "number",
    ["-2.5559999999999998e+30", "1E5", "+1.5", ".5", "5.", "1e-7", "-0.0"],
)
def test_every_spelling_of_a_number_is_a_number(number, tmp_path):
    texts = prices()
    texts[3:9] = [number] * 6

    schema, said, _ = infer_csv(tmp_path, log(price=texts))

    assert kinds(schema)["price"] == "numeric"
    assert said == []


def test_large_floats_of_a_frame_are_numbers():
    random = np.random.default_rng(1)
    huge = random.normal(size=ROWS) * 1e30

    schema = infer_schema(log(price=huge), "click")

    assert kinds(schema)["price"] == "numeric"


def test_ids_are_known_in_camel_case():
    random = np.random.default_rng(0)
    names = ("userId", "movieId", "uid", "itemID", "adId", "paid", "grid")
    columns = {name: random.integers(1, 200, ROWS) for name in names}

    found = kinds(infer_schema(log(**columns), "click"))

    categorical = {n for n, kind in found.items() if kind == "categorical"}
    assert categorical == {"site", *names[:5]}


BEGIN = datetime.datetime(2024, 1, 1, 6, 30)
TIMES = [BEGIN + datetime.timedelta(minutes=7 * n) for n in range(ROWS)]
SECONDS = [1_704_090_600 + 420 * n for n in range(ROWS)]


@pytest.mark.parametrize(
    "times",
    [
        [t.isoformat() for t in TIMES],
        [t.isoformat(" ") + ".25+02:00" for t in TIMES],
        [t.isoformat(" ", "minutes") for t in TIMES],
        SECONDS,
        [1000 * s for s in SECONDS],
        [1_000_000 * s for s in SECONDS],
        [1_000_000_000 * s for s in SECONDS],
        pd.Series(TIMES),
        pd.Series(TIMES).dt.tz_localize("UTC"),
        pd.Series(TIMES, dtype="datetime64[s]"),
        pd.array(TIMES, dtype=pd.ArrowDtype(pa.timestamp("us"))),
        [None if n == 5 else t.isoformat() for n, t in enumerate(TIMES)],
        ["NaT" if n == 5 else t.isoformat() for n, t in enumerate(TIMES)],
    ],
)
def test_times_are_recognised_in_every_form(times):
    frame = log(seen_at=times)

    schema = infer_schema(frame, "click")

    assert schema.field("seen_at") == TimestampField("seen_at")
    (note,) = (note for note in schema.notes if "'seen_at'" in note)
    assert "times from 2024-01-01 06:30:00" in note.replace("04:30", "06:30")
    assert "--split-by-time seen_at" in note
    deepfm_tf.fit_vocabulary(frame, schema)


def test_times_of_one_day_have_no_weekday():
    hours = [f"2024-05-01 {n % 24:02d}:00:00+03:00" for n in range(ROWS)]

    schema = infer_schema(log(at=hours), "click")

    assert schema.field("at").parts == ("hour",)
    assert "the model gets hour only, because all are on one day" in " ".join(
        schema.notes
    )


def test_dates_have_no_hour():
    days = [time.date().isoformat() for time in TIMES]
    compact = [int(day.replace("-", "")) for day in days]

    schema = infer_schema(log(day=days, date=compact), "click")

    parts = ("weekday", "is_weekend")
    assert schema.field("day") == TimestampField("day", parts)
    assert schema.field("date") == TimestampField("date", parts)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        # In the range of seconds since 1970, but by its name no time.
        ("amount", [*SECONDS[:-1], SECONDS[0]]),
        # A time by its name, but too few digits, or of several lengths.
        ("time", [n * 37 % 300 for n in range(ROWS)]),
        ("time", [10 ** (8 + n % 2) * (n % 80 + 1) for n in range(ROWS)]),
    ],
)
def test_other_whole_numbers_are_no_times(name, numbers):
    schema = infer_schema(log(**{name: numbers}), "click")

    assert not isinstance(schema.field(name), TimestampField)


def test_what_is_no_time_among_times_is_named(tmp_path):
    times = [t.isoformat() for t in TIMES]
    times[3] = "soon"

    schema, said, path = infer_csv(tmp_path, log(seen=times))

    assert isinstance(schema.field("seen"), TimestampField)
    (message,) = said
    assert f"times, but not 'soon' (1 row, first in {path}, line 5)" in message


def test_what_cannot_be_a_field_is_left_out(tmp_path):
    table = pa.table(
        {
            "site": ["a", "b", "b", "c"] * 60,
            "place": [{"x": n % 7} for n in range(240)],
            "pairs": [[[n % 3]] for n in range(240)],
            "click": [0, 1] * 120,
        }
    )
    pa.parquet.write_table(table, tmp_path / "x.parquet")

    schema = infer_schema(tmp_path / "x.parquet", "click")

    assert kinds(schema) == {"site": "categorical"}
    assert [n.partition(",")[0] for n in schema.notes if "left out" in n] == [
        "'place': left out",
        "'pairs': left out",
    ]


def test_objects_of_a_frame_that_cannot_be_a_field_are_left_out():
    frame = log(place=[{"x": n % 7} for n in range(ROWS)])

    schema = infer_schema(frame, "click")

    assert kinds(schema) == {"site": "categorical"}
    (note,) = (note for note in schema.notes if "'place'" in note)
    assert "left out, it cannot be a field" in note


@pytest.mark.parametrize("argument", ["ignore", "categorical"])
@pytest.mark.parametrize(
    ("name", "what"), [("click", "label"), ("w", "example weight")]
)
def test_the_label_is_no_column_to_decide_on(argument, name, what):
    frame = pd.DataFrame({"site": list("aabb"), "click": 1, "w": 1.0})

    with pytest.raises(
        deepfm_tf.UserError,
        match=f"`{argument}` must name.* '{name}', which is the {what}, not a",
    ) as caught:
        infer_schema(
            frame, "click", example_weight="w", **{argument: ["site", name]}
        )

    assert f"--{argument} must name" in told(caught.value)


def test_columns_can_be_ignored():
    frame = log(note=["x", "y"] * 200, row=[str(uuid.uuid4())] * ROWS)

    schema = infer_schema(frame, "click", ignore=["note"])

    assert kinds(schema) == {"site": "categorical"}
    assert "'note': left out, it is listed in `ignore`." in schema.notes
    with pytest.raises(ValueError, match="no column 'nota'.*'note'"):
        infer_schema(frame, "click", ignore="nota")


def test_each_column_has_a_line_with_its_reason():
    frame = log(same="s", price=prices())

    lines = infer_schema(frame, "click").summary().splitlines()

    assert [line.split()[0] for line in lines] == [
        *("column", "site", "same", "price")
    ]
    assert lines[1].split(maxsplit=2)[1:] == [
        *("categorical", "text of 5 different values")
    ]
    assert "left out     it is always 's'" in lines[2]


def test_a_summary_follows_edits_of_the_fields():
    schema = infer_schema(log(price=prices()), "click")
    config = schema.to_dict()
    config["fields"] = [{"type": "categorical", "name": "price"}]

    table = Schema.from_dict(config).summary()

    assert table.splitlines()[1:] == [
        "site    categorical  text of 5 different values",
        "price   categorical",
    ]


@pytest.mark.parametrize("words", [("bought", "left"), ("<=50K", ">50K")])
def test_two_labels_that_nobody_explained_are_told(words, tmp_path):
    frame = log().assign(end=[words[n % 4 == 0] for n in range(ROWS)])

    with pytest.raises(ValueError, match="label 'end'") as told:
        infer_csv(tmp_path, frame, "end")

    one = "bought" if "bought" in words else ">50K"
    (zero,) = set(words) - {one}
    assert f"{words[0]!r} (75.0%), {words[1]!r} (25.0%)" in str(told.value)
    arguments = {"positive_labels": [one], "negative_labels": [zero]}
    for name, values in arguments.items():
        assert f"{name}={values!r}" in str(told.value)
    schema, said, _ = infer_csv(tmp_path, frame, "end", **arguments)
    assert schema.positive_labels == (one,)
    assert said == []


@pytest.mark.parametrize(
    "values",
    [["left"], ["a", "b", "c"], ["0.1", "0.2", "0.3"], ["yes", "no"], ["1"]],
)
def test_other_labels_do_not_stop_the_inference(values, tmp_path):
    end = [values[n % len(values)] for n in range(ROWS)]

    schema, said, _ = infer_csv(tmp_path, log().assign(end=end), "end")

    assert kinds(schema)["site"] == "categorical"
    assert said == []


def test_headers_of_all_files_are_compared_before_any_work(tmp_path):
    good = tmp_path / "a.csv"
    log().to_csv(good, index=False)
    bad = tmp_path / "b.parquet"
    log().drop(columns="site").to_parquet(bad)
    blocks = deepfm_tf.files.readers.read_blocks([good, bad], ["site", "click"])

    with pytest.raises(ValueError, match="b.parquet has no column 'site'"):
        next(blocks)


def test_of_long_lists_the_reason_says_which_values_are_kept():
    seen = ["|".join("abcdefghij"[: 1 + n % 10] * 2) for n in range(40)]
    data = {"seen": seen, "clicked": [0, 1] * 20}

    schema = deepfm_tf.infer_schema(data, label="clicked")

    assert schema.fields[0].max_length == 16
    assert "the first 16 are kept" in schema.summary()
    assert '"keep": "last"' in schema.summary()


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64(), 1), pa.large_list(pa.int8())]
)
def test_lists_of_any_layout_are_multi_valued_though_of_one_value(kind):
    tags = pa.array([[n % 5] for n in range(ROWS)], kind)
    columns = {"tags": tags, "click": np.arange(ROWS) % 2}

    schema = infer_schema(columns, "click")

    assert kinds(schema) == {"tags": "multi_valued"}


@pytest.mark.parametrize(
    "odd",
    [np.arange(ROWS) * 1j, [np.ones((2, 2))] * ROWS],
    ids=["complex", "matrices"],
)
def test_a_column_in_memory_without_any_text_is_left_out(odd):
    schema = infer_schema({**log(), "odd": odd}, "click")

    assert kinds(schema) == {"site": "categorical"}
    assert "'odd': left out, it cannot be a field" in schema.notes[-1]


def test_a_column_of_json_objects_leaves_the_others_alone(tmp_path):
    rows = [
        {**row, "device": {"os": "x"}, "pairs": [[1, 2]]}
        for row in log().to_dict("records")
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))

    schema = infer_schema(path, "click")

    assert kinds(schema) == {"site": "categorical"}
    assert sum("it cannot be a field" in note for note in schema.notes) == 2


def test_where_no_row_can_be_read_the_first_one_is_told(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("site,click\na,0,1\nb,1,1\n")

    with pytest.raises(ValueError, match="none in .*line 2: 2 values expected"):
        infer_schema(path, "click")


def test_a_blank_before_whole_numbers_changes_no_kind(tmp_path):
    rows = [
        f"{i % 2}, {i % 7}, {0 if i % 9 else i % 5 * 1000}, x{i % 3}"
        for i in range(300)
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["label,few,amount,name", *rows]))
    padded = infer_schema(path, "label")
    plain = infer_schema(
        path, "label", text_format=deepfm_tf.TextFormat(separator=", ")
    )
    assert padded.fields == plain.fields
    assert [f.type_name for f in plain.fields] == ["categorical"] * 3


def test_a_zero_with_a_sign_is_the_same_whole_number():
    log = {"level": [0.0, -0.0, 1.0] * 50, "click": [0, 1] * 75}

    schema = infer_schema(log, "click")

    assert "only 2 different whole numbers" in schema.notes[0]
