"""Student's t: how far the mean of a few values, or the difference of two means, may be from the truth.

Of ratios the logarithms are such values: their mean is that of the geometric mean, and no interval reaches below 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev, variance
from typing import Final

STEPS: Final = 200
HALVINGS: Final = 60
TINY: Final = 1e-300
CLOSE: Final = 1e-14


Interval = tuple[float, float]


def of_mean(values: Sequence[float], *, sure: float = 0.95) -> Interval:
    """Return the interval of a mean.

    Args:
        values: two or more.
        sure: how surely the truth is in it, such as 0.95.

    >>> [round(end, 2) for end in of_mean([10.0, 12.0, 14.0])]
    [7.03, 16.97]
    """
    return _around(fmean(values), stdev(values) / math.sqrt(len(values)), freedom=len(values) - 1, sure=sure)


def of_difference(ours: Sequence[float], theirs: Sequence[float], *, sure: float = 0.95) -> Interval:
    """Return the interval of mean(ours) - mean(theirs), where neither their number nor their spread need be equal.

    Welch and Satterthwaite: https://www.itl.nist.gov/div898/handbook/eda/section3/eda353.htm

    Args:
        ours: two or more values.
        theirs: likewise.
        sure: how surely the truth is in it.
    """
    parts = [variance(values) / len(values) for values in (ours, theirs)]
    below = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True))
    freedom = sum(parts) ** 2 / below if below else 1.0
    return _around(fmean(ours) - fmean(theirs), math.sqrt(sum(parts)), freedom=freedom, sure=sure)


def _around(centre: float, error: float, *, freedom: float, sure: float) -> Interval:
    half = quantile((1 + sure) / 2, freedom) * error if error else 0.0
    return centre - half, centre + half


def quantile(share: float, freedom: float) -> float:
    """Return the t below which a share of Student's distribution lies; ``freedom`` need not be whole (Welch).

    >>> round(quantile(0.975, 4), 3)
    2.776
    """
    if share < 0.5:  # noqa: PLR2004 - the distribution is symmetric
        return -quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while distribution(high, freedom) < share:
        high *= 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if distribution(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def distribution(t: float, freedom: float) -> float:
    """Return the share of Student's distribution that lies below ``t``."""
    tail = 0.5 * _beta(freedom / (freedom + t * t), freedom / 2, 0.5)
    return 1 - tail if t > 0 else tail


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function; Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction, above, below = 1.0, 1.0, 0.0
    for step in range(STEPS):
        m = step // 2
        if step == 0:
            factor = 1.0
        elif step % 2 == 0:
            factor = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            factor = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        below = 1 / _not_zero(1 + factor * below)
        above = _not_zero(1 + factor / above)
        fraction *= above * below
        if abs(1 - above * below) < CLOSE:
            break
    return front * (fraction - 1)


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
