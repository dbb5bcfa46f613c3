"""Distributions that merge exactly, and how sure their numbers are.

A sample is a whole number of microseconds, the resolution of what is measured, so a distribution is a count for each
value. It is as small as its spread, however many tokens a run has; two workers' distributions add up without any
loss; and every percentile is that of the samples themselves, never an average of percentiles.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Final

from blackstack.bench.student import quantile

PERCENTILES: Final = (50, 90, 95, 99)
Z95: Final = NormalDist().inv_cdf(0.975)
BOOTSTRAP_BELOW: Final = 200  # samples; from there on the bootstrap of a mean and the normal interval agree
RESAMPLES: Final = 1000
FEWEST_FOR_CI: Final = 3
FEWEST_BEYOND: Final = 5  # samples beyond a percentile, below which it rests on a handful of them

GROUPS: Final = 16
FEWEST_GROUPS: Final = 6
SCATTER: Final = 2654435761  # Knuth's, to spread neighbouring numbers
MOST_VALUES: Final = 400_000  # different ones in all groups together
LOOK_EVERY: Final = 64

Interval = tuple[float, float]


class Distribution:
    """A multiset of durations in whole microseconds."""

    __slots__ = ("counts",)

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts: Counter[int] = Counter(values)

    def add(self, values: Iterable[int]) -> None:
        """Add samples."""
        self.counts.update(values)

    def merge(self, other: Distribution) -> None:
        """Add all of another's samples."""
        self.counts.update(other.counts)

    def __len__(self) -> int:
        return self.counts.total()

    @property
    def mean(self) -> float:
        """Return the mean in microseconds; NaN of nothing."""
        n = len(self)
        return sum(value * count for value, count in self.counts.items()) / n if n else math.nan

    @property
    def deviation(self) -> float:
        """Return the sample standard deviation in microseconds; NaN below two samples."""
        n, mean = len(self), self.mean
        if n < 2:  # noqa: PLR2004 - two samples have one difference
            return math.nan
        return math.sqrt(sum(count * (value - mean) ** 2 for value, count in self.counts.items()) / (n - 1))

    def values(self) -> list[int]:
        """Return all samples, in ascending order."""
        return sorted(self.counts.elements())

    def percentiles(self, *percents: float) -> list[float]:
        """Return percentiles in microseconds, interpolated between neighbours as numpy does it."""
        n = len(self)
        if not n:
            return [math.nan] * len(percents)
        values = sorted(self.counts)
        ends = list(accumulate(self.counts[value] for value in values))

        def at(rank: int) -> int:
            return values[bisect_right(ends, rank)]

        found = []
        for percent in percents:
            position = (n - 1) * percent / 100
            low = math.floor(position)
            below, above = at(low), at(min(low + 1, n - 1))
            found.append(below + (above - below) * (position - low))
        return found

    def summary(self, *, ci95: Interval | None = None, independent: bool = True) -> dict[str, Any]:
        """Return the statistics in milliseconds, ready for JSON.

        Args:
            ci95: the interval of the mean in microseconds, where the caller knows better than to assume independence.
            independent: one sample a request; only then can the percentiles' intervals be told from the samples.
        """
        n = len(self)
        if not n:
            return {"n": 0}
        numbers = dict(zip(PERCENTILES, self.percentiles(*PERCENTILES), strict=True))
        interval = ci95 or (mean_interval(self.values()) if independent else None)
        told: dict[str, Any] = {
            "n": n,
            "mean": _ms(self.mean),
            "sd": _ms(self.deviation),
            "min": _ms(min(self.counts)),
            **{f"p{percent}": _ms(value) for percent, value in numbers.items()},
            "max": _ms(max(self.counts)),
            "ci95": [_ms(end) for end in interval] if interval else None,
            "too_few": [f"p{percent}" for percent in PERCENTILES if n * (1 - percent / 100) < FEWEST_BEYOND],
        }
        if independent:
            values = self.values()
            told["percentile_ci95"] = {
                f"p{percent}": [_ms(values[low]), _ms(values[high])] if ranks else None
                for percent in PERCENTILES
                for ranks in (percentile_ranks(n, percent / 100),)
                for low, high in (ranks or (0, 0),)
            }
        return told


