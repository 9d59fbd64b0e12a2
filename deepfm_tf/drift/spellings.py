"""Other texts that may stand for the same value."""

from __future__ import annotations

import ast
import datetime
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_UUID = re.compile(
    r"\{?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?"
)
_BOOLEANS = (
    ("True", "true", "TRUE", "T", "t", "yes", "Yes", "1", "1.0"),
    ("False", "false", "FALSE", "F", "f", "no", "No", "0", "0.0"),
)
# Zeros are put before a number up to this many digits.
_LONGEST_PADDED = 12
# Neighbours of a number that a float rounded are tried up to this distance.
_FARTHEST = 64

_ISO = re.compile(
    r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
    r"(?:[T ](?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?:[.,](?P<f>\d+))?)?)?"
    r" ?(?:Z|UTC|[+-]\d{2}:?\d{2})?"
)
_DAY_FIRST = re.compile(
    r"(?P<a>\d{1,2})(?P<s>[-/.])(?P<b>\d{1,2})(?P=s)(?P<y>\d{4}|\d{2})"
    r"(?:[T ](?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2}))?)?"
)
_LAYOUTS = (
    *("%Y%m%d", "%y%m%d", "%y%m%d%H", "%Y%m%d%H", "%Y%m%d%H%M%S"),
    *("%Y-%m", "%Y%m", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y"),
    *("%B %d, %Y", "%d %B %Y", "%d/%b/%Y:%H:%M:%S", "%b %d %Y"),
)
_WRITTEN = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y"),
    *("%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y"),
    *_LAYOUTS,
)
_EPOCH = datetime.datetime(1970, 1, 1)


def other_spellings(text: str) -> Iterator[str]:
    """Texts that stand for the same value, stored or written otherwise.

    Numbers as another type of number, digits padded or grouped, booleans,
    dates in usual layouts or counted from 1970, upper and lower case, blanks,
    quotes, bytes, UUIDs, Unicode's forms, wrongly decoded UTF-8.

    Args:
        text: as it stands in the data. It is left out of the result.

    Example:

    >>> {"7", "007"} <= set(other_spellings("7.0"))
    True
    >>> "2024-05-01 10:00:00" in set(other_spellings("2024-05-01T10:00"))
    True
    """
    seen = {text}
    for spelling in _spellings(text):
        if spelling not in seen:
            seen.add(spelling)
            yield spelling


def _spellings(text: str) -> Iterator[str]:
    yield from _plain(text)
    stripped = text.strip()
    for bare in {stripped, stripped.strip("'\"")}:
        if bare != text:
            yield from _plain(bare)
    yield f" {text}"
    yield f"{text} "


def _plain(text: str) -> Iterator[str]:
    yield text
    yield from (text.lower(), text.upper(), text.title(), text.capitalize())
    yield from _decoded(text)
    for names in _BOOLEANS:
        if text in names:
            yield from names
    number = as_number(text)
    if number is not None:
        yield from _numbers(number)
    for moment in as_dates(text):
        yield from _dates(moment)
    if number is not None and number == number.to_integral_value():
        for moment in _from_epoch(int(number)):
            yield from _dates(moment)


def _decoded(text: str) -> Iterator[str]:
    """What was a matter of bytes."""
    for form in ("NFC", "NFD", "NFKC"):
        yield unicodedata.normalize(form, text)
    if re.fullmatch(r"b('.*'|\".*\")", text, re.DOTALL):
        try:
            yield ast.literal_eval(text).decode()
        except (ValueError, SyntaxError):
            pass
    yield repr(text.encode("utf-8", "surrogatepass"))
    for encoding in ("latin-1", "cp1252"):
        for first, second in ((encoding, "utf-8"), ("utf-8", encoding)):
            try:
                yield text.encode(first).decode(second)
            except UnicodeError:
                continue
    digits = ""
    if _UUID.fullmatch(text):
        digits = text.strip("{}").replace("-", "").lower()
    elif len(text) == 16 and not text.isalnum():
        try:  # its 16 bytes
            digits = text.encode("latin-1").hex()
        except UnicodeError:
            pass
    if digits:
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20])
        dashed = "-".join((*parts, digits[20:]))
        for form in (digits, dashed, f"{{{dashed}}}"):
            yield from (form, form.upper())


def as_number(text: str) -> Decimal | None:
    """The number that a text is, grouped or with a decimal comma too."""
    text = text.strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not _NUMBER.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if abs(number.adjusted()) < 40 else None


