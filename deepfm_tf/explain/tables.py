"""Text tables of terms, where four decimals matter at any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line a row, under the keys of the first; numbers to the right.

    Example:

    >>> print(text_table([{"term": "bias", "value": -1.25}]))
    term    value
    ----  -------
    bias  -1.2500
    """
    header = list(rows[0])
    cells = [[_cell(row[name]) for name in header] for row in rows]
    lines = [header, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    right = [isinstance(value, (int, float)) for value in rows[0].values()]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
