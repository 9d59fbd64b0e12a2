"""The JSON object of a REST request, or the error of its syntax."""

import json
import re
from collections.abc import Callable
from typing import Any

from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.rest.tensors import NamedFloat
from deepfm_tf.serving.rest.texts import number_too_big, preview, text_bytes

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
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Every escape of a text: a whole surrogate pair, half of one, or another.
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL
)
_CONSTANTS = {
    "NaN": NamedFloat("nan"),
    "Infinity": NamedFloat("inf"),
    "-Infinity": NamedFloat("-inf"),
    # RapidJSON's own, which Python does not know.
    "Inf": NamedFloat("inf"),
    "-Inf": NamedFloat("-inf"),
    "-NaN": NamedFloat("nan"),
}
# What ends or begins a string, and the constants outside of them.
_TOKENS = re.compile(r'\\.|"|-?Inf(?:inity|(?!i))|-?NaN', re.DOTALL)


def parse_body(body: Body) -> dict[str, Any]:
    """The JSON object of a request, with what RapidJSON lets pass.

    Of a key that comes twice, the first value counts. What follows the
    object is ignored. `Inf` is infinity. Bytes in strings that are not UTF-8
    stay what they are: `text_bytes` gives them back.

    Args:
        body: bytes or bytearray. UTF-8, with or without a byte order mark.

    Returns:
        A dict; infinities and NaN that were spelled out are `NamedFloat`.

    Raises:
        ServingError: INVALID_ARGUMENT where it is no JSON object.

    Example:

    >>> parse_body(b'{"instances": [1.5, NaN], "instances": []} end')
    {'instances': [1.5, nan]}
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise invalid_argument(
            f"The document has more than {MAX_CONTAINERS} lists and objects. "
            "Send fewer rows in a request."
        )
    text = body.decode("utf-8-sig", "surrogateescape")
    try:
        document, end = _parse(text)
    except json.JSONDecodeError as error:
        offset = len(text_bytes(text[: error.pos]))
        raise _parse_error(_syntax_error(error), offset) from None
    except RecursionError:
        raise invalid_argument(
            "JSON Parse error: The document is nested too deeply."
        ) from None
    except ValueError:  # more digits than Python turns into an integer
        raise number_too_big() from None
    # Python takes half a surrogate pair, which no UTF-8 can hold.
    if _SURROGATE.search(text, 0, end) and any(
        found[1] for found in _ESCAPES.finditer(text, 0, end)
    ):
        raise invalid_argument(
            "JSON Parse error: The surrogate pair in string is invalid."
        )
    if type(document) is not dict:
        raise invalid_argument(f"JSON Value: {preview(document)} Is not object")
    return document


def _parse(text: str) -> tuple[Any, int]:
    """The first value of a text, and where it ends."""
    start = len(text) - len(text.lstrip(" \t\n\r"))
    try:
        return _decoder(_CONSTANTS.__getitem__).raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_constant = text.startswith(("Inf", "-Inf", "-NaN"), error.pos)
        num_tokens = sum(map(text.count, ('"', "\\", "Inf", "NaN")))
        if not is_constant or num_tokens > MAX_CONTAINERS:
            raise
    readable, constants = _with_known_constants(text)
    following = iter(constants)
    return _decoder(lambda _: next(following)).raw_decode(readable, start)


def _with_known_constants(text: str) -> tuple[str, list[NamedFloat]]:
    """A text of the same length whose constants Python knows, and theirs.

    The constants come in the order in which a parser asks for them.
    """
    constants = []
    is_quoted = False

    def known(token: re.Match[str]) -> str:
        nonlocal is_quoted
        word = token[0]
        if word == '"':
            is_quoted = not is_quoted
        elif not is_quoted and word in _CONSTANTS:
            constants.append(_CONSTANTS[word])
            if word not in ("Infinity", "-Infinity"):
                return "NaN".rjust(len(word))
        return word

    return _TOKENS.sub(known, text), constants


def _decoder(constant: Callable[[str], NamedFloat]) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_constant=constant, object_pairs_hook=_first_of_each
    )


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in reversed(pairs):
            found[name] = value
    return found


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
