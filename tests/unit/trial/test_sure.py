"""Few repeats make wide intervals, and pairs cancel what the machine did to both."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.trial import sure

RATES = st.lists(st.floats(min_value=1.0, max_value=1000.0), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (4, 2.776), (15, 2.131), (16, 2.120), (20, 2.086), (60, 2.000), (120, 1.980)]
)
def test_student_is_as_in_the_tables(freedom: int, expected: float) -> None:
    assert sure.t_value(freedom) == pytest.approx(expected, abs=0.001)


def test_a_mean_has_the_interval_of_the_textbook() -> None:
    found = sure.mean([10.0, 12.0, 14.0])

    assert found
    assert found.low == pytest.approx(12 - 4.303 * 2 / math.sqrt(3), abs=0.001)
    assert found.high == pytest.approx(12 + 4.303 * 2 / math.sqrt(3), abs=0.001)


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


def test_welch_is_that_of_the_textbook() -> None:
    ours, theirs = [20.0, 22.0, 24.0], [10.0, 11.0, 9.0]
    a, b = [math.log(x) for x in ours], [math.log(x) for x in theirs]
    parts = statistics.variance(a) / 3, statistics.variance(b) / 3
    freedom = math.floor(sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 2))

    found = sure.unpaired(ours, theirs)

    assert found
    assert found.low == pytest.approx(
        math.exp(statistics.fmean(a) - statistics.fmean(b) - sure.t_value(freedom) * math.sqrt(sum(parts)))
    )


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
