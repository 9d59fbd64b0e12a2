"""Texts that stand for the same value."""

import pytest

from deepfm_tf.drift.spellings import as_dates, as_number, other_spellings


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("7.0", "7"),
        ("7", "007"),
        ("1e+10", "10000000000"),
        ("1.2345678901234567e+19", "12345678901234567168"),
        ("123456790", "123456789"),  # a float32 of it
        ("-0", "0"),
        ("0.5", "0.50"),
        ("1,234", "1234"),
        ("12,5", "12.5"),
        ("true", "True"),
        ("1", "True"),
        ("0.0", "False"),
        ("ABC", "abc"),
        (" x", "x"),
        ("x", "x "),
        ('"x"', "x"),
        ("b'caf\\xc3\\xa9'", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("cafe\u0301", "caf\u00e9"),
        ("caf\u00c3\u00a9", "caf\u00e9"),
        ("2024-05-01 00:00:00", "2024-05-01"),
        ("2024-05-01 10:00:00.000000000", "2024-05-01 10:00:00"),
        ("2024-05-01T10:00:00Z", "2024-05-01 10:00:00"),
        ("01/05/2024", "2024-05-01"),
        ("05/01/2024", "2024-05-01"),
        ("20240501", "2024-05-01"),
        ("1 May 2024", "2024-05-01"),
        ("1714557600", "2024-05-01 10:00:00"),
        ("1714557600000", "2024-05-01 10:00:00"),
        ("19844", "2024-05-01"),
        ("652", "2024-05"),  # a monthly period's ordinal
        (
            "123e4567e89b12d3a456426614174000",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
        (
            "\x12>Eg\u00e8\u009b\x12\u00d3\u00a4VBf\x14\x17@\x00",
            "123e4567-e89b-12d3-a456-426614174000",
        ),
    ],
)
def test_another_spelling_is_found(text, other):
    found = list(other_spellings(text))

    assert other in found
    assert text not in found


def test_other_values_are_no_spellings():
    assert "8" not in set(other_spellings("7"))
    assert "16777217" not in set(other_spellings("16777213"))
    assert "b" not in set(other_spellings("a"))


@pytest.mark.parametrize("text", ["", "x", "\x00" * 16, "1e999999", "９"])
def test_any_text_is_taken(text):
    assert text not in list(other_spellings(text))


def test_what_is_no_date_is_none():
    assert as_dates("2024-13-45") == []
    assert as_dates("hello world") == []
    assert as_number("1.2.3") is None
