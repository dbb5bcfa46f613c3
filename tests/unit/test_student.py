"""Student's t is that of the tables, and the intervals that stand on it hold the truth as often as they say."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest

from blackstack import student

# https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
TABLE = [
    *((1, 12.706), (2, 4.303), (4, 2.776), (5, 2.571), (10, 2.228), (15, 2.131), (16, 2.120), (20, 2.086)),
    *((30, 2.042), (60, 2.000), (120, 1.980)),
]


@pytest.mark.parametrize(("freedom", "t"), TABLE)
def test_students_t_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert student.quantile(0.975, freedom) == pytest.approx(t, abs=0.001)


def test_students_t_becomes_the_normal_law() -> None:
    assert student.quantile(0.975, 1e6) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-4)


def test_a_mean_has_the_interval_of_the_textbook() -> None:
    half = 4.303 * 2 / math.sqrt(3)

    assert student.of_mean([10.0, 12.0, 14.0]) == pytest.approx((12 - half, 12 + half), abs=0.001)


def test_two_samples_of_one_size_and_spread_have_the_freedom_of_both() -> None:
    half = 2.776 * math.sqrt(2 * 4 / 3)

    assert student.of_difference([10.0, 12.0, 14.0], [0.0, 2.0, 4.0]) == pytest.approx((10 - half, 10 + half), abs=0.01)


def test_what_does_not_differ_has_an_interval_of_one_point() -> None:
    assert student.of_mean([3.0, 3.0]) == (3.0, 3.0)
    assert student.of_difference([3.0, 3.0], [1.0, 1.0, 1.0]) == (2.0, 2.0)


def test_a_surer_interval_is_wider() -> None:
    low, high = student.of_mean([1.0, 2.0, 4.0], sure=0.99)

    assert low < student.of_mean([1.0, 2.0, 4.0])[0]
    assert high > student.of_mean([1.0, 2.0, 4.0])[1]


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw, held = random.Random(3), [0, 0]  # noqa: S311 - the same each time
    for _ in range(400):
        ours, theirs = [draw.gauss(5, 1) for _ in range(4)], [draw.gauss(3, 4) for _ in range(6)]
        for kind, (truth, (low, high)) in enumerate(
            ((5, student.of_mean(ours)), (2, student.of_difference(ours, theirs)))
        ):
            held[kind] += low <= truth <= high

    assert all(0.92 <= times / 400 <= 0.98 for times in held)
