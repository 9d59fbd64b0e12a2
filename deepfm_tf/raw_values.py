"""What stands for "missing" in raw data."""

from __future__ import annotations

# What pandas takes as missing in a text file, besides the empty text: in a
# column of numbers, or of times, none of these can be a value.
MISSING_NUMBERS: tuple[str, ...] = (
    *("nan", "NaN", "-nan", "-NaN", "NAN"),
    *("NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>"),
    *("null", "NULL", "None"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
