"""Distributions are exact, and merging them loses nothing."""

from __future__ import annotations

import math
import random
import statistics
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.bench import stats
from blackstack.bench.stats import Distribution, RequestSample, mean_interval, percentile_ranks, ratio_interval

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


@pytest.mark.parametrize("n", [3, 5, 12])
def test_an_interval_of_few_samples_is_right_as_often_as_it_says(n: int) -> None:
    draw, trials = random.Random(n), 300  # noqa: S311 - a draw, not a secret
    rounds = [[round(draw.gauss(100_000, 20_000)) for _ in range(n)] for _ in range(trials)]

    means = [mean_interval(values) or (0.0, 0.0) for values in rounds]
    ratios = [ratio_interval(values, [100] * n) or (0.0, 0.0) for values in rounds]

    assert sum(low <= 100_000 <= high for low, high in means) / trials >= 0.91
    assert sum(low <= 1000 <= high for low, high in ratios) / trials >= 0.91


def test_two_samples_give_no_interval() -> None:
    assert mean_interval([1, 2]) is None
    assert ratio_interval([1], [1]) is None


def gaps_of(requests: int, *, seed: int, effect: float) -> tuple[RequestSample, Distribution]:
    """Return gaps of requests that differ from each other by an effect of their own."""
    draw, sample, whole = random.Random(seed), RequestSample(), Distribution()  # noqa: S311 - the same each time
    for _ in range(requests):
        own = draw.gauss(0, effect)
        gaps = array("q", (round(max(1.0, 10_000 + own + draw.gauss(0, 300))) for _ in range(50)))
        sample.add(draw.getrandbits(40), gaps)
        whole.add(gaps)
    return sample, whole


def test_requests_kept_of_two_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "KEPT", 20)
    whole, left, right = RequestSample(), RequestSample(), RequestSample()
    for number in range(400):
        for each in (whole, left if number % 3 else right):
            each.add(number, array("q", [number * 7 % 113, number]))
    left.merge(right)

    assert len(whole.kept) == 20
    assert whole.requests == left.requests == 400
    assert sorted(left.kept) == sorted(whole.kept)


def test_the_requests_kept_are_spread_over_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "KEPT", 100)
    sample = RequestSample()
    for number in range(10_000):
        sample.add(number * 1000, array("q", [number]))

    numbers = sorted(gaps[0] for _, gaps in sample.kept)
    assert 15 <= sum(number < 2500 for number in numbers) <= 35
    assert 15 <= sum(number >= 7500 for number in numbers) <= 35


def test_the_interval_of_a_percentile_knows_that_gaps_of_a_request_resemble_each_other() -> None:
    widths = []
    for effect in (0, 3000):
        sample, whole = gaps_of(160, seed=1, effect=effect)
        ends = sample.percentile_intervals(whole)["p50"]
        assert ends is not None
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[0] <= whole.percentiles(50)[0] / 1000 <= ends[1]
        widths.append(ends[1] - ends[0])

    assert widths[1] > 4 * widths[0]


@pytest.mark.parametrize("kept", [512, 40])
def test_intervals_of_percentiles_hold_the_truth_as_often_as_they_say(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "KEPT", kept)
    held = 0
    truth = (10_000 + 1.2815516 * math.hypot(2000, 300)) / 1000
    for seed in range(60):
        sample, whole = gaps_of(96, seed=seed, effect=2000)
        ends = sample.percentile_intervals(whole)["p90"]
        held += ends is not None and (ends[0] or 0) <= truth <= (ends[1] or 0)

    assert held >= 52  # of 60; 95 % is 57


def test_gaps_of_few_requests_have_no_interval() -> None:
    sample, whole = gaps_of(2, seed=1, effect=0)

    assert set(sample.percentile_intervals(whole).values()) == {None}
