"""Which label values mean 1 and 0, and what to say of two others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def _spellings(*words: str) -> tuple[str, ...]:
    return tuple(
        spelt for w in words for spelt in (w, w.capitalize(), w.upper())
    )


# Each name once: "t".capitalize() is "t".upper().
POSITIVE_LABELS = tuple(
    dict.fromkeys(("1", "1.0", *_spellings("true", "t", "yes", "y")))
)
NEGATIVE_LABELS = tuple(
    dict.fromkeys(("0", "0.0", *_spellings("false", "f", "no", "n")))
)

_POSITIVE_WORDS = (
    "1 true t yes y click clicked bought buy purchase purchased order ordered "
    "converted conversion install installed subscribed positive pos good liked "
    "like won win success good"
).split()
_NEGATIVE_WORDS = (
    "0 -1 false f no n none left bounced lost failed failure negative neg bad"
).split()
_NEGATIVE_BEGINNINGS = ("not", "non", "no ", "no_", "no-", "un", "<")


def explicit_labels(
    positive: tuple[str, ...], negative: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both, the default values less those that were named on the other side.

    Example:

    >>> "n" in explicit_labels(("n",), NEGATIVE_LABELS)[1]
    False
    """
    if positive == POSITIVE_LABELS:
        positive = tuple(v for v in positive if v not in negative)
    elif negative == NEGATIVE_LABELS:
        negative = tuple(v for v in negative if v not in positive)
    return positive, negative


def two_labels(
    counts: Mapping[str, int],
    positive: Collection[str] = POSITIVE_LABELS,
    negative: Collection[str] = NEGATIVE_LABELS,
) -> tuple[list[str], list[str]] | None:
    """The values that probably mean 1 and 0, if there are two to choose.

    Values that differ in case or in a point at the end, as in the two files
    of UCI Adult, count as one.

    Args:
        counts: label value, without blanks around it, -> number of rows.
        positive: values that are known to mean 1.
        negative: values that are known to mean 0.

    Returns:
        Values that mean 1, and values that mean 0, the latter perhaps in
        truth the former; None if all are known, or not two are there.

    Example:

    >>> two_labels({"left": 2, "bought": 4})
    (['bought'], ['left'])
    >>> two_labels({"yes": 1, "no": 1}) is None
    True
    """
    present = [value for value in counts if value]
    if all(v in positive or v in negative for v in present):
        return None
    groups: dict[str, list[str]] = {}
    for value in present:
        groups.setdefault(value.rstrip(".").casefold(), []).append(value)
    if len(groups) != 2:
        return None

    def rank(key: str) -> tuple[int, int]:
        values = groups[key]
        if any(v in positive for v in values):
            return 3, 0
        if any(v in negative for v in values):
            return -3, 0
        score = (key in _POSITIVE_WORDS or key.startswith(">")) - (
            key in _NEGATIVE_WORDS or key.startswith(_NEGATIVE_BEGINNINGS)
        )
        # Without a word that tells, the rarer one: clicks are.
        return score, -sum(counts[v] for v in values)

    one, zero = sorted(groups, key=rank, reverse=True)
    return groups[one], groups[zero]


def say_two_labels(
    label: str,
    counts: Mapping[str, int],
    labels: tuple[Sequence[str], Sequence[str]],
    settings: str,
) -> str:
    """The sentences about a label whose values nobody has explained.

    Args:
        label: str. The column.
        counts: as of `two_labels`.
        labels: what `two_labels` gave.
        settings: str. What says that the former mean 1 and the latter 0.
    """
    total = sum(counts.values())
    shown = ", ".join(
        f"{value!r} ({counts[value] / total:.1%})"
        for value in sorted(counts, key=counts.__getitem__, reverse=True)
    )
    one, zero = (" or ".join(map(repr, values)) for values in labels)
    return (
        f"The label '{label}' must be 0 or 1, or yes or no, but in the first "
        f"{total:,} rows its values are {shown}. If {one} means 1 and {zero} "
        f"means 0, say so: {settings}. If not, swap them."
    )
