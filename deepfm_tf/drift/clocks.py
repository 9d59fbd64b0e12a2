"""The times of some data, compared with training's.

How they are written: midnights and zones. And hours and days of the week that
training never saw. Hours that are shifted are not looked for: rows of another
time of the day, which every split by time has, cannot be told from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.shares import is_far_above
from deepfm_tf.timestamps import NO_MOMENT, NO_ZONE, local_times

NOT_WRITTEN = "none"

_SECOND = 10**6
_HOUR, _DAY = 3600 * _SECOND, 86_400 * _SECOND
_THURSDAY = 3  # of 1 January 1970; Monday is 0
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Days of the week that are one value of a part.
_PART_WIDTH = {"is_weekend": 5}
_NAMES = {"hour": "the hours", "weekday": "the days", "is_weekend": "the days"}
_MOST_EXAMPLES = 3
# Of a block: taking times apart costs more than looking up an id.
_MOST_ROWS = 8192
# A zone, or times of day, that fewer of training's times have are unknown.
_FEW = 0.01
_NEARLY_ALL = 0.95
# Daylight saving time moves the clocks of a zone by so much.
_SAVED_MINUTES = 60


class ClockFault(NamedTuple):
    """Times that are written otherwise than training's, or lie elsewhere.

    Attributes:
        measure: str. `"midnight"`, `"time_of_day"`, `"zone"`, `"hour"`,
            `"weekday"` or `"is_weekend"`.
        now, expected: a count of times, and of how many.
        examples: three of them at most.
        what, cause: str. How they are written, or where they lie, and what
            that may mean.
        kind: str. As of `Cause`.
    """

    measure: str
    now: tuple[int, int]
    expected: tuple[float, float]
    examples: tuple[str, ...]
    what: str
    cause: str
    kind: str = "format"


@dataclasses.dataclass
class ClockCounts:
    """How the times of some rows are written.

    Attributes:
        times: int.
        midnights: int. Times at 00:00:00, a date alone among them.
        whole_hours: int. Times at 00:00 of any hour.
        zones: offset of a zone -> times, such as `+01:00`, or `none` where
            none is written. `Z`, `UTC` and seconds since 1970 are `+00:00`; a
            date alone has no zone that could be written.
        days: days since 1970 at whose midnight a time is; two at most.
        hours, weekdays: of the day, and with Monday as 0 -> times.
        examples: measure, zone, `hour=7` or `weekday=0` -> three such texts at
            most.
    """

    times: int = 0
    midnights: int = 0
    whole_hours: int = 0
    zones: dict[str, int] = dataclasses.field(default_factory=dict)
    days: set[int] = dataclasses.field(default_factory=set)
    hours: dict[int, int] = dataclasses.field(default_factory=dict)
    weekdays: dict[int, int] = dataclasses.field(default_factory=dict)
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, column: pa.Array) -> ClockCounts:
        """Of a text array, dictionary or not; what is no time is left out.

        Of a large array, a random sample of the rows.

        Example:

        >>> ClockCounts.of(pa.array(["2024-05-01", "2024-05-01 10:30Z"])).zones
        {'+00:00': 1}
        """
        encoded = column.drop_null()
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        if len(codes) > _MOST_ROWS:
            random = np.random.default_rng(0)
            codes = codes[random.choice(len(codes), _MOST_ROWS, replace=False)]
        used, counts = np.unique(codes, return_counts=True)
        texts = encoded.dictionary.take(pa.array(used)).cast(pa.string())
        local, zones = local_times(texts)
        counts[local == NO_MOMENT] = 0
        found = cls(int(counts.sum()))
        found.whole_hours = int(counts[local % _HOUR == 0].sum())
        is_midnight = (local % _DAY == 0) & (counts > 0)
        found.midnights = int(counts[is_midnight].sum())
        found.days = set(np.unique(local[is_midnight] // _DAY)[:2].tolist())
        found._add_examples("midnight", texts, is_midnight)
        others = ~is_midnight & (counts > 0)
        found._add_examples("time_of_day", texts, others)
        for part, values, found_part in (
            ("hour", local // _HOUR % 24, found.hours),
            ("weekday", (local // _DAY + _THURSDAY) % 7, found.weekdays),
        ):
            for value in np.unique(values[counts > 0]).tolist():
                chosen = (counts > 0) & (values == value)
                found_part[value] = int(counts[chosen].sum())
                found._add_examples(f"{part}={value}", texts, chosen)
        is_date = is_midnight & (zones == NO_ZONE)
        may_have = (counts > 0) & ~is_date
        for zone in np.unique(zones[may_have]).tolist():
            name = NOT_WRITTEN if zone == NO_ZONE else _offset_text(zone)
            chosen = may_have & (zones == zone)
            found.zones[name] = int(counts[chosen].sum())
            found._add_examples(name, texts, chosen)
        return found

    def merge(self, other: ClockCounts) -> None:
        """Add what later rows hold."""
        self.times += other.times
        self.midnights += other.midnights
        self.whole_hours += other.whole_hours
        counts: Any
        for counts, more in (
            (self.zones, other.zones),
            (self.hours, other.hours),
            (self.weekdays, other.weekdays),
        ):
            for value, count in more.items():
                counts[value] = counts.get(value, 0) + count
        self.days = set(sorted(self.days | other.days)[:2])
        for name, texts in other.examples.items():
            known = self.examples.setdefault(name, [])
            known += [text for text in texts if text not in known]
            del known[_MOST_EXAMPLES:]

    def summary(self) -> dict[str, Any]:
        """What a vocabulary keeps of training's."""
        return {
            "times": self.times,
            "midnights": self.midnights,
            "whole_hours": self.whole_hours,
            "zones": dict(sorted(self.zones.items())),
            "hours": sorted(self.hours),
            "weekdays": sorted(self.weekdays),
        }

    def _add_examples(self, name: str, texts: pa.Array, mask: Array) -> None:
        places = np.flatnonzero(mask)[:_MOST_EXAMPLES]
        if len(places):
            self.examples[name] = texts.take(pa.array(places)).to_pylist()


