"""Distributions that merge exactly, and how sure their numbers are.

A sample is a whole number of microseconds, the resolution of what is measured, so a distribution is a count for each
value. It is as small as its spread, however many tokens a run has; two workers' distributions add up without any
loss; and every percentile is that of the samples themselves, never an average of percentiles.
"""

from __future__ import annotations

import heapq
import math
import random
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import Any, Final

from blackstack.student import quantile

PERCENTILES: Final = (50, 90, 95, 99)
Z95: Final = NormalDist().inv_cdf(0.975)
BOOTSTRAP_BELOW: Final = 200  # samples; from there on the bootstrap of a mean and the normal interval agree
RESAMPLES: Final = 1000
FEWEST_FOR_CI: Final = 3
FEWEST_BEYOND: Final = 5  # samples beyond a percentile, below which it rests on a handful of them

KEPT: Final = 512  # requests whose gaps are kept one by one
FEWEST_REQUESTS: Final = 8
SCATTER: Final = 2654435761  # Knuth's, to spread neighbouring numbers
MASK: Final = 2**32 - 1

Interval = tuple[float, float]


class Distribution:
    """A multiset of durations in whole microseconds."""

    __slots__ = ("_ranked", "counts")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self.counts: Counter[int] = Counter(values)
        self._ranked: tuple[list[int], list[int]] | None = None

    def add(self, values: Iterable[int]) -> None:
        """Add samples."""
        self.counts.update(values)
        self._ranked = None

    def merge(self, other: Distribution) -> None:
        """Add all of another's samples."""
        self.counts.update(other.counts)
        self._ranked = None

    def __len__(self) -> int:
        return self.counts.total()

    def ranked(self) -> tuple[list[int], list[int]]:
        """Return the different values in ascending order, and how many samples there are up to each."""
        if self._ranked is None:
            values = sorted(self.counts)
            self._ranked = values, list(accumulate(map(self.counts.__getitem__, values)))
        return self._ranked

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
        if not self.counts:
            return [math.nan] * len(percents)
        values, ends = self.ranked()
        n = ends[-1]

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


class RequestSample:
    """The gaps of some requests, whole, from which it shows how sure the percentiles of all gaps are.

    The gaps of one request resemble each other, so gaps cannot be counted as independent, but requests can. A request
    is kept by a hash of its number, whichever process it ran in: the sample of several is that of one, and bounded.
    """

    __slots__ = ("kept", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.kept: list[tuple[int, array[int]]] = []  # a heap, the greatest hash first

    def add(self, number: int, gaps: array[int]) -> None:
        """Add a request."""
        self.requests += 1
        self._offer((-(number * SCATTER & MASK), gaps))

    def merge(self, other: RequestSample) -> None:
        """Add what another process has seen."""
        self.requests += other.requests
        for each in other.kept:
            self._offer(each)

    def percentile_intervals(self, whole: Distribution) -> dict[str, list[float | None] | None]:
        """Return the 95 % interval of each percentile in milliseconds; None where there are too few requests.

        Woodruff's way: how sure the share below the percentile is follows from how it differs between requests, and
        that share's interval is read off the distribution of all gaps.
        """
        told: dict[str, list[float | None] | None] = {f"p{percent}": None for percent in PERCENTILES}
        if len(self.kept) < FEWEST_REQUESTS:
            return told
        ordered = [sorted(gaps) for _, gaps in self.kept]
        t = quantile(0.975, len(ordered) - 1) / math.sqrt(self.requests)
        usual = sum(map(len, ordered)) / len(ordered)
        for percent, value in zip(PERCENTILES, whole.percentiles(*PERCENTILES), strict=True):
            share = percent / 100
            squares = sum((bisect_right(gaps, value) - share * len(gaps)) ** 2 for gaps in ordered)
            half = t * math.sqrt(squares / (len(ordered) - 1)) / usual
            if share + half < 1 and len(whole) * (1 - share) >= FEWEST_BEYOND:
                ends = whole.percentiles(max(0.0, percent - 100 * half), percent + 100 * half)
                told[f"p{percent}"] = [_ms(end) for end in ends]
        return told

    def _offer(self, each: tuple[int, array[int]]) -> None:
        (heapq.heappush if len(self.kept) < KEPT else heapq.heappushpop)(self.kept, each)


def mean_interval(values: list[int], *, seed: int = 0) -> Interval | None:
    """Return the 95 % interval of a mean: by bootstrap, or by the normal law where there are many samples.

    Few samples show less than all of the spread: of five, the bootstrap alone would be right five times in six and not
    19 times in 20. So its ends are moved outwards as Student's are (https://arxiv.org/abs/1411.5279).
    """
    n = len(values)
    if n < FEWEST_FOR_CI:
        return None
    if n < BOOTSTRAP_BELOW:
        draw = random.Random(seed)  # noqa: S311 - a reproducible interval, not a secret
        means = sorted(sum(draw.choices(values, k=n)) / n for _ in range(RESAMPLES))
        mean, wider = sum(values) / n, math.sqrt(n / (n - 1)) * quantile(0.975, n - 1) / Z95
        low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
        return mean - (mean - low) * wider, mean + (high - mean) * wider
    distribution = Distribution(values)
    half = Z95 * distribution.deviation / math.sqrt(n)
    return distribution.mean - half, distribution.mean + half


def ratio_interval(sums: list[int], counts: list[int]) -> Interval | None:
    """Return the 95 % interval of Σ sums / Σ counts, each pair being one request.

    The gaps of one request resemble each other, so requests are what can be counted as independent, not gaps.
    """
    if len(sums) < FEWEST_FOR_CI or not sum(counts):
        return None
    ratio, error = ratio_and_error(sums, counts)
    half = quantile(0.975, len(sums) - 1) * error
    return ratio - half, ratio + half


def ratio_and_error(sums: Sequence[float], counts: Sequence[float]) -> tuple[float, float]:
    """Return Σ sums / Σ counts and its standard error, each of the two or more pairs being one request."""
    n, total = len(sums), sum(counts)
    ratio = sum(sums) / total
    squares = sum((s - ratio * c) ** 2 for s, c in zip(sums, counts, strict=True))
    return ratio, math.sqrt(squares * n / (n - 1)) / total


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
