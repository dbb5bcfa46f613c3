"""Distributions are exact, and merging them loses nothing."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.bench.stats import Distribution, mean_interval, percentile_ranks, ratio_interval

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
