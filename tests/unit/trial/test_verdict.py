"""Answers before speed, rounds side by side, and nothing dropped in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blackstack.trial import verdict
from blackstack.trial.cell import Cell
from blackstack.trial.verdict import Entrant

from .conftest import trial


def entrant(name: str, *rates: float, outcome: str = "works") -> Entrant:
    """One with a trial for each rate."""
    trials = tuple(trial(f"{name} round {n}", rate, outcome=outcome, right=4) for n, rate in enumerate(rates, 1))
    return Entrant(name=name, trials=trials, size_bytes=3 << 30)


def test_rounds_go_a_b_a_b(cell: Callable[[str], Cell]) -> None:
    cells = {name: cell(name) for name in ("a", "b")}

    assert [one.label for _, one in verdict.rounds(cells, 2)] == ["a round 1", "b round 1", "a round 2", "b round 2"]


def test_the_faster_one_wins_with_its_interval_its_cost_and_what_was_not_tried() -> None:
    found = verdict.decide([entrant("a", 50, 51, 49), entrant("b", 100, 103, 97)], {"c": "needs a GPU"})

    assert found.winner == "b"
    assert found.over["a"].value == pytest.approx(2.0, rel=0.01)
    assert found.over["a"].low
    assert found.over["a"].low > 1.8
    assert found.line.startswith("verdict: b: 2.00 times (")
    assert "95 %, 3 rounds) a's tokens/s" in found.line
    assert "costs 3.00 GiB of disk, 2.0 s to start, 1.00 GiB of memory; answers 4/5 right" in found.line
    assert found.line.endswith("not tried: c (needs a GPU)")
    assert "\n" not in found.line


def test_a_difference_within_the_noise_is_no_win() -> None:
    found = verdict.decide([entrant("a", 100, 80, 120), entrant("b", 104, 100, 90)], {})

    assert found.winner is None
    assert "none is shown to be faster" in found.line
    assert "a costs" in found.line
    assert "b costs" in found.line


def test_one_round_shows_nothing() -> None:
    found = verdict.decide([entrant("a", 100), entrant("b", 10)], {})

    assert found.winner is None
    assert "no interval" in found.line


def test_the_fastest_with_wrong_answers_is_out_and_that_is_said() -> None:
    found = verdict.decide([entrant("a", 900, 900, outcome="wrong answers"), entrant("b", 10, 11)], {})

    assert found.winner == "b"
    assert "the only one that works" in found.line
    assert "out: a (wrong answers: a reason)" in found.line


def test_the_only_one_that_can_be_tried_is_said_to_be_that() -> None:
    found = verdict.decide([entrant("a", 10, 11)], {"b": "needs a GPU"})

    assert (found.winner, "the only one that could be tried" in found.line) == ("a", True)


def test_where_none_works_none_wins() -> None:
    found = verdict.decide([entrant("a", 10, outcome="crashed")], {})

    assert (found.winner, found.line) == (None, "verdict: none works; out: a (crashed: a reason)")


def test_of_three_the_winner_is_held_against_each_other_one() -> None:
    found = verdict.decide([entrant("a", 50, 51, 49), entrant("b", 100, 103, 97), entrant("c", 99, 104, 96)], {})

    assert set(found.over) == {"a", "c"}
    assert found.winner is None  # b is faster than a, and not shown to be faster than c
