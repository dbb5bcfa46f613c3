"""The effect on one measure at one load: a ratio, how sure it is, and what that means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

from blackstack.comparison import interval
from blackstack.results import Run

Verdict = Literal["faster", "slower", "no difference shown", "not known"]
Basis = Literal["repeats", "requests", "nothing"]

FEWEST_REPEATS: Final = 3
SURE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is compared.

    Attributes:
        value: of one run; None where the run does not have it.
        draws: what resamples it from one run's requests; None where that cannot be done.
        more_is_better: throughput, and not a time.
        pooled: runs are put together by adding their requests; else by averaging.
    """

    name: str
    unit: str
    value: Callable[[Run], float | None]
    draws: Callable[[Run], interval.Draw | None]
    more_is_better: bool = False


def _spread(samples: Sequence[float]) -> interval.Draw | None:
    return interval.of_means(samples)


def _rate(run: Run) -> interval.Draw | None:
    """A request's share of the throughput; an open loop has the rate that it was given."""
    if run.rate is not None:
        return None
    return interval.of_rates(run.samples.tokens, run.samples.e2e_ms)


MEASURES: Final = (
    Measure(
        name="output tokens/s",
        unit="tokens/s",
        value=lambda run: run.output_tokens_per_s,
        draws=_rate,
        more_is_better=True,
    ),
    Measure(
        name="TTFT mean", unit="ms", value=lambda run: run.ttft_ms.mean, draws=lambda run: _spread(run.samples.ttft_ms)
    ),
    Measure(
        name="TTFT p99",
        unit="ms",
        value=lambda run: run.ttft_ms.p99,
        draws=lambda run: interval.of_percentiles(run.samples.ttft_ms, 0.99),
    ),
    Measure(
        name="TPOT mean", unit="ms", value=lambda run: run.tpot_ms.mean, draws=lambda run: _spread(run.samples.tpot_ms)
    ),
    Measure(name="gap p99", unit="ms", value=lambda run: run.gap_ms.p99, draws=lambda _: None),
    Measure(
        name="end to end mean",
        unit="ms",
        value=lambda run: run.e2e_ms.mean,
        draws=lambda run: _spread(run.samples.e2e_ms),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What B does to one measure.

    Attributes:
        a, b: the measure itself, of repeats the mean.
        ratio: B / A.
        ci95: of the ratio; None where it cannot be told.
        sure: such an interval for each of all effects at once (Bonferroni), on which a gate may stand.
        basis: what was sampled.
        more_is_better: a ratio above 1 is good.
    """

    concurrency: int
    rate: float | None
    measure: str
    unit: str
    a: float
    b: float
    ratio: float
    ci95: interval.Interval | None
    sure: interval.Interval | None
    basis: Basis
    more_is_better: bool

    @property
    def verdict(self) -> Verdict:
        """Return what the 95 % interval says."""
        return self._verdict(self.ci95)

    @property
    def slower(self) -> float:
        """Return by what share B is slower: 0.05 is 5 %; below 0 it is faster."""
        return (1 / self.ratio if self.more_is_better else self.ratio) - 1

    def surely_slower(self, share: float) -> bool:
        """Tell whether B is slower beyond doubt, by an estimated share at least, on the ground of repeats."""
        return self.basis == "repeats" and self._verdict(self.sure) == "slower" and self.slower >= share

    def perhaps_slower(self, share: float) -> bool:
        """Tell whether being slower by this share cannot be excluded."""
        if self.ci95 is None:
            return True
        worst = 1 / self.ci95[0] if self.more_is_better else self.ci95[1]
        return worst - 1 >= share

    def _verdict(self, within: interval.Interval | None) -> Verdict:
        if within is None:
            return "not known"
        if within[0] <= 1 <= within[1]:
            return "no difference shown"
        return "faster" if (within[0] > 1) == self.more_is_better else "slower"


def effect(measure: Measure, a: Sequence[Run], b: Sequence[Run], *, paired: bool, comparisons: int) -> Effect | None:
    """Return the effect on one measure, given the runs at one load; None where one side does not have it."""
    values = [[value for run in side if (value := measure.value(run))] for side in (a, b)]
    if not all(values):
        return None
    both = [fmean(side) for side in values]
    strict = 1 - (1 - SURE) / max(1, comparisons)
    ci95: interval.Interval | None = None
    sure: interval.Interval | None = None
    basis: Basis = "nothing"
    if min(map(len, values)) >= FEWEST_REPEATS:
        paired = paired and len(values[0]) == len(values[1])
        ci95 = interval.of_repeats(*values, paired=paired, sure=SURE)
        sure = interval.of_repeats(*values, paired=paired, sure=strict)
        basis = "repeats"
    elif (first := measure.draws(a[0])) and (second := measure.draws(b[0])) and len(a) == len(b) == 1:
        ci95 = interval.of_draws(first, second, sure=SURE, seed=measure.name)
        basis = "requests"
    return Effect(
        concurrency=a[0].concurrency,
        rate=a[0].rate,
        measure=measure.name,
        unit=measure.unit,
        a=both[0],
        b=both[1],
        ratio=both[1] / both[0],
        ci95=ci95,
        sure=sure,
        basis=basis,
        more_is_better=measure.more_is_better,
    )