def _numbers(number: Decimal) -> Iterator[str]:
    if number == number.to_integral_value():
        yield from _whole(int(number))
        # A float that could not hold it: the numbers it may have been.
        for kind, exact in ((np.float32, 2**24), (np.float64, 2**53)):
            with np.errstate(over="ignore"):
                rounded: Any = kind(float(number))
            if not np.isfinite(rounded) or abs(int(number)) < exact:
                continue
            if Decimal(str(rounded)) != number and int(rounded) != number:
                continue
            middle, reach = int(rounded), int(np.spacing(abs(rounded))) // 2
            yield str(middle)
            if reach <= _FARTHEST:
                yield from map(str, range(middle - reach, middle + reach + 1))
        return
    text = format(number.normalize(), "f")
    yield from (text, text.replace(".", ","), repr(float(number)))
    yield str(np.float32(float(number)))
    yield from (f"{text}0", f"{text}00", f"{number:.2f}", f"{number:.1f}")


def _whole(number: int) -> Iterator[str]:
    digits = str(number)
    yield from (digits, f"{digits}.0", f"{digits}.", f"{digits}.00")
    yield from (f"{number:,}", repr(float(number)), f"{float(number):g}")
    with np.errstate(over="ignore"):
        yield str(np.float32(number))
    if number >= 0:
        yield from (digits.zfill(n) for n in range(1, _LONGEST_PADDED + 1))
        yield f"+{digits}"
    if not number:
        yield from ("-0", "-0.0")
    if number in (0, 1):
        yield from _BOOLEANS[1 - number]


def as_dates(text: str) -> list[datetime.datetime]:
    """The dates that a text may be, to the microsecond, without a zone."""
    text = text.strip()
    # As fast as most of the texts, which are none, allow.
    if not 6 <= len(text) <= 40 or not any(c.isdigit() for c in text):
        return []
    match = _ISO.fullmatch(text)
    if match:
        part = match.groupdict()
        fraction = (part["f"] or "").ljust(6, "0")[:6]
        return _moments(
            [(part["y"], part["m"], part["d"])], part, int(fraction)
        )
    match = _DAY_FIRST.fullmatch(text)
    if match:
        part = match.groupdict()
        year = part["y"] if len(part["y"]) == 4 else f"20{part['y']}"
        a, b = part["a"], part["b"]
        return _moments([(year, b, a), (year, a, b)], part, 0)
    found = []
    for layout in _LAYOUTS:
        try:
            moment = datetime.datetime.strptime(text, layout)
        except ValueError:
            continue
        if 1900 <= moment.year <= 2100:
            found.append(moment)
    return found


def _moments(
    days: list[tuple[str, str, str]], part: dict[str, str], microsecond: int
) -> list[datetime.datetime]:
    found = []
    for day in days:
        try:
            time = [int(part.get(unit) or 0) for unit in "HMS"]
            found.append(
                datetime.datetime(*map(int, day), *time, microsecond)  # type: ignore[arg-type, call-arg]
            )
        except ValueError:
            continue
    return found


def _from_epoch(number: int) -> Iterator[datetime.datetime]:
    """What a whole number may count from 1970 on."""
    digits = len(str(abs(number)))
    try:
        for unit, length in ((1, 10), (10**3, 13), (10**6, 16), (10**9, 19)):
            if digits in (length, length - 1):
                microseconds = number * 10**6 // unit
                yield _EPOCH + datetime.timedelta(microseconds=microseconds)
        if digits in (4, 5):
            yield _EPOCH + datetime.timedelta(days=number)
        if 0 <= number < 1600:
            yield datetime.datetime(1970 + number // 12, number % 12 + 1, 1)
    except OverflowError:
        return


def _dates(moment: datetime.datetime) -> Iterator[str]:
    for layout in _WRITTEN:
        yield moment.strftime(layout)
    day = moment.strftime("%Y-%m-%d")
    yield f"{moment.day}/{moment.month}/{moment.year}"
    yield f"{moment.month}/{moment.day}/{moment.year}"
    yield f"{moment.day}.{moment.month}.{moment.year}"
    for before in (f"{day} ", f"{day}T"):
        minute = f"{before}{moment:%H:%M}"
        yield minute
        second = f"{minute}:{moment:%S}"
        fraction = f"{moment.microsecond:06d}000"
        whole = [second]
        if moment.microsecond:
            whole = [f"{second}.{fraction.rstrip('0')}"]
        whole += [f"{second}.{fraction[:n]}" for n in (1, 3, 6, 9)]
        for text in whole:
            yield from (text, f"{text}Z", f"{text}+00:00")
    since = moment - _EPOCH
    microseconds = since // datetime.timedelta(microseconds=1)
    yield from (
        str(microseconds // 10**6),
        str(microseconds // 10**3),
        str(microseconds),
        str(microseconds * 10**3),
        str(since.days),
        str((moment.year - 1970) * 12 + moment.month - 1),
    )
