"""The JSON object of a REST request, or the error of its syntax."""

import json
import re
from typing import Any

from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest_tensors import NamedFloat
from deepfm_tf.serving.rest_texts import number_too_big, preview

Body = bytes | bytearray

# A list of two bytes takes a hundred when parsed. This many are a hundred
# images of 200 x 200 pixels, or a body that means to fill the memory.
MAX_CONTAINERS = 4_000_000

# Python's words for a syntax error, and RapidJSON's.
_SYNTAX_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": (
        "Missing a name for object member."
    ),
    "Illegal trailing comma before end of object": (
        "Missing a name for object member."
    ),
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": (
        "Missing a closing quotation mark in string."
    ),
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": (
        "Incorrect hex digit after \\u escape in string."
    ),
    "Invalid control character at": "Invalid encoding in string.",
    "Extra data": "The document root must not be followed by other values.",
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CONSTANTS = {
    "NaN": NamedFloat("nan"),
    "Infinity": NamedFloat("inf"),
    "-Infinity": NamedFloat("-inf"),
}


def parse_body(body: Body) -> dict[str, Any]:
    """The JSON object of a request.

    Of a key that comes twice, the last value counts. Bytes that are not
    UTF-8 are refused: JSON is UTF-8, and other bytes have base64.

    Args:
        body: bytes or bytearray. UTF-8, with or without a byte order mark.

    Returns:
        A dict; infinities and NaN that were spelled out are `NamedFloat`.

    Raises:
        ServingError: INVALID_ARGUMENT where it is no JSON object.

    Example:

    >>> parse_body(b'{"instances": [1.5, NaN]}')
    {'instances': [1.5, nan]}
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise invalid_argument(
            f"The document has more than {MAX_CONTAINERS} lists and objects. "
            "Send fewer rows in a request."
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start) from None
    try:
        document = json.loads(text, parse_constant=_CONSTANTS.__getitem__)
        # Python takes half a surrogate pair, which no UTF-8 can hold.
        if "\\u" in text and _SURROGATE.search(text):
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode())
        raise _parse_error(_syntax_error(error), offset) from None
    except UnicodeEncodeError:
        raise invalid_argument(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from None
    except RecursionError:
        raise invalid_argument(
            "JSON Parse error: The document is nested too deeply."
        ) from None
    except ValueError:  # more digits than Python turns into an integer
        raise number_too_big() from None
    if type(document) is not dict:
        raise invalid_argument(f"JSON Value: {preview(document)} Is not object")
    return document


def _parse_error(problem: str, offset: int) -> ServingError:
    return invalid_argument(f"JSON Parse error: {problem} at offset: {offset}")


def _syntax_error(error: json.JSONDecodeError) -> str:
    if not error.doc.strip(" \t\n\r"):
        return "The document is empty."
    if error.msg == "Expecting ',' delimiter":
        # Python does not say of what: an object's last key has a colon.
        if _is_in_object(error.doc[: error.pos]):
            return "Missing a comma or } after an object member."
        return "Missing a comma or ] after an array element."
    return _SYNTAX_ERRORS.get(error.msg, error.msg)


def _is_in_object(text: str) -> bool:
    """Whether the bracket still open at the end of `text` is an object's."""
    opened = []
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        if token in "[{":
            opened.append(token)
        elif token in "]}":
            opened.pop()
    return opened[-1:] == ["{"]
