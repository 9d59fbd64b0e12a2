"""A row that cannot be used."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and where it stands."""

    source: str
    line: int
    column: str
    value: str
    reason: str
    text: str = ""
    unit: str = "line"

    def values(self) -> tuple[Any, ...]:
        """What is known of the row, in the order of the arguments."""
        # dataclasses.astuple copies each value, at ten times the cost.
        return tuple(vars(self).values())

    def __str__(self) -> str:
        column = f", column '{self.column}'" if self.column else ""
        place = f"{self.unit} {self.line}{column}"
        end = "" if self.reason.endswith("?") else "."
        return f"{self.source}, {place}: {self.reason}{end}"
