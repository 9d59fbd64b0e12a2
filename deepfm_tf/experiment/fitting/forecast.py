"""How long the trials of `--auto` will take, by what they took so far."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

# Most trainings end within so many epochs.
_USUAL_EPOCHS = 10
# Of a shorter first epoch, most is what comes but once: tracing the graphs.
_LONG_EPOCH = 20.0


class Forecast:
    """The seconds that trials take, measured epoch by epoch.

    The first epoch of a trial has what comes but once besides. So a trial's
    rate is known after its second epoch, and bounded by a long first one; one
    that has not begun will take as long as the others.

    Args:
        ends: the epochs up to which those that are left are trained.
        clock: in seconds.

    Example:

    >>> times = iter([0, 30, 50])
    >>> forecast = Forecast([6, 30], lambda: next(times))
    >>> forecast.begin("default")
    >>> forecast.end_epoch()
    >>> forecast.is_bound, forecast.seconds(0, ["default", "strong"])
    (True, 480.0)
    >>> forecast.end_epoch()
    >>> forecast.seconds(0, ["default", "strong"])
    350.0
    """

    def __init__(
        self,
        ends: Sequence[int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        begins = [0, *ends]
        self._lengths = [
            max(0, min(end, _USUAL_EPOCHS) - begin)
            for begin, end in zip(begins, ends, strict=False)
        ]
        self._clock = clock
        self._trial, self._since = "", 0.0
        self._is_first = True
        self._firsts: dict[str, list[float]] = {}
        self._others: dict[str, list[float]] = {}

    @property
    def is_bound(self) -> bool:
        """Whether what is foretold is but the most that it may take."""
        return not self._others

    def begin(self, trial: str) -> None:
        """Start the clock for a trial, which may have had epochs before."""
        self._trial, self._since = trial, self._clock()
        self._is_first = True

    def end_epoch(self) -> None:
        """Take the time of an epoch of the trial."""
        now = self._clock()
        epochs = self._firsts if self._is_first else self._others
        epochs.setdefault(self._trial, []).append(now - self._since)
        self._since, self._is_first = now, False

    def seconds(self, rung: int, trials: Sequence[str]) -> float | None:
        """What trials will take, and the better halves of them later on.

        Args:
            rung: int. Which of `ends` they are trained up to.
            trials: their names.

        Returns:
            None, if too little is known, or if the usual epochs are over.
        """
        rates = {
            name: statistics.median(times)
            for name, times in self._others.items()
        }
        if not rates:
            firsts = [s for times in self._firsts.values() for s in times]
            if not firsts or max(firsts) < _LONG_EPOCH:
                return None
            rates[self._trial] = max(firsts)
        if not self._lengths[rung]:
            return None
        rate = statistics.fmean(rates.values())
        once = statistics.fmean(
            max(0.0, first - rates.get(name, rate))
            for name, times in self._firsts.items()
            for first in times
        )
        whole = sum(
            once + rates.get(name, rate) * self._lengths[rung]
            for name in trials
        )
        left = len(trials)
        for length in self._lengths[rung + 1 :]:
            left = -(-left // 2)
            whole += left * (once + rate * length) if length else 0
        return whole


def duration(seconds: float) -> str:
    """A time in words.

    Example:

    >>> duration(89), duration(90), duration(5400)
    ('89 s', '2 min', '1.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
