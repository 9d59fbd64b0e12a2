"""Text in blocks of any size is the rows that Python's csv and pandas see."""

import codecs
import csv
import io
import os
import time

import pandas as pd
import pytest
from hypothesis import example, given, settings, strategies as st

from deepfm_tf.errors import UserError
from deepfm_tf.files import text
from deepfm_tf.files.text import TextFormat, header_of, text_blocks

# More of them by hand: DEEPFM_TF_EXAMPLES=1000.
EXAMPLES = 40 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
NAMES = ("a", "b")
TWO_COLUMNS = TextFormat(column_names=NAMES)

# Pieces of which every trap is made: a quote that opens, is doubled, stands
# inside an unquoted value, closes before the value ends; any line break.
PIECES = st.lists(
    st.sampled_from(
        ["x", "yz", ",", ",", '"', '"', '""', "\n", "\n", "\r\n", "\r", " "]
        + ["\ufeff", "é", "\n\n", '\n"', '",', ',"']
    ),
    max_size=30,
).map("".join)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("text") / "rows.csv")


def write(path, content):
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def read(path, text_format=TWO_COLUMNS, block_bytes=None):
    """Rows, and (line, text) of the broken ones."""
    rows, bad = [], []
    for block in text_blocks(path, text_format, block_bytes):
        table, wrong = block.read_all()
        columns = [
            [value.decode() for value in column.to_pylist()]
            for column in table.columns
        ]
        rows += zip(*columns, strict=True)
        bad += [(row.line, row.text) for row in wrong]
    return rows, bad


def csv_rows(content, **options):
    """What Python's csv makes of it: (line, values) of each record."""
    file = io.StringIO(content.removeprefix("\ufeff"), newline="")
    reader = csv.reader(file, **options)
    records, line = [], 1
    for values in reader:
        if values:
            records.append((line, tuple(values)))
        line = reader.line_num + 1
    return records


def has_open_quote(content):
    """Whether Python's csv reaches the end inside quotes."""
    reader = csv.reader(
        io.StringIO(content.removeprefix("\ufeff"), newline=""), strict=False
    )
    marked = csv.reader(
        io.StringIO(content.removeprefix("\ufeff") + "\nEND\n", newline="")
    )
    list(reader)
    return list(marked)[-1] != ["END"]


@given(content=PIECES, block_bytes=st.integers(1, 40))
@example(content='x,5" disk\n"a\nb",c\n', block_bytes=3)
@example(content='"a""b"c,"d"""\r\n\r\nx,y', block_bytes=1)
@example(content="x,y\n\ufeffz,1\n", block_bytes=5)
@example(content='\ufeff"x",y\r"z\r",w\r', block_bytes=2)
@settings(max_examples=EXAMPLES, deadline=None)
def test_rows_are_those_of_pythons_csv_for_any_block(
    path, content, block_bytes
):
    write(path, content)
    if has_open_quote(content):
        with pytest.raises(UserError, match="quote .* is not closed"):
            read(path, block_bytes=block_bytes)
        return

    rows, bad = read(path, block_bytes=block_bytes)

    expected = csv_rows(content)
    assert rows == [v for _, v in expected if len(v) == 2]
    assert [n for n, _ in bad] == [n for n, v in expected if len(v) != 2]
    assert (rows, bad) == read(path)


@given(
    rows=st.lists(
        st.tuples(*[st.text('",\n\r ;é\ufeff5\\', max_size=6)] * 2),
        min_size=1,
        max_size=12,
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_break=st.sampled_from(["\n", "\r\n", "\r"]),
    block_bytes=st.integers(1, 60),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_rows_are_those_of_pandas_for_any_block(
    path, rows, quoting, line_break, block_bytes
):
    if quoting == csv.QUOTE_MINIMAL:
        # pandas writes these bare, and reads a row less or more.
        bare = str.maketrans("", "", "\r" if "\n" in line_break else "\r\n")
        rows = [[cell.translate(bare) for cell in row] for row in rows]
    frame = pd.DataFrame([("r" + a, b) for a, b in rows], columns=list(NAMES))
    frame.to_csv(path, index=False, quoting=quoting, lineterminator=line_break)
    expected = pd.read_csv(path, dtype=str, keep_default_na=False)

    found, bad = read(path, TextFormat(), block_bytes)

    assert header_of(path, TextFormat()) == list(NAMES)
    assert found == list(expected.itertuples(index=False, name=None))
    assert not bad


@given(content=PIECES, block_bytes=st.integers(1, 40))
@example(content=' "x, y" ,  z\n   a,"b"\n', block_bytes=4)
@settings(max_examples=EXAMPLES, deadline=None)
def test_blanks_after_separators_are_dropped_as_csv_does(
    path, content, block_bytes
):
    content = content.replace("\r", "\n")
    write(path, content)
    layout = TextFormat(", ", NAMES)
    try:
        rows, _ = read(path, layout, block_bytes)
    except UserError as error:
        assert "is not closed" in str(error)
        return

    expected = csv_rows(content, skipinitialspace=True)
    assert rows == [v for _, v in expected if len(v) == 2]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('x,y\n"x,y\nx,y\n', "line 2: a quote"),
        ('x,"y\n\nz",\nx,"\n""', "line 4: a quote"),
        ('x,y\rx,y\r"x', "line 3: a quote"),
        ('x,"y \\"\n', None),
        ('x,"y \\"",z\n', r'line 1: .* \\" in it, but .* written ""'),
        ("x,y\n" * 40 + '"x' + ",y\n" * 40, "line 41: a quote .* within 64"),
        ("x" * 70, "line 1: a line must be shorter than 64 bytes"),
    ],
)
def test_a_quote_that_stays_open_is_named_by_its_line(
    path, monkeypatch, content, place
):
    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    write(path, content)
    if place is None:
        assert read(path) == ([("x", "y \\")], [])
        return

    with pytest.raises(UserError, match=place) as error:
        read(path)

    assert path in str(error.value)


