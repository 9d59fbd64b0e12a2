import math
import re

import pytest

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest.body import MAX_CONTAINERS, parse_body
from deepfm_tf.serving.rest.texts import text_bytes


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty. at offset: 2"),
        (b"instances = [1, 2]", "Invalid value. at offset: 0"),
        (b'{"a":}', "Invalid value. at offset: 5"),
        (b'{"a" 1}', "Missing a colon after a name of object member."),
        (b'{"a": [1], "b": 1 2}',
         "Missing a comma or } after an object member. at offset: 18"),
        (b'{"a": [{"]": 1} 2]}',
         "Missing a comma or ] after an array element. at offset: 16"),
        (b"{a:1}", "Missing a name for object member. at offset: 1"),
        (b'{"a": "b', "Missing a closing quotation mark in string."),
        (b'{"a": "\\x"}', "Invalid escape character in string."),
        (b'{"a": "\\u12"}',
         "Incorrect hex digit after \\u escape in string."),
        (b'{"a": "\x01"}', "Invalid encoding in string. at offset: 7"),
        (b'{"\xff": x}', "Invalid value. at offset: 6"),
        (b'{"a": Infi}', "Invalid value. at offset: 6"),
        (b'{"a": Infty}',
         "Missing a comma or } after an object member. at offset: 9"),
        (b'{"a": [-Inf, NaN, +Inf]}', "Invalid value. at offset: 18"),
        ('{"é": x}'.encode(), "Invalid value. at offset: 7"),
        (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid."),
        (b'{"\\uDC00": 1}', "The surrogate pair in string is invalid."),
        (b'{"a":' * 100_000, "The document is nested too deeply."),
        (b"[" * 100_000, "The document is nested too deeply."),
        (b'{"a": ' + b"9" * 5000 + b"}",
         "Number too big to be stored in double."),
        ('{"a": 1}'.encode("utf-16"), "Invalid value. at offset: 0"),
    ],
)  # fmt: skip
def test_syntax_errors_have_rapidjsons_words(body, message):
    with pytest.raises(ServingError, match=re.escape(message)) as caught:
        parse_body(body)

    assert caught.value.message.startswith("JSON Parse error: " + message)
    assert caught.value.code.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize("body", [b"[1, 2]", b"1", b"null", b'"a"'])
def test_only_objects_are_requests(body):
    with pytest.raises(
        ServingError, match=r"JSON Value: (.|\n)*Is not object$"
    ):
        parse_body(body)


def test_named_floats_are_read():
    document = parse_body(b'{"a": [NaN, Infinity, -Infinity]}')

    assert math.isnan(document["a"][0])
    assert document["a"][1:] == [math.inf, -math.inf]


def test_a_whole_surrogate_pair_is_one_character():
    assert parse_body(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_a_byte_order_mark_is_skipped():
    assert parse_body(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1, "a": 2}', {"a": 1}),
        (b'{"a": 1, "b": 3, "a": 2, "a": 4}', {"a": 1, "b": 3}),
        (b'{"a": [{"b": 1, "b": [2]}]}', {"a": [{"b": 1}]}),
        (b'{"\\u0061": 1, "a": 2}', {"a": 1}),
    ],
)
def test_the_first_of_equal_keys_counts(body, expected):
    assert parse_body(bytearray(body)) == expected


@pytest.mark.parametrize("trailing", [b" 1", b"}", b"\n{}", b"x\xff\x00", b'"'])
def test_text_behind_the_object_is_ignored(trailing):
    assert parse_body(b' {"a": 1}' + trailing) == {"a": 1}


def test_half_a_surrogate_pair_behind_the_object_is_ignored():
    assert parse_body(b'{"a": 1} "\\ud800"') == {"a": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"K\xf6ln", b"K\xf6ln"),
        (b"\xff\\u00ff", b"\xff\xc3\xbf"),
        ("K\u00f6ln".encode(), b"K\xc3\xb6ln"),
        (b"\xed\xa0\x80\\ud83d\\ude00", b"\xed\xa0\x80\xf0\x9f\x98\x80"),
        (b"\\\\ud800", b"\\ud800"),
    ],
)
def test_bytes_that_are_no_utf8_stay_as_they_are(text, expected):
    document = parse_body(b'{"a": "' + text + b'"}')

    assert text_bytes(document["a"]) == expected


def test_half_a_surrogate_pair_is_refused_beside_latin1():
    with pytest.raises(ServingError, match="The surrogate pair in string"):
        parse_body(b'{"a": "\xff", "b": "\\\\\\udcff"}')


def test_inf_is_infinity_and_nan_has_a_sign():
    body = b'{"Inf": [NaN, Inf, -Inf, "\\"Inf", -NaN, -Infinity, Infinity]} Inf'

    (values,) = parse_body(body).values()

    assert [values[0] != values[0], values[4] != values[4]] == [True, True]
    assert values[1:4] == [math.inf, -math.inf, '"Inf']
    assert values[5:] == [-math.inf, math.inf]


def test_lists_and_objects_are_counted_before_they_are_made():
    half = MAX_CONTAINERS // 2
    body = b'{"a": [' + b"[],{}," * half + b"0]}"

    with pytest.raises(ServingError, match="more than 4000000 lists"):
        parse_body(body)
