"""How sure a mean, or a ratio of two, is: Student's interval over repeats, which are few and independent."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t, 97.5 %, by degrees of freedom from 1: https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_Z = statistics.NormalDist().inv_cdf(0.975)
FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, from ``n`` repeats; without an interval where there is only one."""

    value: float
    low: float | None
    high: float | None
    n: int


def t_value(freedom: int) -> float:
    """Return Student's t for 95 %, two-sided.

    >>> round(t_value(30), 3)
    2.042
    """
    if freedom <= len(_T):
        return _T[freedom - 1]
    # Abramowitz and Stegun, 26.7.5; from 16 on it is right to the third place.
    g1 = (_Z**3 + _Z) / 4
    g2 = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96
    return _Z + g1 / freedom + g2 / freedom**2


def mean(values: Sequence[float]) -> Estimate | None:
    """Estimate a mean; None of nothing."""
    if not values:
        return None
    centre = statistics.fmean(values)
    if len(values) < FEWEST:
        return Estimate(value=centre, low=None, high=None, n=len(values))
    half = t_value(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return Estimate(value=centre, low=centre - half, high=centre + half, n=len(values))


def rate(values: Sequence[float]) -> Estimate | None:
    """Estimate a rate: the geometric mean, whose interval never reaches below 0; None without a number above 0."""
    return _exp(mean([math.log(value) for value in values if value > 0]))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
    """Estimate ours ÷ theirs from pairs that were measured side by side, such as the rounds of A B A B.

    Pairs share what the machine did at that time, so it cancels out. The ratio is the geometric mean, and its
    interval is Student's over the logarithms. None without a whole pair of numbers above 0.
    """
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=False) if a > 0 and b > 0]
    return _exp(mean([math.log(a / b) for a, b in pairs]))


def unpaired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
    """Estimate ours ÷ theirs from repeats that were not measured side by side (Welch's interval, over logarithms).

    Without an interval where either has a single repeat; None where either has none above 0.
    """
    a, b = ([math.log(value) for value in values if value > 0] for values in (ours, theirs))
    if not a or not b:
        return None
    difference, n = statistics.fmean(a) - statistics.fmean(b), min(len(a), len(b))
    if n < FEWEST:
        return Estimate(value=math.exp(difference), low=None, high=None, n=n)
    parts = [statistics.variance(values) / len(values) for values in (a, b)]
    if not sum(parts):
        return Estimate(value=math.exp(difference), low=math.exp(difference), high=math.exp(difference), n=n)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, (a, b), strict=True))
    half = t_value(max(1, math.floor(freedom))) * math.sqrt(sum(parts))
    low, high = (math.exp(min(end, _LARGEST)) for end in (difference - half, difference + half))
    return Estimate(value=math.exp(difference), low=low, high=high, n=n)


def _exp(found: Estimate | None) -> Estimate | None:
    """Return an estimate of a logarithm as one of the number itself."""
    if found is None:
        return None
    low, high = (None if end is None else math.exp(min(end, _LARGEST)) for end in (found.low, found.high))
    return Estimate(value=math.exp(found.value), low=low, high=high, n=found.n)


_LARGEST = 700.0  # of what exp() takes
