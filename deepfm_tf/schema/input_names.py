"""The one mapping from the name of a field to its input in an export."""

from __future__ import annotations

import collections
import hashlib
import keyword
import re
from collections.abc import Iterable

from deepfm_tf.errors import UserError

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# What TensorFlow keeps for itself, beside what no Python argument may be
# called. (All 5,000 identifiers of its own export code were tried.)
_RESERVED = ("self",)
# Of a name that is not plain; longer ones are cut and told apart.
_MAX_LENGTH = 64


def input_names(fields: Iterable[str]) -> dict[str, str]:
    """Field name -> input name in the exported signatures, for any names.

    TensorFlow takes letters, digits and `_`, with a letter in front, ignores
    case when it compares names, and makes each a Python argument. So:

    - Such a name stays as it is. Where an earlier field has it in another
      case, `_2` follows: `C1`, `c1` -> `C1`, `c1_2`.
    - In any other name, each other character of ASCII becomes `_` and each
      character beyond `u` and its code point in hexadecimal digits, at least
      four: `marital-status` -> `marital_status`, `性別` -> `u6027u5225`. A
      name without a letter in front, a keyword of Python and `self` get
      `field_` before them: `1st` -> `field_1st`, `class` -> `field_class`.
    - Where that would be the name of another field too, or longer than 64
      characters, `_` follows and the first eight digits of the SHA-256 of
      the field's name in UTF-8.

    A name that is not plain becomes the same whatever the order of the
    fields, so that an input does not mean another field when one is added.

    Args:
        fields: the names, each once.

    Raises:
        ValueError: a name cannot be written in UTF-8.

    Example:

    >>> input_names(["site", "marital-status", "class"])
    {'site': 'site', 'marital-status': 'marital_status', 'class': 'field_class'}
    """
    fields = list(fields)
    for name in fields:
        _check_encodable(name)
    plain = [name for name in fields if _is_plain(name)]
    names: dict[str, str] = {}
    # In lower case. An input is never called like another field.
    used = {name.lower() for name in plain}
    claimed: set[str] = set()
    for name in plain:
        unique, number = name, 2
        if name.lower() in claimed:
            while unique.lower() in used:
                unique, number = f"{name}_{number}", number + 1
        claimed.add(name.lower())
        used.add(unique.lower())
        names[name] = unique
    readable = {n: _readable(n) for n in fields if n not in names}
    count = collections.Counter(name.lower() for name in readable.values())
    clashing = []
    for field, name in readable.items():
        lower = name.lower()
        if count[lower] > 1 or lower in used or len(name) > _MAX_LENGTH:
            clashing.append(field)
        else:
            names[field] = name
    used |= {names[field].lower() for field in readable if field in names}
    for field in clashing:
        names[field] = _told_apart(field, readable[field], used)
        used.add(names[field].lower())
    return {field: names[field] for field in fields}


def _is_plain(name: str) -> bool:
    return (
        _PLAIN.fullmatch(name) is not None
        and not keyword.iskeyword(name)
        and name not in _RESERVED
    )


def _readable(name: str) -> str:
    text = "".join(map(_readable_character, name))
    is_argument = text[:1].isalpha() and not keyword.iskeyword(text)
    return text if is_argument and text not in _RESERVED else f"field_{text}"


def _readable_character(character: str) -> str:
    if re.match("[A-Za-z0-9_]", character):
        return character
    return "_" if character.isascii() else f"u{ord(character):04x}"


def _told_apart(field: str, readable: str, used: set[str]) -> str:
    digest = hashlib.sha256(field.encode()).hexdigest()
    names = (
        f"{readable[:_MAX_LENGTH]}_{digest[:length]}"
        for length in range(8, len(digest) + 1)
    )
    return next(name for name in names if name.lower() not in used)


def _check_encodable(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(
            "The name of a field must be text that can be written in UTF-8. "
            f"Received: {name!r}, which holds half of a surrogate pair."
        ) from None
