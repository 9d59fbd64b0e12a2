"""Why values of a field are unseen: the likeliest cause, by their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.drift.spellings import as_dates, as_number, other_spellings
from deepfm_tf.raw_values import NUMBER_PATTERN

# Texts of the vocabulary that are looked at for their form.
_SAMPLE = 2000
# Dates of the vocabulary among which the last is looked for.
_MOST_DATES = 100_000
# A cause must account for this share of what is beyond the expected.
_ENOUGH = 0.8
_MISSING = frozenset(
    {
        *("na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none"),
        *("nil", "nat", "-", "--", "?", ".", "\\n", "(null)", "missing"),
        *("unknown", "undefined", "#n/a n/a", "1.#qnan", "n.a.", "na."),
    }
)


class Cause(NamedTuple):
    """What most of the unseen values have in common.

    Attributes:
        kind: str. `"type"` (values of training, stored as another type),
            `"format"` (written otherwise), `"missing"` (spellings of
            missing), `"time"` (beyond training's largest), `"unit"` (of
            numbers: far beyond), or `"population"`: none of these.
        text: str. A sentence or two on it.
        is_fault: bool. Whether the data must be wrong: values of training in
            another spelling, or spellings of missing.
    """

    kind: str
    text: str
    is_fault: bool = False


def likely_cause(
    texts: Mapping[str, int],
    is_known: Callable[[Sequence[str]], Array],
    values: Sequence[str],
    excess: float,
) -> Cause:
    """The likeliest cause of unseen texts.

    Args:
        texts: unseen texts -> how often each occurs.
        is_known: tells of some texts which the vocabulary holds.
        values: the vocabulary's, the most frequent first.
        excess: float in (0, 1]. The share of the unseen that is more than
            was to be expected, and that a cause must explain.
    """
    total = sum(texts.values())
    needed = _ENOUGH * excess * total
    known = _known_spellings(texts, is_known)
    if known and sum(texts[text] for text in known) >= needed:
        return _spelling_cause(texts, known)
    absent = [text for text in texts if text.strip().lower() in _MISSING]
    if absent and sum(texts[text] for text in absent) >= needed:
        shown = ", ".join(map(repr, absent[:3]))
        return Cause(
            "missing",
            f"{shown} may mean missing: name it in `missing_values`, also "
            "for training.",
            True,
        )
    sample = list(values[:: max(1, len(values) // _SAMPLE)])
    return (
        _format_cause(texts, sample, needed)
        or _time_cause(texts, values, sample, needed)
        or Cause(
            "population",
            "another population: no other spelling of them occurs in "
            "training. Check that the data come from the same source.",
        )
    )


def number_cause(
    texts: Mapping[str, int], minimum: float, maximum: float
) -> Cause:
    """The likeliest cause of numbers outside training's range."""
    numbers = np.array([float(text) for text in texts])
    counts = np.array(list(texts.values()))
    above = counts[numbers > maximum].sum() >= _ENOUGH * counts.sum()
    bound = max(abs(minimum), abs(maximum))
    far = counts[np.abs(numbers) >= 10 * bound].sum()
    reach = (
        f"in training the numbers range from {minimum:.7g} to {maximum:.7g}."
    )
    if far >= _ENOUGH * counts.sum():
        return Cause(
            "unit",
            f"another unit, such as milliseconds for seconds: {reach}",
        )
    if above:
        return Cause(
            "time",
            f"time, if the numbers grow with it: {reach} Derive a value that "
            "repeats, such as the hour, or remove the field.",
        )
    return Cause("population", f"another population: {reach}")


def _known_spellings(
    texts: Mapping[str, int], is_known: Callable[[Sequence[str]], Array]
) -> dict[str, str]:
    """Unseen texts -> the text of the vocabulary that means the same."""
    spellings, owners = [], []
    for text in texts:
        for spelling in other_spellings(text):
            spellings.append(spelling)
            owners.append(text)
    found: dict[str, str] = {}
    for n in np.flatnonzero(is_known(spellings)) if spellings else ():
        found.setdefault(owners[n], spellings[n])
    return found


def _spelling_cause(
    texts: Mapping[str, int], known: Mapping[str, str]
) -> Cause:
    first = max(known, key=lambda text: texts[text])
    example = f"{first!r} stands for training's {known[first]!r}"
    # Another order of day, month and year is how a date is written.
    dates = [(as_dates(text), as_dates(known[text])) for text in known]
    if all(a and b for a, b in dates) and not all(
        _is_iso(text) and _is_iso(known[text]) for text in known
    ):
        return Cause(
            "format",
            f"another format of dates: {example}. Write them as in training.",
            True,
        )
    return Cause(
        "type",
        f"another type or spelling: {example}. Store the column as in "
        "training.",
        True,
    )


def _is_iso(text: str) -> bool:
    return bool(re.match(r"\s*\d{4}-\d{2}-\d{2}", text))


def _time_cause(
    texts: Mapping[str, int],
    values: Sequence[str],
    sample: Sequence[str],
    needed: float,
) -> Cause | None:
    for read, largest_of in (
        (_number, _largest_number),
        (_date, _largest_date),
    ):
        if not sample or _share(sample, read) < 0.9:
            continue
        largest = largest_of(values)
        bound = read(largest)
        beyond = 0
        for text, count in texts.items():
            moment = read(text)
            if moment is not None and bound is not None and moment > bound:
                beyond += count
        if beyond >= needed:
            return Cause(
                "time",
                "time: they are above the largest value of training, "
                f"{largest!r}. A field that grows with time does not help on "
                "future days: derive a value that repeats, such as the hour, "
                "or remove the field.",
            )
    return None


def _largest_number(values: Sequence[str]) -> str:
    texts = pa.array(values, pa.large_string())
    texts = texts.filter(pc.match_substring_regex(texts, NUMBER_PATTERN))
    if not len(texts):
        return ""
    return str(texts[int(np.argmax(pc.cast(texts, pa.float64())))].as_py())


def _largest_date(values: Sequence[str]) -> str:
    some = values[:: max(1, len(values) // _MOST_DATES)]
    return max(some, key=lambda text: _date(text) or -np.inf)


def _share(sample: Sequence[str], read: Callable[[str], object]) -> float:
    return sum(read(text) is not None for text in sample) / len(sample)


def _number(text: str) -> float | None:
    number = as_number(text)
    return None if number is None else float(number)


def _date(text: str) -> float | None:
    dates = as_dates(text)
    if not dates:
        return None
    return (dates[0] - type(dates[0])(1970, 1, 1)).total_seconds()


def _format_cause(
    texts: Mapping[str, int], sample: Sequence[str], needed: float
) -> Cause | None:
    if not sample:
        return None
    shapes = {_shape(text) for text in sample}
    other = [text for text in texts if _shape(text) not in shapes]
    # A field of many shapes has always more of them.
    if len(shapes) > 50 or sum(texts[text] for text in other) < needed:
        return None
    first = max(other, key=lambda text: texts[text])
    return Cause(
        "format",
        f"another format: no value of training is written like {first!r}, "
        f"but for example like {sample[0]!r}.",
    )


def _shape(text: str) -> str:
    """Digits, letters and mixtures alike, whatever their number."""

    def kind(run: re.Match[str]) -> str:
        word = run[0]
        return "9" if word.isdigit() else "a" if word.isalpha() else "x"

    return re.sub(r"\w+", kind, text)
