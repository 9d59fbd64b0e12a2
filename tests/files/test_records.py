"""Where records end, against a state machine that reads byte by byte."""

import os
import random

import numpy as np
import pytest

from deepfm_tf.files import records
from deepfm_tf.files.records import RecordScanner, count_lines

ROUNDS = 400 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))


def by_hand(data):
    """(start, stop, lines before) of each record; where a quote is open."""
    found, start, state, opened = [], 0, "start", -1
    place = 0
    while place < len(data):
        byte = data[place : place + 1]
        if state == "quoted":
            if byte == b'"' and data[place + 1 : place + 2] == b'"':
                place += 1
            elif byte == b'"':
                state, opened = "value", -1
        elif byte in (b"\r", b"\n"):
            found.append((start, place))
            start, state = place + 1, "start"
        elif byte == b",":
            state = "start"
        elif byte == b'"' and state == "start":
            state, opened = "quoted", place
        else:
            state = "value"
        place += 1
    found.append((start, len(data)))
    lines = [
        len(data[:a].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        for a, _ in found
    ]
    return [
        (a, b, n - 1) for (a, b), n in zip(found, lines, strict=True) if a != b
    ], opened


@pytest.mark.parametrize("window", [3, 2**16])
def test_records_are_those_of_a_state_machine(monkeypatch, window):
    monkeypatch.setattr(records, "WINDOW_BYTES", window)
    monkeypatch.setattr(records, "TRIES", 2)
    draw = random.Random(window)
    scanner = RecordScanner(",", trims=False, quoting=True)
    for _ in range(ROUNDS):
        size = draw.randrange(1, 40)
        data = bytes(draw.choices(b'""""a,,\n\n\r \\', k=size))
        expected, opened = by_hand(data)

        found = scanner.records(data)
        last, first = scanner.last_end(data), scanner.first_end(data)

        triples = zip(found.starts, found.stops, found.lines, strict=True)
        assert [tuple(map(int, t)) for t in triples] == expected, data
        assert scanner.open_quote(data, len(data)) == opened, data
        # A cut at the last end makes two texts of the same records.
        assert by_hand(data[:last])[1] == -1, data
        parts = [*by_hand(data[:last])[0], *by_hand(data[last:])[0]]
        assert len(parts) == len(expected), data
        if not last:
            assert len(expected) <= 1, data
        if first:
            assert len(by_hand(data[:first])[0]) <= 1, data


def test_blanks_before_values_go_and_those_in_quotes_stay():
    scanner = RecordScanner(",", trims=True, quoting=True)
    data = b'  a,  b c ,   "  d,  ""  e" , f\n   "g",  h\n  \n'

    found = scanner.without_blanks(data)

    assert found == b'a,b c ,"  d,  ""  e" ,f\n"g",h\n\n'
    assert scanner.records(data).starts.tolist() == [0, 32]
    blank = RecordScanner(" ", trims=True, quoting=True)
    assert blank.without_blanks(b'a   "b  c"  d\n  e f') == b'a "b  c" d\ne f'


@pytest.mark.parametrize("blanks", [1, 63, 64, 65, 1000])
def test_any_number_of_blanks_may_precede_a_quote(blanks):
    scanner = RecordScanner(",", trims=True, quoting=True)
    data = b"a," + b" " * blanks + b'"x\ny",z'

    assert len(scanner.records(data).starts) == 1
    assert scanner.open_quote(data, len(data) - 5) == 2 + blanks
    assert len(RecordScanner(",", False, True).records(data).starts) == 2


def test_without_quoting_each_line_is_a_record():
    scanner = RecordScanner(",", trims=False, quoting=False)

    assert scanner.records(b'"a\nb",c\n').starts.tolist() == [0, 3]
    assert scanner.last_end(b'"a\nb') == 3


def test_backslashes_before_quotes_that_close_too_early_are_found():
    scanner = RecordScanner(",", trims=False, quoting=True)
    data = rb'"a \"b",c,"d\",e\"f,"g\"""' + b'\n"h\\"\n"\\"'

    places = scanner.backslashes(data)

    assert [data[: p + 1] for p in places] == [b'"a \\"']


def test_line_breaks_of_all_kinds_are_counted():
    data = b"a\nb\r\nc\rd\n\r\n\r"

    assert count_lines(data, len(data)) == 6
    assert count_lines(data, 2) == 1
    assert np.all(count_lines(b"a\n" * 9, 18) == 9)
