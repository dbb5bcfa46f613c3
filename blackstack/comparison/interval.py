"""How sure a ratio is. Two ways, and the comparison says which it took.

With three or more repeats on both sides the repeats are the samples: what differs from run to run, such as the
order in which a server happened to batch, is in the interval. Student's t on the logarithms; for runs that were made
in turn (A B A B …), on the differences of neighbours, so that what changed slowly on the machine falls out.

With fewer, only the requests of single runs can be resampled (the bootstrap). Such an interval says how sure the
mean of *these* runs is, and not what the next run will give: it is a hint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Final

from blackstack import student
from blackstack.bench.stats import BOOTSTRAP_BELOW, FEWEST_BEYOND, FEWEST_REQUESTS, ratio_and_error

RESAMPLES: Final = 2000

Interval = tuple[float, float]
Draw = Callable[[random.Random], float]


def of_repeats(a: Sequence[float], b: Sequence[float], *, paired: bool, sure: float) -> Interval | None:
    """Return the interval of B / A from one value a run; None where it cannot be told.

    Args:
        a: the baseline's values, shape (runs,), all above 0.
        b: the other's.
        paired: the n-th of both were measured one after the other.
        sure: such as 0.95.
    """
    if min(*a, *b) <= 0:
        return None
    logs_a, logs_b = [math.log(value) for value in a], [math.log(value) for value in b]
    if paired:
        steps = [other - mine for mine, other in zip(logs_a, logs_b, strict=True)]
        low, high = student.of_mean(steps, sure=sure)
    else:
        low, high = student.of_difference(logs_b, logs_a, sure=sure)
    return math.exp(low), math.exp(high)


def of_draws(a: Draw, b: Draw, *, sure: float, seed: str) -> Interval:
    """Return the interval of B / A by resampling both sides."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible interval, not a secret
    ratios = sorted(b(draw) / a(draw) for _ in range(RESAMPLES))
    out = (1 - sure) / 2
    return ratios[int(out * RESAMPLES)], ratios[math.ceil((1 - out) * RESAMPLES) - 1]


def of_means(values: Sequence[float]) -> Draw | None:
    """Return what draws a resampled mean."""
    if len(values) < FEWEST_REQUESTS or min(values) <= 0:
        return None
    n = len(values)
    if n < BOOTSTRAP_BELOW:
        return lambda draw: fmean(draw.choices(values, k=n))
    centre, error = fmean(values), stdev(values) / math.sqrt(n)
    return lambda draw: draw.gauss(centre, error)


def of_percentiles(values: Sequence[float], share: float) -> Draw | None:
    """Return what draws a resampled percentile.

    The r-th of n resampled values lies below the u-th part of the samples, where u follows Beta(r, n + 1 - r): the
    bootstrap of an order statistic is known exactly, and nothing need be resampled.
    """
    n = len(values)
    if n * min(share, 1 - share) < FEWEST_BEYOND or min(values) <= 0:
        return None
    ordered, rank = sorted(values), max(1, math.ceil(share * n))
    return lambda draw: ordered[min(n - 1, int(draw.betavariate(rank, n + 1 - rank) * n))]


def of_rates(tokens: Sequence[float], seconds: Sequence[float]) -> Draw | None:
    """Return what draws a resampled Σ tokens / Σ seconds, a request being one pair.

    In a closed loop this is the throughput of one of the requests in flight (Little's law).
    """
    n = len(tokens)
    if n < FEWEST_REQUESTS or sum(seconds) <= 0 or sum(tokens) <= 0:
        return None
    if n < BOOTSTRAP_BELOW:
        pairs = list(zip(tokens, seconds, strict=True))

        def again(draw: random.Random) -> float:
            some = draw.choices(pairs, k=n)
            return sum(pair[0] for pair in some) / sum(pair[1] for pair in some)

        return again
    ratio, error = ratio_and_error(tokens, seconds)
    return lambda draw: draw.gauss(ratio, error)
