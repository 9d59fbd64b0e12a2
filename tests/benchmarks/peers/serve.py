"""The worker's side of the protocol: one JSON line in, one JSON line out.

The first line in holds the settings. The answer to it, after warm-up, says
what was built. Every later line, `{"seconds": s}`, is answered with the
seconds of each step taken in that time, and with the processor's seconds in a
step, of all cores together.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from tests.benchmarks.machine import kibibytes, versions

WARM_UP_STEPS = 8
MIN_STEPS = 3

# Of Linux's prctl: the signal to get when the parent ends.
_PR_SET_PDEATHSIG = 1


class Trainer(Protocol):
    """What a worker builds.

    Attributes:
        differs: how model or training differ from the benchmark's; "" if not.
        packages: whose versions are of interest.
    """

    differs: str
    packages: tuple[str, ...]

    def step(self) -> None:
        """Train on the next batch; done when this returns."""

    def take_loss(self) -> float:
        """Mean loss of the steps since it was last taken."""


def serve(build: Callable[[dict[str, Any]], Trainer]) -> None:
    """Answer the driver until it closes the input."""
    # Not the standard output, where libraries print what they like.
    answers = os.fdopen(int(sys.argv[1]), "w")
    # A frozen worker would outlive a driver that was killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # If memory runs out, let it be this process that is killed.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    settings = json.loads(sys.stdin.readline())
    begin = time.perf_counter()
    trainer = build(settings)
    build_seconds = time.perf_counter() - begin
    seconds = _time_steps(trainer, WARM_UP_STEPS, settings["warm_up"])
    facts = {
        "build_seconds": round(build_seconds, 1),
        "warm_up_steps": len(seconds),
        "differs": trainer.differs,
        "versions": versions(trainer.packages),
    }
    _answer(answers, trainer, facts)
    for line in sys.stdin:
        duration = json.loads(line)["seconds"]
        # The first step after a pause finds cold caches.
        trainer.step()
        begin = time.process_time()
        seconds = _time_steps(trainer, MIN_STEPS, duration)
        cpu_seconds = (time.process_time() - begin) / len(seconds)
        facts = {"seconds": seconds, "cpu_seconds": cpu_seconds}
        _answer(answers, trainer, facts)


def _time_steps(
    trainer: Trainer, min_steps: int, duration: float
) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < min_steps or sum(seconds) < duration:
        begin = time.perf_counter()
        trainer.step()
        seconds.append(round(time.perf_counter() - begin, 6))
    return seconds


def _answer(answers: Any, trainer: Trainer, facts: dict) -> None:
    facts |= {
        "loss": trainer.take_loss(),
        "peak_kib": kibibytes("/proc/self/status", "VmHWM"),
    }
    answers.write(json.dumps(facts) + "\n")
    answers.flush()
