"""Shares of values: how they are compared, and how they are written."""

from __future__ import annotations

import math

# "Far above the expected": all three must hold. See `compare_counts`.
LEAST_GAP = 0.05
LEAST_ODDS = 3.0
LEAST_G = 2 * math.log(1e6)
# Values of training in another spelling are no matter of chance, and a fault
# at any share; this one is above what mistyping does.
LEAST_GAP_OF_FAULTS = 0.01
LEAST_G_OF_FAULTS = 2 * math.log(1e3)


def is_far_above(
    now: tuple[float, float],
    expected: tuple[float, float],
    least_gap: float = LEAST_GAP,
    least_g: float = LEAST_G,
) -> bool:
    """Whether a share is far above another: see `compare_counts`.

    Args:
        now, expected: a count, and of how many.
        least_gap, least_g: float. The least difference and the least G.
    """
    (count, total), (before, total_before) = now, expected
    if not total or not total_before:
        return False
    s, e = count / total, before / total_before
    if s - e < least_gap or s * (1 - e) < LEAST_ODDS * e * (1 - s):
        return False
    p = (count + before) / (total + total_before)
    g = 2 * (total * _divergence(s, p) + total_before * _divergence(e, p))
    return g >= least_g


def ratio(count: float, total: float | None) -> float:
    """A share; 0 of nothing."""
    return count / total if total else 0.0


def percent(share: float | None) -> str:
    """With a decimal below ten, and never 0 or 100 that is not whole.

    Example:

    >>> [percent(s) for s in (1.0, 0.9999, 0.234, 0.0171, 0.00002, 0.0)]
    ['100 %', '99.99 %', '23 %', '1.7 %', '0.002 %', '0 %']
    """
    value = 100 * (share or 0.0)
    for decimals in range(0 if value >= 10 or not value else 1, 6):
        text = f"{value:.{decimals}f}"
        if float(text) != 0 or not value:
            if float(text) != 100 or value == 100:
                return f"{text} %"
    return f"{value:.1g} %"


def _divergence(q: float, p: float) -> float:
    """Kullback and Leibler's, of two Bernoulli distributions."""
    return sum(
        a * math.log(a / b) for a, b in ((q, p), (1 - q, 1 - p)) if a > 0
    )
