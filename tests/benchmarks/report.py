"""Results as a Markdown table: the targets, then everything timed.

    python -m tests.benchmarks.report results.jsonl > results.md

Of several lines for the same thing the last one counts.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
WIDE = "400-400-400"
NARROW = "30-20-10"


@dataclasses.dataclass(frozen=True)
class Target:
    """One row of the table of targets.

    Args:
        text: what is measured.
        bound: the least, or the most if `at_most`.
        find: the measured value in a line; None if it is not there.
        at_most: see `bound`.
    """

    text: str
    bound: float
    find: Callable[[Line], float | None]
    at_most: bool = False

    def row(self, lines: Sequence[Line]) -> str:
        """The row, in Markdown."""
        sign = "≤" if self.at_most else "≥"
        values = [v for v in map(self.find, lines) if v is not None]
        if not values:
            return f"| {self.text} | {sign} {self.bound} | none, see below | |"
        value = values[-1]
        met = value <= self.bound if self.at_most else value >= self.bound
        verdict = "yes" if met else "no"
        return f"| {self.text} | {sign} {self.bound} | {value} | {verdict} |"


def label(implementation: str, vocabulary: float, units: str = WIDE) -> str:
    """The label of a case."""
    return f"{implementation} V={vocabulary:.0e} {units}"


def times(mine: str, other: str) -> Callable[[Line], float | None]:
    """Finds the rate of one case as a multiple of another one's."""

    def find(line: Line) -> float | None:
        if line.get("label") != mine:
            return None
        return line.get("times", {}).get(other)

    return find


def value(
    benchmark: str, key: str, **conditions: Any
) -> Callable[[Line], float | None]:
    """Finds a value in the lines of a benchmark that meet the conditions."""

    def find(line: Line) -> float | None:
        expected = {"benchmark": benchmark, **conditions}
        if any(line.get(name) != value for name, value in expected.items()):
            return None
        return line.get(key)

    return find


def against(
    number: int,
    peer: str,
    vocabulary: float,
    bound: float,
    mine: str = "ours",
    units: str = WIDE,
) -> Target:
    """Our rate as a multiple of a peer's."""
    return Target(
        f"{number}. {mine} against {peer}, V = {vocabulary:.0e}, {units}",
        bound,
        times(label(mine, vocabulary, units), label(peer, vocabulary, units)),
    )


TARGETS = (
    Target(
        "1. rate at V = 1e7 to that at V = 1e6",
        0.85,
        times(label("ours", 1e7), label("ours", 1e6)),
    ),
    against(2, "plain_keras", 1e6, 1.3),
    against(2, "plain_keras", 1e7, 4.0),
    against(3, "plain_keras", 1e6, 1.8, mine="ours_bfloat16"),
    against(3, "plain_keras", 1e7, 6.0, mine="ours_bfloat16"),
    against(4, "plain_keras", 1e6, 2.2, units=NARROW),
    against(5, "deepctr", 1e5, 1.0),
    against(5, "deepctr", 1e6, 1.3),
    against(5, "deepctr", 1e7, 5.0),
    against(6, "fuxictr", 1e6, 1.7),
    against(6, "deepctr_torch", 1e6, 1.7),
    against(7, "torch_sparse", 1e6, 1.15),
    against(7, "torch_sparse", 1e7, 1.0),
    against(8, "dense_only", 1e6, 0.70),
    Target(
        "9. prepared reader with shuffle, rows/s",
        3_000_000,
        value("reading", "rows_per_second", route="prepared"),
    ),
    Target(
        "9. the same, times `make_csv_dataset`",
        20,
        value("reading", "times_make_csv_dataset", route="prepared"),
    ),
    Target(
        "10. raw text, times `make_csv_dataset`",
        6,
        value("reading", "times_make_csv_dataset", route="text"),
    ),
    Target(
        "11. `fit` from disk to `fit` from memory",
        0.95,
        value("fit", "disk_to_memory"),
    ),
    Target("12. preparation, GB/min", 3, value("preparation", "gb_per_minute")),
    Target(
        "13. peak memory at V = 1e7, GB",
        3,
        value(
            "memory", "peak_gb", implementation="ours", vocabulary=10_000_000
        ),
        at_most=True,
    ),
)


def report(lines: Sequence[Line]) -> str:
    """The whole report."""
    parts = ["# Benchmarks", ""]
    parts += [_origin(lines), "", "## Targets", ""]
    parts += ["| target | bound | measured | met |", "|---|---|---|---|"]
    parts += [target.row(lines) for target in TARGETS]
    parts += ["", "## Training", ""]
    parts += [
        "| implementation | V | pyramid | examples/s | ours / it | peak GB "
        "| loss | other cores busy | differs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    latest = {
        (line["benchmark"], line["label"]): line
        for line in lines
        if line["benchmark"] in ("training", "vocabulary")
    }
    parts += [_training_row(line) for line in latest.values()]
    parts += ["", "## Everything else", "", "```"]
    parts += [
        json.dumps({k: v for k, v in line.items() if k != "origin"})
        for line in lines
        if line["benchmark"] not in ("training", "vocabulary", "quality run")
    ]
    return "\n".join([*parts, "```", ""])


def _origin(lines: Sequence[Line]) -> str:
    origins = []
    for line in lines:
        origin = {k: v for k, v in line["origin"].items() if k != "command"}
        if origin not in origins:
            origins.append(origin)
    return "\n".join(f"- {json.dumps(origin)}" for origin in origins)


def _training_row(line: Line) -> str:
    units = "-".join(map(str, line["hidden_units"]))
    head = f"| {line['implementation']} | {line['vocabulary']:.0e} | {units} "
    if "eps" not in line:
        return f"{head}| failed | | | | | {line['failure']} |"
    ours = label("ours", line["vocabulary"], units)
    ratio = line["times"].get(ours)
    multiple = f"{1 / ratio:.2f}" if ratio else ""
    loss = " → ".join(f"{value:.3f}" for value in line["loss"])
    others = max(line["other_cores"])
    note = line["differs"]
    if "failure" in line:
        note += f"; failed after {len(line['rounds'])} rounds: "
        note += line["failure"]
    return (
        f"{head}| {line['eps']:,} | {multiple} | {line['peak_gb']} "
        f"| {loss} | {others} | {note} |"
    )


if __name__ == "__main__":
    texts = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    print(report([json.loads(text) for text in texts]), end="")
