"""Distributions are exact, and merging them loses nothing."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.bench import stats
from blackstack.bench.stats import Distribution, Grouped, mean_interval, percentile_ranks, ratio_interval

samples = st.lists(st.integers(0, 10_000_000), min_size=2, max_size=200)


@given(samples)
def test_percentiles_are_those_of_the_samples(values: list[int]) -> None:
    cuts = statistics.quantiles(values, n=100, method="inclusive")

    found = Distribution(values).percentiles(50, 90, 99)

    assert found == pytest.approx([cuts[49], cuts[89], cuts[98]])


@given(samples, samples)
def test_merged_distributions_are_one_distribution(left: list[int], right: list[int]) -> None:
    merged = Distribution(left)
    merged.merge(Distribution(right))

    assert merged.summary() == Distribution(left + right).summary()


@given(samples)
def test_mean_and_deviation_are_those_of_the_samples(values: list[int]) -> None:
    distribution = Distribution(values)

    assert distribution.mean == pytest.approx(statistics.fmean(values))
    assert distribution.deviation == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_nothing_has_no_statistics() -> None:
    assert Distribution().summary() == {"n": 0}
    assert math.isnan(Distribution().mean)


def test_too_few_samples_are_said_to_be_so() -> None:
    assert Distribution(range(20)).summary()["too_few"] == ["p90", "p95", "p99"]
    assert Distribution(range(500)).summary()["too_few"] == []


def test_a_percentile_has_no_interval_where_the_extremes_do_not_enclose_it() -> None:
    assert percentile_ranks(100, 0.99) is None
    assert percentile_ranks(2000, 0.99) is not None


def test_the_interval_of_a_median_is_that_of_the_binomial_law() -> None:
    assert percentile_ranks(100, 0.5) == (39, 60)


def test_the_interval_of_a_mean_is_reproducible_and_encloses_it() -> None:
    values = [100, 110, 120, 90, 105, 95]

    low, high = mean_interval(values) or (0, 0)

    assert low < statistics.fmean(values) < high
    assert mean_interval(values) == (low, high)


def test_gaps_of_one_request_do_not_count_as_independent() -> None:
    calm_and_slow = ratio_interval([1000, 9000, 1000, 9000], [100, 100, 100, 100])

    assert calm_and_slow is not None
    assert calm_and_slow[1] - calm_and_slow[0] > 10


def test_two_samples_give_no_interval() -> None:
    assert mean_interval([1, 2]) is None
    assert ratio_interval([1], [1]) is None


def gaps_of(requests: int, *, seed: int, effect: float) -> Grouped:
    """Return gaps of requests that differ from each other by an effect of their own."""
    draw, grouped = random.Random(seed), Grouped()  # noqa: S311 - the same each time
    for _ in range(requests):
        own = draw.gauss(0, effect)
        grouped.add(draw.getrandbits(40), [round(max(1.0, 10_000 + own + draw.gauss(0, 300))) for _ in range(50)])
    return grouped


@given(st.lists(st.tuples(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), max_size=20)), max_size=40))
def test_groups_together_are_every_sample(requests: list[tuple[int, list[int]]]) -> None:
    grouped = Grouped()
    for number, values in requests:
        grouped.add(number, values)

    assert grouped.together().values() == sorted(value for _, values in requests for value in values)


def test_groups_of_two_processes_are_those_of_one() -> None:
    whole, left, right = Grouped(), Grouped(), Grouped()
    for number in range(400):
        for each in (whole, left if number % 3 else right):
            each.add(number, [number * 7 % 113, number])
    left.merge(right)

    assert [group.counts for group in left.groups] == [group.counts for group in whole.groups]


def test_memory_of_groups_is_bounded_and_loses_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "MOST_VALUES", 500)
    grouped = Grouped()
    for number in range(2000):
        grouped.add(number, range(number % 50, number % 50 + 100))

    assert len(grouped.groups) < stats.GROUPS
    assert len(grouped.together()) == 200_000


def test_the_interval_of_a_percentile_knows_that_gaps_of_a_request_resemble_each_other() -> None:
    widths = []
    for effect in (0, 3000):
        grouped = gaps_of(160, seed=1, effect=effect)
        whole = grouped.together()
        ends = grouped.percentile_intervals(whole)["p50"]
        assert ends is not None
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[0] <= whole.percentiles(50)[0] / 1000 <= ends[1]
        widths.append(ends[1] - ends[0])

    assert widths[1] > 4 * widths[0]


def test_intervals_of_percentiles_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        grouped = gaps_of(96, seed=seed, effect=2000)
        ends = grouped.percentile_intervals(grouped.together())["p90"]
        truth = (10_000 + 1.2815516 * math.hypot(2000, 300)) / 1000
        held += ends is not None and (ends[0] or 0) <= truth <= (ends[1] or 0)

    assert held >= 52  # of 60; 95 % is 57


def test_gaps_of_few_requests_have_no_interval() -> None:
    grouped = gaps_of(2, seed=1, effect=0)

    assert set(grouped.percentile_intervals(grouped.together()).values()) == {None}
