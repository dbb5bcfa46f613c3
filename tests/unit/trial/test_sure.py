"""Few repeats make wide intervals, and pairs cancel what the machine did to both."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack import student
from blackstack.trial import sure

RATES = st.lists(st.floats(min_value=1.0, max_value=1000.0), min_size=2, max_size=12)


def test_a_mean_has_the_interval_of_the_textbook() -> None:
    found = sure.mean([10.0, 12.0, 14.0])

    assert found
    assert (found.value, found.n) == (12.0, 3)
    assert (found.low, found.high) == pytest.approx(student.of_mean([10.0, 12.0, 14.0]))


def test_one_repeat_has_no_interval_and_none_has_no_estimate() -> None:
    assert sure.mean([5.0]) == sure.Estimate(value=5.0, low=None, high=None, n=1)
    assert sure.rate([]) is None
    assert sure.ratio([1.0], [0.0]) is None


def test_pairs_cancel_a_machine_that_slows_down() -> None:
    theirs = [100.0, 50.0, 20.0, 80.0]
    ours = [rate * gain for rate, gain in zip(theirs, (1.10, 1.11, 1.09, 1.10), strict=True)]

    paired, apart = sure.ratio(ours, theirs), sure.unpaired(ours, theirs)

    assert paired
    assert paired.low
    assert 1.08 < paired.low < 1.10 < paired.value + 0.001
    assert apart
    assert apart.low
    assert apart.low < 1  # the same numbers, without knowing what belongs together, show nothing


def test_repeats_that_are_no_pairs_have_welchs_interval() -> None:
    ours, theirs = [20.0, 22.0, 24.0], [10.0, 11.0, 9.0, 10.0]

    found = sure.unpaired(ours, theirs)

    assert found
    low, high = student.of_difference([math.log(x) for x in ours], [math.log(x) for x in theirs])
    assert (found.low, found.high, found.n) == pytest.approx((math.exp(low), math.exp(high), 3))


def test_an_interval_beyond_all_numbers_is_the_largest_one() -> None:
    found = sure.ratio([1.0, 1e300], [1e300, 1.0])

    assert found
    assert found.high
    assert math.isfinite(found.high)


@given(RATES)
def test_a_rate_lies_within_its_interval_and_above_nothing(rates: list[float]) -> None:
    found = sure.rate(rates)

    assert found
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value * (1 + 1e-9)
    assert found.high >= found.value * (1 - 1e-9)


@given(RATES)
def test_nothing_is_faster_than_itself(rates: list[float]) -> None:
    found = sure.ratio(rates, rates)

    assert found
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