class Grouped:
    """Durations of which each request has many, such as gaps: exact together, and in groups of whole requests.

    The gaps of one request resemble each other, so gaps cannot be counted as independent, but groups of requests can.
    Memory is bounded: where the groups come to hold too many values, every two become one.
    """

    __slots__ = ("groups",)

    def __init__(self) -> None:
        self.groups = [Distribution() for _ in range(GROUPS)]

    def add(self, request: int, values: Iterable[int]) -> None:
        """Add a request's samples; the number, whatever it is, decides its group, in every process alike."""
        self.groups[(request * SCATTER >> 16) % len(self.groups)].add(values)
        if not request % LOOK_EVERY and sum(len(group.counts) for group in self.groups) > MOST_VALUES:
            self._halve()

    def merge(self, other: Grouped) -> None:
        """Add all of another's samples."""
        while len(self.groups) > len(other.groups):
            self._halve()
        for index, group in enumerate(other.groups):
            self.groups[index % len(self.groups)].merge(group)

    def together(self) -> Distribution:
        """Return all samples as one distribution."""
        whole = Distribution()
        for group in self.groups:
            whole.merge(group)
        return whole

    def percentile_intervals(self, whole: Distribution) -> dict[str, list[float | None] | None]:
        """Return the 95 % interval of each percentile in milliseconds; None where there are too few requests.

        Woodruff's way: how sure the share below the percentile is follows from how it differs between groups
        (Student's t), and that share's interval is read off the distribution.
        """
        told: dict[str, list[float | None] | None] = {}
        filled = [group for group in self.groups if len(group)]
        n = len(whole)
        for percent, value in zip(PERCENTILES, whole.percentiles(*PERCENTILES), strict=True):
            told[f"p{percent}"] = None
            if len(filled) < FEWEST_GROUPS or n * (1 - percent / 100) < FEWEST_BEYOND:
                continue
            below = [sum(count for at, count in group.counts.items() if at <= value) for group in filled]
            share = sum(below) / n
            squares = sum((b - share * len(group)) ** 2 for b, group in zip(below, filled, strict=True))
            error = math.sqrt(squares * len(filled) / (len(filled) - 1)) / n
            half = quantile(0.975, len(filled) - 1) * error
            if percent / 100 + half < 1:
                ends = whole.percentiles(max(0.0, percent - 100 * half), percent + 100 * half)
                told[f"p{percent}"] = [_ms(end) for end in ends]
        return told

    def _halve(self) -> None:
        half = len(self.groups) // 2
        if half:
            for mine, other in zip(self.groups[:half], self.groups[half:], strict=True):
                mine.merge(other)
            del self.groups[half:]


def mean_interval(values: list[int], *, seed: int = 0) -> Interval | None:
    """Return the 95 % interval of a mean: by bootstrap, or by the normal law where there are many samples."""
    n = len(values)
    if n < FEWEST_FOR_CI:
        return None
    if n < BOOTSTRAP_BELOW:
        draw = random.Random(seed)  # noqa: S311 - a reproducible interval, not a secret
        means = sorted(sum(draw.choices(values, k=n)) / n for _ in range(RESAMPLES))
        return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    distribution = Distribution(values)
    half = Z95 * distribution.deviation / math.sqrt(n)
    return distribution.mean - half, distribution.mean + half


def ratio_interval(sums: list[int], counts: list[int]) -> Interval | None:
    """Return the 95 % interval of Σ sums / Σ counts, each pair being one request.

    The gaps of one request resemble each other, so requests are what can be counted as independent, not gaps.
    """
    n, total = len(sums), sum(counts)
    if n < FEWEST_FOR_CI or not total:
        return None
    ratio = sum(sums) / total
    spread = math.sqrt(sum((s - ratio * c) ** 2 for s, c in zip(sums, counts, strict=True)) * n / (n - 1))
    half = Z95 * spread / total
    return ratio - half, ratio + half


def percentile_ranks(n: int, share: float) -> tuple[int, int] | None:
    """Return the ranks (from 0) of the two samples that enclose a percentile with 95 % confidence.

    It holds for every distribution. None means «too few samples»: not even the extremes enclose it so surely.
    """
    if share**n > 0.025 or (1 - share) ** n > 0.025:  # noqa: PLR2004 - what may lie outside on one side
        return None
    centre, spread = n * share, math.sqrt(n * share * (1 - share))
    low = max(0, math.floor(centre - Z95 * spread - 0.5))
    high = min(n - 1, math.ceil(centre + Z95 * spread + 0.5) - 1)
    return low, high


def ms(summary: Mapping[str, Any], key: str) -> float:
    """Return one number of a summary; NaN where there is none."""
    value = summary.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _ms(us: float) -> float | None:
    return None if math.isnan(us) else round(us / 1000, 4)
