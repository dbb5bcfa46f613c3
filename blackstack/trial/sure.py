"""How sure a mean, or a ratio of two, is: the repeats are few and independent, so the intervals are Student's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from blackstack import student

FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, from ``n`` repeats; without an interval where there is only one."""

    value: float
    low: float | None
    high: float | None
    n: int


def mean(values: Sequence[float]) -> Estimate | None:
    """Estimate a mean; None of nothing."""
    if not values:
        return None
    low, high = student.of_mean(values) if len(values) >= FEWEST else (None, None)
    return Estimate(value=fmean(values), low=low, high=high, n=len(values))


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
    few = min(len(a), len(b))
    low, high = student.of_difference(a, b) if few >= FEWEST else (None, None)
    return _exp(Estimate(value=fmean(a) - fmean(b), low=low, high=high, n=few))


def _exp(found: Estimate | None) -> Estimate | None:
    """Return an estimate of a logarithm as one of the number itself."""
    if found is None:
        return None
    low, high = (None if end is None else math.exp(min(end, _LARGEST)) for end in (found.low, found.high))
    return replace(found, value=math.exp(found.value), low=low, high=high)


_LARGEST = 700.0  # of what exp() takes
