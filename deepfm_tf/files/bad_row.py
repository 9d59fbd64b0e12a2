"""A row that cannot be used."""

from __future__ import annotations

from typing import NamedTuple


class BadRow(NamedTuple):
    """A row that cannot be used, and where it stands."""

    source: str
    line: int
    column: str
    value: str
    reason: str
    text: str = ""
    unit: str = "line"

    def __str__(self) -> str:
        column = f", column '{self.column}'" if self.column else ""
        place = f"{self.unit} {self.line}{column}"
        end = "" if self.reason.endswith("?") else "."
        return f"{self.source}, {place}: {self.reason}{end}"
