"""Times as text: which texts are times, and what their parts are.

A time is a date, `2024-01-31` (also with `/`, or `20240131`), which a time of
day may follow, `2024-01-31 23:59:59.5+01:00` (also with `T`, or
`20240131235959`); or the seconds since 1970, in UTC, as whole seconds, milli-,
micro- or nanoseconds, which the number of digits tells apart (from 1973 to
2286). The hour of a text is the one that is written, whatever its zone.

The patterns are RE2's and the arithmetic is of operators alone, so that Arrow
with numpy and the graph of an export follow one definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array

# Part of a time -> how many values it has.
PARTS = {"hour": 24, "weekday": 7, "is_weekend": 2}

# A whole number with a point, and compact dates, in the form of the rest.
REWRITES = (
    (r"^(\d+)\.0*$", r"\1"),
    (r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3"),
    (r"^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$", r"\1-\2-\3 \4:\5:\6"),
)
_DATE = (
    r"(?:[1-9]\d{3}[-/](?:"
    r"(?:0[13578]|1[02])[-/](?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)[-/](?:0[1-9]|[12]\d|30)"
    r"|02[-/](?:0[1-9]|1\d|2[0-8]))"
    # The 29th of February.
    r"|(?:[1-9]\d(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])"
    r"00)[-/]02[-/]29)"
)
_ZONE = r" ?(?:Z|UTC|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)"
WRITTEN = (
    rf"^{_DATE}(?:[T ](?:[01]\d|2[0-3]):[0-5]\d"
    rf"(?::[0-5]\d(?:\.\d{{1,9}})?)?(?:{_ZONE})?)?$"
)
EPOCH = (
    r"^(?:[1-9]\d{8,9}(?:\.\d+)?|[1-9]\d{11,12}|[1-9]\d{14,15}|[1-9]\d{17,18})$"
)
# A written time or one since 1970, or nothing: the rewritten forms left out.
PLAIN = rf"^(?:{WRITTEN[1:-1]}|{EPOCH[1:-1]})?$"
# How pandas writes a missing time, where it does.
NOT_A_TIME = "NaT"
# Behind the date, of which a "-" is part.
_HAS_ZONE = r"^.{11}.*[ZC+-]"
_DAY = 86_400


def part_values(parts: Iterable[str]) -> list[str]:
    """Every value of some parts, such as `hour=13`."""
    return [f"{part}={value}" for part in parts for value in range(PARTS[part])]


def weekday_of_date(year: Any, month: Any, day: Any) -> Any:
    """Monday is 0; of int64 arrays or tensors.

    The number of the day in the Julian calendar's period, modulo 7: January
    and February count as the months 11 and 12 of the year before.
    """
    before_march = (14 - month) // 12
    year = year + 4800 - before_march
    month = month + 12 * before_march - 3
    days = day + (153 * month + 2) // 5 + 365 * year
    return (days + year // 4 - year // 100 + year // 400 - 32_045) % 7


def parts_of_written(
    year: Any, month: Any, day: Any, hour: Any
) -> dict[str, Any]:
    """The parts of dates with an hour; of int64 arrays or tensors."""
    weekday = weekday_of_date(year, month, day)
    return {"hour": hour, "weekday": weekday, "is_weekend": weekday // 5}


def parts_of_epoch(seconds: Any) -> dict[str, Any]:
    """The parts of seconds since 1970; of an int64 array or tensor."""
    weekday = (seconds // _DAY + 3) % 7  # 1970 began on a Thursday
    return {
        "hour": seconds % _DAY // 3600,
        "weekday": weekday,
        "is_weekend": weekday // 5,
    }


def time_parts(texts: pa.Array) -> tuple[Array, dict[str, Array]]:
    """The parts of times.

    Args:
        texts: text array; what is null or no time has no parts.

    Returns:
        Which of the texts are times (bool), and each part (int64; 0 where it
        is no time).
    """
    texts = _canonical(texts)
    written = _matches(texts, WRITTEN)
    epoch = _matches(texts, EPOCH)
    parts = {name: np.zeros(len(texts), np.int64) for name in PARTS}
    dates = _written_numbers(texts.filter(pa.array(written)))
    for name, values in parts_of_written(*dates[:4]).items():
        parts[name][written] = values
    seconds = _epoch_digits(texts.filter(pa.array(epoch)))[0]
    for name, values in parts_of_epoch(seconds).items():
        parts[name][epoch] = values
    return written | epoch, parts


def part_starts(parts: Sequence[str]) -> Array:
    """Where each part begins among the values of all of them."""
    return np.cumsum([0, *(PARTS[part] for part in parts[:-1])])


def time_ids(
    column: pa.Array, parts: Sequence[str], first_id: int, missing_id: int
) -> Array:
    """(rows, parts) int32 ids of times.

    Args:
        column: text array, dictionary or not.
        parts: names of parts.
        first_id: int. The id of the first value of the first part.
        missing_id: int. The first column where there is no time; the others
            are then -1, which contributes nothing.
    """
    encoded = column
    if not pa.types.is_dictionary(column.type):
        encoded = column.dictionary_encode()
    is_time, values = time_parts(encoded.dictionary)
    # The last row serves the nulls, whose index is set to -1.
    ids = np.full((len(is_time) + 1, len(parts)), -1, np.int32)
    ids[:, 0] = missing_id
    for place, start in enumerate(part_starts(parts)):
        found = values[parts[place]] + (first_id + start)
        ids[:-1, place] = np.where(is_time, found, ids[:-1, place])
    indices = pc.fill_null(encoded.indices, -1)
    rows: Array = ids[indices.to_numpy(zero_copy_only=False)]
    return rows


def moments(texts: pa.Array) -> Array:
    """Microseconds since 1970 in UTC (int64), for putting times in order.

    Args:
        texts: text array. A text without a zone counts as UTC.

    Returns:
        int64; `NO_MOMENT` for what is null or no time.
    """
    result, zones = local_times(texts)
    has_zone = (zones != NO_ZONE) & (zones != 0)
    result[has_zone] -= zones[has_zone] * 10**6
    return result


def local_times(texts: pa.Array) -> tuple[Array, Array]:
    """What the clocks show by which times are written, and their zones.

    Args:
        texts: text array.

    Returns:
        Microseconds since 1970 (int64) as they are written, `NO_MOMENT` for
        what is null or no time; and how many seconds the zone is ahead of
        UTC (int64): `NO_ZONE` where none is written, 0 of numbers.
    """
    texts = _canonical(texts)
    result = np.full(len(texts), NO_MOMENT)
    zones = np.full(len(texts), NO_ZONE)
    written = _matches(texts, WRITTEN)
    if written.any():
        chosen = texts.filter(pa.array(written))
        year, month, day, hour, minute, second = _written_numbers(chosen)
        months = (year - 1970) * 12 + month - 1
        days = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
        seconds = (days + day - 1) * _DAY + hour * 3600 + minute * 60 + second
        micro = seconds * 10**6
        if not _have_whole_seconds(chosen):
            micro += _fraction(chosen)
            has_zone = _matches(chosen, _HAS_ZONE)
            zones[written] = np.where(has_zone, _offset(chosen), NO_ZONE)
        result[written] = micro
    epoch = _matches(texts, EPOCH)
    if epoch.any():
        seconds, micro = _epoch_digits(texts.filter(pa.array(epoch)))
        result[epoch] = seconds * 10**6 + micro
        zones[epoch] = 0
    return result, zones


NO_MOMENT = np.iinfo(np.int64).min
NO_ZONE = np.iinfo(np.int64).min


def _canonical(texts: pa.Array) -> pa.Array:
    texts = pc.ascii_trim_whitespace(pc.fill_null(texts, ""))
    if pc.all(pc.match_substring_regex(texts, WRITTEN)).as_py():
        return texts
    for pattern, new in REWRITES:
        texts = pc.replace_substring_regex(texts, pattern, new)
    return texts


def _matches(texts: pa.Array, pattern: str) -> Array:
    found = pc.match_substring_regex(texts, pattern)
    mask: Array = found.to_numpy(zero_copy_only=False)
    return mask


def _written_numbers(texts: pa.Array) -> list[Array]:
    """Year, month, day, hour, minute and second (int64)."""
    places = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)]
    if _have_whole_seconds(texts):
        return [_whole(texts, start, stop) for start, stop in places]
    # Behind a date without them, and behind a minute without seconds.
    plain = pc.replace_substring_regex(texts, rf"(?:\.\d+)?(?:{_ZONE})?$", "")
    short = pc.equal(pc.utf8_length(texts), 10)
    plain = pc.if_else(short, texts, plain)
    padding = pc.utf8_slice_codeunits(
        pc.binary_join_element_wise(plain, " 00:00:00", ""), 0, 19
    )
    no_second = pc.equal(pc.utf8_length(plain), 16)
    with_second = pc.binary_join_element_wise(plain, ":00", "")
    padded = pc.if_else(no_second, with_second, padding)
    return [_whole(padded, start, stop) for start, stop in places]


def _have_whole_seconds(texts: pa.Array) -> bool:
    """Whether all end with seconds, without a fraction or a zone: most do."""
    found = pc.match_substring_regex(texts, r"^.{10}.\d\d:\d\d:\d\d$")
    return bool(pc.all(found).as_py())


def _whole(texts: pa.Array, start: int, stop: int) -> Array:
    part = pc.utf8_slice_codeunits(texts, start, stop)
    numbers: Array = pc.cast(part, pa.int64()).to_numpy(zero_copy_only=False)
    return numbers


def _fraction(texts: pa.Array) -> Array:
    """Microseconds of written times."""
    digits = pc.replace_substring_regex(texts, r"^[^.]*\.?", "")
    digits = pc.replace_substring_regex(digits, r"^(\d*).*$", r"\1000000")
    return _whole(digits, 0, 6)


def _offset(texts: pa.Array) -> Array:
    """Seconds that the zones of written times are ahead of UTC."""
    zone = pc.replace_substring_regex(texts, r"^.{10}[^+-]*", "")
    zone = pc.replace_substring(zone, ":", "")
    zone = pc.replace_substring_regex(
        pc.binary_join_element_wise(zone, "0000", ""), r"^(\d+)$", r"+\1"
    )
    hours, minutes = _whole(zone, 1, 3), _whole(zone, 3, 5)
    sign = pc.starts_with(zone, "-").to_numpy(zero_copy_only=False)
    seconds: Array = np.where(sign, -1, 1) * (hours * 3600 + minutes * 60)
    return seconds


def _epoch_digits(texts: pa.Array) -> tuple[Array, Array]:
    """Whole seconds and the microseconds beyond them."""
    whole = pc.replace_substring_regex(texts, r"\..*$", "")
    length = pc.utf8_length(whole).to_numpy(zero_copy_only=False)
    # 9 or 10 digits of seconds stand before 0, 3, 6 or 9 of a fraction.
    digits = pc.replace_substring(texts, ".", "")
    digits = pc.binary_join_element_wise(digits, "000000", "")
    is_long = length % 3 == 1
    seconds = np.where(is_long, _whole(digits, 0, 10), _whole(digits, 0, 9))
    micro = np.where(is_long, _whole(digits, 10, 16), _whole(digits, 9, 15))
    return seconds, micro
