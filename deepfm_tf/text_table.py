"""Text tables: texts to the left, numbers to the right."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"–|-?[\d,]+(\.\d+)?( ± [\d,]+(\.\d+)?)?")


def text_table(
    rows: Sequence[Mapping[str, Any]],
    header: Sequence[str] | None = None,
    decimals: int | None = None,
) -> str:
    """A text table; columns are keys of `rows`, numbers to the right.

    Args:
        rows: one mapping a line. An absent value is left blank.
        header: the keys, in order; they are the column titles too. None, the
            default, takes those of the first row.
        decimals: int. Of every float. None, the default, gives the numbers of
            a column four, from 10 on two, and from 1,000 on one; but none
            where all of them are whole and one is above 1.

    Example:

    >>> rows = [{"model": "fm", "AUC": 0.71234, "epochs": 3.0}]
    >>> print(text_table(rows))
    model     AUC  epochs
    -----  ------  ------
    fm     0.7123       3
    """
    if header is None:
        header = list(rows[0])
    columns = [[row.get(name) for row in rows] for name in header]
    texts = [shown_values(column, decimals) for column in columns]
    numeric = [
        any(isinstance(value, (int, float)) for value in column)
        or all(map(_is_number, column))
        for column in columns
    ]
    rules = [
        "-" * max(len(name), *map(len, column))
        for name, column in zip(header, texts, strict=True)
    ]
    return aligned([header, rules, *zip(*texts, strict=True)], numeric)


def aligned(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Lines of texts as columns, each as wide as its longest.

    >>> print(aligned([("kind", "n"), ("id", "10")], right=(False, True)))
    kind   n
    id    10
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def shown_values(values: Sequence[Any], decimals: int | None) -> list[str]:
    """The values of a column as texts; see `text_table`."""
    if decimals is None:
        decimals = _needed_decimals(values)
    return [_text(value, decimals) for value in values]


def _needed_decimals(values: Sequence[Any]) -> int:
    numbers = [v for v in values if isinstance(v, float) and not math.isnan(v)]
    largest = max(map(abs, numbers), default=0.0)
    most = 4 if largest < 10 else 2 if largest < 1000 else 1
    # 12 s are no 12.00; but an AUC of 1 is one of 1.0000.
    are_counts = largest > 1 and all(v == round(v) for v in numbers)
    return 0 if are_counts else most


def _is_number(value: Any) -> bool:
    """Whether a text is a number, perhaps ± another, or the dash of none."""
    return isinstance(value, str) and bool(_NUMBER.fullmatch(value))


def _text(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "undefined" if math.isnan(value) else f"{value:,.{decimals}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