def test_lines_of_broken_rows_are_counted_over_all_that_is_parsed(
    path, monkeypatch
):
    # Records longer than what is parsed at a time, and shorter ones.
    monkeypatch.setattr(text, "PARSED_BYTES", 32)
    lines = ["1,2"] * 30
    lines[9], lines[28] = "1", "1,2,3"
    short = write(path, "\n".join(lines) + "\n")
    assert read(short) == ([("1", "2")] * 28, [(10, "1"), (29, "1,2,3")])

    lines[15] = "1," + "x" * 100
    rows, bad = read(write(path, "\n".join(lines) + "\n"))

    assert rows == [("1", "2")] * 14 + [("1", "x" * 100)] + [("1", "2")] * 13
    assert bad == [(10, "1"), (29, "1,2,3")]


def test_the_longest_record_is_the_same_for_any_block(path, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    value = "\n" * 59  # the record has 64 bytes with its line break
    fits = f'x,y\nx,"{value}"\nx,y\n'
    for block_bytes in range(1, 20):
        write(path, fits)
        assert len(read(path, block_bytes=block_bytes)[0]) == 3

        write(path, fits.replace('\n"', '\n\n"'))
        with pytest.raises(UserError, match="line 2: a quote .* within 64"):
            read(path, block_bytes=block_bytes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x", "2 values expected, 1 found. Is the line cut off"),
        (r'"5\" disk",1', r"The text has \" in it"),
        (r'"a \"b, c\"",1', r"2 values expected, 3 found. The text has \""),
        ('"x\ny",1,2', "3 found, in 2 lines: a value that begins with a"),
    ],
)
def test_the_likely_cause_of_a_broken_row_is_told(path, line, reason):
    write(path, f"x,y\n{line}\nx,y\n")
    (block,) = text_blocks(path, TWO_COLUMNS)

    table, (bad,) = block.read(["b"])

    assert table.column("b").to_pylist() == [b"y", b"y"]
    assert (bad.line, bad.text) == (2, line)
    assert reason in bad.reason
    assert block.locate([1]) == [(2 + line.count("\n") + 1, "x,y")]


def test_a_header_may_be_quoted_over_several_lines(path):
    write(path, '\ufeff"a\nof it",b\r\nx\n')

    (block,) = text_blocks(path, TextFormat())

    assert header_of(path, TextFormat()) == ["a\nof it", "b"]
    assert block.read(["b"])[1][0].line == 3


def test_a_file_without_line_breaks_is_told(path):
    write(path, "x" * 200_000)

    with pytest.raises(UserError, match="of 200,000 bytes .*line breaks"):
        header_of(path, TextFormat())


def test_utf16_is_read_and_without_a_mark_told(path):
    content = "a,b\né,1\n\U0001f600,2\n"
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        write(path, content.encode(encoding))
        for block_bytes in (1, 7, None):
            rows, _ = read(path, TextFormat(), block_bytes)
            assert rows == [("é", "1"), ("\U0001f600", "2")]

    write(path, codecs.BOM_UTF16_LE + "a,b\nx,1".encode("utf-16-le")[:-1])
    with pytest.raises(UserError, match="byte order mark of UTF-16"):
        read(path, TextFormat())
    write(path, content.encode("utf-16-le"))
    with pytest.raises(UserError, match="zero bytes. Is it UTF-16"):
        read(path, TextFormat())


@pytest.mark.parametrize(
    "piece",
    ['"', '"x', '","', 'x,"\n', '"x\ny",z\n', '5",x\n', ' "x', "x,", "\r"],
)
def test_odd_text_costs_no_more_than_its_length(path, monkeypatch, piece):
    def seconds(size):
        write(path, piece * (size // len(piece)))
        begin = time.process_time()
        try:
            read(path, TextFormat(", ", NAMES))
        except UserError:
            pass
        return time.process_time() - begin

    monkeypatch.setattr(text, "BLOCK_BYTES", 2**14)

    # Quadratic would be 64 times as much.
    assert seconds(2**17) < 16 * max(0.02, seconds(2**14))
