import math
import re

import pytest

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.rest_body import MAX_CONTAINERS, parse_body


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
        (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
        (b"{} 1",
         "The document root must not be followed by other values."),
        ('{"é": x}'.encode(), "Invalid value. at offset: 7"),
        (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid."),
        (b'{"\\uDC00": 1}', "The surrogate pair in string is invalid."),
        (b'{"a":' * 100_000, "The document is nested too deeply."),
        (b"[" * 100_000, "The document is nested too deeply."),
        (b'{"a": ' + b"9" * 5000 + b"}",
         "Number too big to be stored in double."),
        ('{"a": 1}'.encode("utf-16"), "Invalid encoding in string."),
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


def test_the_last_of_equal_keys_counts():
    assert parse_body(bytearray(b'{"a": 1, "a": 2}')) == {"a": 2}


def test_lists_and_objects_are_counted_before_they_are_made():
    half = MAX_CONTAINERS // 2
    body = b'{"a": [' + b"[],{}," * half + b"0]}"

    with pytest.raises(ServingError, match="more than 4000000 lists"):
        parse_body(body)
