"""What the name of a column says: an id, a time."""

from __future__ import annotations

import re

# What a whole number names, by the last word of its column's name.
_THINGS = (
    "user item product movie ad campaign creative advertiser publisher site "
    "domain app device page category brand shop tag genre city region country"
).split()
_IDS = (
    "id ids uid uids gid guid uuid pid sid cid tid oid key code zip zipcode "
    "postcode hash"
).split()
# Before an id, as in "userid"; a word that merely ends so ("paid") has none.
_OWNERS = (
    *_THINGS,
    *(
        "session visitor customer client account member order store seller "
        "merchant video song track artist book article news ad query post "
        "group cookie request doc document event"
    ).split(),
)
_RUN_TOGETHER = re.compile(rf"({'|'.join(_OWNERS)})s?ids?")
# How many things there are, not which one.
_COUNTS = ("num", "n", "nb", "number", "count", "total", "sum", "mean", "avg")
_TIMES = (
    "time times timestamp timestamps ts date datetime dt day epoch unixtime "
    "created updated modified published"
).split()
# By which folders are divided, beside whole days.
_UNITS = "year month week hour minute ds".split()
_WORD = re.compile(r"[^\W\d_]+")
# "userId", "itemID": a capital begins a word, or capitals are one.
_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def words_of(name: str) -> list[str]:
    """The words of a column's name, in small letters.

    Example:

    >>> words_of("lastItemID_2"), words_of("HTTPStatus")
    (['last', 'item', 'id'], ['http', 'status'])
    """
    name = re.sub(r"IDs(?![a-z])", "Ids", name)
    parts = _WORD.findall(_BOUNDARY.sub("_", name))
    return [part.lower() for part in parts]


def is_id_name(name: str) -> bool:
    """Whether numbers in the column are ids, not quantities.

    Example:

    >>> [is_id_name(name) for name in ("userId", "uid", "id_shop", "paid")]
    [True, True, True, False]
    """
    words = words_of(name)
    if not words or any(word in _COUNTS for word in words[:-1]):
        return False
    return (
        words[-1] in (*_IDS, *_THINGS)
        or words[0] == "id"
        or _RUN_TOGETHER.fullmatch(words[-1]) is not None
    )


def is_time_name(name: str) -> bool:
    """Whether numbers in the column may be times.

    Example:

    >>> [is_time_name(name) for name in ("eventTime", "seen_at", "at_home")]
    [True, True, False]
    """
    words = words_of(name)
    return bool(words) and (
        words[-1] == "at"
        or any(word in _TIMES for word in words)
        or words[-1].endswith(("timestamp", "datetime"))
    )


def is_time_unit(name: str) -> bool:
    """Whether a folder called so and `=` holds a stretch of time.

    Example:

    >>> [is_time_unit(name) for name in ("day", "hour", "country")]
    [True, True, False]
    """
    return is_time_name(name) or any(w in _UNITS for w in words_of(name))
