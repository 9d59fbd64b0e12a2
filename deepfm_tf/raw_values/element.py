"""The text of one raw value."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np
import pandas as pd

# Whole numbers that a float holds without a doubt.
LARGEST_WHOLE = 2.0**53

BEYOND = (
    "is a whole number beyond 2^53, which a float may have rounded; store the "
    "column as integers or text"
)

FAR = "is not a moment between the years 1 and 9999"

DURATION = (
    "A duration has no unique text form; store seconds instead (pandas: "
    "`.dt.total_seconds()`)"
)


class NoTextError(Exception):
    """A value that has no text; says why."""


def to_text(value: Any) -> str | None:
    """The text of one value; None where it is missing.

    Args:
        value: any object that a column may hold.

    Raises:
        NoTextError: it has none; the message says why.

    Example:

    >>> import datetime
    >>> [to_text(v) for v in (7.0, 0.1, True, datetime.date(2024, 2, 1), "7.0")]
    ['7', '0.1', 'True', '2024-02-01', '7.0']
    """
    if isinstance(value, str):
        if not value.isascii():
            _check_unicode(value)
        return str.__str__(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "True" if value else "False"
    if isinstance(value, (int, np.integer)) and not isinstance(
        value, np.timedelta64
    ):
        try:
            return int.__repr__(int(value))
        except ValueError:  # Python's bound on the digits of an integer
            raise NoTextError("an integer of that many digits") from None
    if isinstance(value, (float, np.floating)):
        return _float_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes_text(bytes(value))
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        raise NoTextError(DURATION)
    if isinstance(value, np.datetime64):
        value = _timestamp(value)
        return None if value is None else to_text(value)
    if isinstance(value, datetime.datetime):
        return _datetime_text(value)
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else str(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return to_text(value.item())
    _check_has_text(value)
    return str(value)


def shown(value: Any) -> str:
    """A value for a message: short, and text that can be printed."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    try:
        text = value if isinstance(value, str) else str(value)
    except ValueError:  # Python's bound on the digits of an integer
        text = hex(value)
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text if len(text) <= 200 else f"{text[:200]}..."


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NoTextError(
            f"{shown(text)!r} has half a character in it (a lone surrogate), "
            "which is not text"
        ) from None


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise NoTextError(
            f"{shown(value)!r} is not UTF-8 text; convert the file to UTF-8"
        ) from None


def _float_text(value: Any) -> str | None:
    if math.isnan(value):
        return None
    if not math.isfinite(value) or value != math.floor(value):
        # The shortest text that reads back, for each width its own.
        is_double = isinstance(value, float)
        return float.__repr__(value) if is_double else str(value)
    if abs(float(value)) > LARGEST_WHOLE:
        raise NoTextError(f"{value} {BEYOND}")
    return str(int(value))


def _timestamp(value: np.datetime64) -> datetime.datetime | None:
    if np.isnat(value):
        return None
    year = value.astype("datetime64[Y]").astype(np.int64) + 1970
    if not 1 <= year <= 9999:
        raise NoTextError(f"{value} {FAR}")
    moment: datetime.datetime = pd.Timestamp(value)
    return moment


def _datetime_text(value: datetime.datetime) -> str:
    if not 1 <= value.year <= 9999:  # pandas has others
        raise NoTextError(f"{value} {FAR}")
    # pandas' own isoformat tells nanoseconds too.
    text = value.isoformat(sep=" ")
    date, time, rest = text[:10], text[11:19], text[19:]
    # A fraction may stand before the zone, which begins with its sign.
    zone = rest.lstrip(".0123456789")
    fraction = rest[: len(rest) - len(zone)].rstrip("0").rstrip(".")
    if not zone and not fraction and time == "00:00:00":
        return date
    return f"{date} {time}{fraction}{zone}"


def _check_has_text(value: Any) -> None:
    kind: Any = type(value)
    if isinstance(value, (complex, np.complexfloating)):
        raise NoTextError(f"{value} is a complex number")
    if isinstance(value, (list, tuple, set, frozenset, dict, np.ndarray)):
        raise NoTextError(f"{shown(value)} is a {kind.__name__}, not one value")
    if (
        kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    ) or isinstance(value, np.void):
        raise NoTextError(f"an object of type {kind.__name__} has no text")