def clock_faults(
    own: ClockCounts, training: Mapping[str, Any], parts: Sequence[str] = ()
) -> list[ClockFault]:
    """In which way times are written otherwise than training's, or lie.

    - More midnights: the time of day was lost. Rows of but one hour may be
      midnights without a fault. So where all of them are of one day, nearly
      all times must be midnights, and training's times no whole hours.
    - A time of day, where training's times are all dates.
    - Zones that training does not have, and none that is an hour from them,
      as daylight saving time makes of one.
    - Hours that training does not have, and days of the week where it has but
      one of them: of the others nothing was learnt. Not told where the times
      are written otherwise, which makes other hours of them.

    Args:
        own: of the data.
        training: what `ClockCounts.summary` gave.
        parts: of the field, of which it has vectors.
    """
    before = training.get("times", 0)
    if not own.times or not before:
        return []
    written = [
        fault
        for fault in (
            _midnights(own, training),
            _times_of_day(own, training),
            _zones(own, training),
        )
        if fault is not None
    ]
    unseen = {part: _unseen_part(part, own, training) for part in parts}
    if unseen.get("weekday") is not None:  # tells of the weekend too
        unseen.pop("is_weekend", None)
    return written or [f for f in unseen.values() if f is not None]


def _midnights(
    own: ClockCounts, training: Mapping[str, Any]
) -> ClockFault | None:
    now, total = (own.midnights, own.times), training["times"]
    expected = training["midnights"], total
    on_one_day = training["whole_hours"], total
    if not is_far_above(now, expected):
        return None
    are_all = own.midnights >= _NEARLY_ALL * own.times
    is_lost = are_all and is_far_above(now, on_one_day)
    if len(own.days) == 1 and not is_lost:
        return None
    return ClockFault(
        "midnight",
        now,
        expected,
        tuple(own.examples["midnight"]),
        "at midnight (00:00:00)",
        "the time of day was lost, for example because a date was written "
        "instead of a time. The hour is then read as 0.",
    )


def _times_of_day(
    own: ClockCounts, training: Mapping[str, Any]
) -> ClockFault | None:
    now = own.times - own.midnights, own.times
    expected = training["times"] - training["midnights"], training["times"]
    # Else there were times of day to learn from.
    if expected[0] >= _FEW * expected[1] or not is_far_above(now, expected):
        return None
    return ClockFault(
        "time_of_day",
        now,
        expected,
        tuple(own.examples["time_of_day"]),
        "not at midnight",
        "in training the times are dates without a time of day, so the model "
        "knows no other hour.",
    )


def _zones(own: ClockCounts, training: Mapping[str, Any]) -> ClockFault | None:
    before = training["zones"]
    total = sum(before.values())
    known = [z for z, n in before.items() if n >= _FEW * total]

    def is_unseen(zone: str) -> bool:
        return not any(_are_near(zone, other) for other in known)

    now = _count(own.zones, is_unseen), sum(own.zones.values())
    expected = _count(before, is_unseen), total
    if not is_far_above(now, expected):
        return None
    unseen = {z: n for z, n in own.zones.items() if is_unseen(z)}
    zone = max(unseen, key=lambda name: unseen[name])
    return ClockFault(
        "zone",
        now,
        expected,
        tuple(own.examples[zone]),
        f"in a time zone that does not occur in training ({zone}"
        + f" and {len(unseen) - 1} more" * (len(unseen) > 1)
        + f"; in training: {', '.join(known)})",
        "the hour is read as written, whatever the time zone. Hour and day "
        "are then not those of training: convert the times.",
    )


def _unseen_part(
    part: str, own: ClockCounts, training: Mapping[str, Any]
) -> ClockFault | None:
    name = "hour" if part == "hour" else "weekday"
    seen = training.get(f"{name}s")
    if seen is None:  # counted before this was
        return None
    width = _PART_WIDTH.get(part, 1)
    known = {value // width for value in seen}
    if name == "weekday" and len(known) > 1:
        return None  # as it is of every log of less than a week
    counts = own.hours if name == "hour" else own.weekdays
    unseen = [v for v in sorted(counts) if v // width not in known]
    now = sum(counts[value] for value in unseen), own.times
    expected = 0.0, training["times"]
    if not is_far_above(now, expected):
        return None
    if part == "hour":
        shown = ", ".join(map(str, seen))
    else:
        shown = ", ".join(_DAYS[value] for value in seen)
    examples = [own.examples[f"{name}={value}"][0] for value in unseen]
    return ClockFault(
        part,
        now,
        expected,
        tuple(examples[:_MOST_EXAMPLES]),
        f"with a value of '{part}' that does not occur in training",
        f"in training the times have only {_NAMES[part]} {shown}, so the "
        f"model knows no others. Train on more days, or leave '{part}' out "
        "of the field's `parts`.",
        "time",
    )


def _count(zones: Mapping[str, int], is_unseen: Any) -> int:
    return sum(count for zone, count in zones.items() if is_unseen(zone))


def _are_near(zone: str, other: str) -> bool:
    """Whether one may be the other in another season."""
    if NOT_WRITTEN in (zone, other):
        return zone == other
    return abs(_minutes(zone) - _minutes(other)) <= _SAVED_MINUTES


def _minutes(zone: str) -> int:
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def _offset_text(seconds: int) -> str:
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02d}:{minutes:02d}"
