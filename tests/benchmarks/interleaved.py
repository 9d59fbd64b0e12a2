"""Measures several cases side by side, one running at a time."""

import dataclasses
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import kibibytes
from tests.benchmarks.processes import Case, Worker, WorkerFailed

# Of the free memory, what the workers alive together may be expected to take.
_MEMORY_SHARE = 0.85


@dataclasses.dataclass
class Measurement:
    """What came of one case in one group.

    Attributes:
        case: what was measured.
        facts: of the worker; empty if it never was ready.
        rounds: training examples per second (eps) of each round, from the
            median step.
        other_cores: in each round, how many cores were busy with something
            else: what is not near 0 spoils the round.
        cpu_seconds: in each round, the processor's seconds in a step, of all
            cores together: what still says something on a shared machine.
        losses: mean loss of the warm-up, and of each round.
        peak_kib: the largest resident set of the process so far.
        failure: why it stopped; "" if it did not.
    """

    case: Case
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    rounds: list[float] = dataclasses.field(default_factory=list)
    other_cores: list[float] = dataclasses.field(default_factory=list)
    cpu_seconds: list[float] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    peak_kib: int = 0
    failure: str = ""

    def ratio_to(self, other: "Measurement") -> float | None:
        """Median over the rounds of this rate to the other one's."""
        return _median_ratio(self.rounds, other.rounds)

    def cpu_ratio_to(self, other: "Measurement") -> float | None:
        """The same, were the processor's seconds all that counts."""
        return _median_ratio(other.cpu_seconds, self.cpu_seconds)

    def record(self, group: Sequence["Measurement"]) -> dict[str, Any]:
        """The JSON line: what was measured, and ratios to the group's."""
        settings = dataclasses.asdict(self.case)
        if not self.case.implementation.startswith("ours"):
            settings["optimizer"] = "its own Adam"
        record = {"label": self.case.label, **settings, **self.facts}
        if self.rounds:
            record |= {
                "eps": round(statistics.median(self.rounds)),
                "rounds": [round(eps) for eps in self.rounds],
                "other_cores": [round(c, 2) for c in self.other_cores],
                "cpu_ms": round(1e3 * statistics.median(self.cpu_seconds), 2),
                "loss": [round(self.losses[0], 4), round(self.losses[-1], 4)],
                "peak_gb": round(self.peak_kib * 1024 / 1e9, 2),
                "times": {
                    other.case.label: self.ratio_to(other)
                    for other in group
                    if other is not self and other.rounds
                },
                "cpu_times": {
                    other.case.label: self.cpu_ratio_to(other)
                    for other in group
                    if other is not self and other.rounds
                },
            }
        if self.failure:
            record["failure"] = " ".join(self.failure.split())
        return record


def _median_ratio(mine: list[float], others: list[float]) -> float | None:
    ratios = [a / b for a, b in zip(mine, others, strict=False)]
    return round(statistics.median(ratios), 3) if ratios else None


def measure(
    cases: Sequence[Case], rounds: int, seconds: float, directory: Path
) -> list[list[Measurement]]:
    """Measure cases, in as many groups as memory asks for.

    Args:
        cases: the first one is the reference, and is in every group.
        rounds: how often each case runs, in rotating order.
        seconds: how long it runs in a round.
        directory: of environments and logs.

    Returns:
        The measurements of each group.
    """
    return [
        _measure_group(group, rounds, seconds, directory)
        for group in _groups(cases)
    ]


def _groups(cases: Sequence[Case]) -> list[list[Case]]:
    available = kibibytes("/proc/meminfo", "MemAvailable") / 2**20
    room = _MEMORY_SHARE * available - cases[0].expected_gib
    groups, left = [[cases[0]]], room
    for case in cases[1:]:
        if case.expected_gib > left and len(groups[-1]) > 1:
            groups.append([cases[0]])
            left = room
        groups[-1].append(case)
        left -= case.expected_gib
    return groups


def _measure_group(
    cases: Sequence[Case], rounds: int, seconds: float, directory: Path
) -> list[Measurement]:
    group = [Measurement(case) for case in cases]
    workers: dict[int, Worker] = {}
    try:
        for index, measurement in enumerate(group):
            worker = _start(measurement, directory)
            if worker is not None:
                workers[index] = worker
        for number in range(rounds):
            alive = list(workers)
            start = number % max(1, len(alive))
            for index in alive[start:] + alive[:start]:
                if not _run_round(group[index], workers[index], seconds):
                    workers.pop(index)
    finally:
        for worker in workers.values():
            worker.close()
    return group


def _start(measurement: Measurement, directory: Path) -> Worker | None:
    case = measurement.case
    available = kibibytes("/proc/meminfo", "MemAvailable") / 2**20
    if case.expected_gib > available:
        measurement.failure = (
            f"not tried: it needs about {case.expected_gib:.1f} GiB and "
            f"{available:.1f} GiB are free"
        )
        return None
    worker = None
    try:
        worker = Worker(case, directory)
        facts = worker.wait_until_ready()
    except WorkerFailed as error:
        measurement.failure = str(error)
        return None
    except BaseException:
        if worker is not None:
            worker.close()
        raise
    measurement.losses.append(facts.pop("loss"))
    measurement.peak_kib = facts.pop("peak_kib")
    measurement.facts = facts
    print(f"{case.label}: ready", file=sys.stderr, flush=True)
    return worker


def _run_round(
    measurement: Measurement, worker: Worker, seconds: float
) -> bool:
    """Whether the worker lives on."""
    try:
        answer = worker.run(seconds)
    except WorkerFailed as error:
        measurement.failure = str(error)
        return False
    step = statistics.median(answer["seconds"])
    measurement.rounds.append(measurement.case.batch_size / step)
    measurement.other_cores.append(answer["other_cores"])
    measurement.cpu_seconds.append(answer["cpu_seconds"])
    measurement.losses.append(answer["loss"])
    measurement.peak_kib = answer["peak_kib"]
    return True
