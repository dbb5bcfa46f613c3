"""The search proposes, gives up what does worse, never tries a choice twice, and goes on where it was ended."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from blackstack import catalog
from blackstack.catalog import Stack, settle
from blackstack.errors import UsageError
from blackstack.plan import Wishes
from blackstack.trial import tune
from blackstack.trial.cell import Seen, Trial
from blackstack.trial.tune import Dimension, Search

from .conftest import trial

pytest.importorskip("optuna")

DIMENSIONS = (
    Dimension(name="SLOTS", values=("1", "2", "4", "8"), own="4"),
    Dimension(name="THREADS", values=("0", "1", "2"), own="0"),
)
RATE = {"1": 10.0, "2": 20.0, "4": 30.0, "8": 35.0}
GiveUp = Callable[[int, float], bool]


def rate(values: tune.Values) -> float:
    """How fast a choice is: best at SLOTS=8 THREADS=1."""
    return RATE[values["SLOTS"]] * {"0": 1.0, "1": 1.2, "2": 0.1}[values["THREADS"]]


def tried(values: tune.Values, give_up: GiveUp) -> Trial:
    """Measure once, twice, four times, unless told to give up."""
    rates: list[float] = []
    for repeat in range(1, 5):
        rates.append(rate(values))
        if repeat in {1, 2} and give_up(repeat, rates[-1]):
            return trial(str(values), *rates, outcome="stopped early")
    return trial(str(values), *rates)


def searched(attempt: Callable[[tune.Values, GiveUp], Trial], steps: int) -> Search:
    """Search so many steps."""
    looking = Search(dimensions=DIMENSIONS, goal="throughput")
    for _ in range(steps):
        looking.step(attempt)
    return looking


def test_the_stacks_own_values_are_tried_first() -> None:
    assert list(searched(tried, 1).tried) == [("4", "0")]


def test_the_best_is_found_and_no_choice_is_tried_twice() -> None:
    asked: list[str] = []

    def noted(values: tune.Values, give_up: GiveUp) -> Trial:
        asked.append(str(values))
        return tried(values, give_up)

    looking = searched(noted, 20)  # more steps than there are choices

    assert len(asked) == len(set(asked)) == looking.size == 12
    assert looking.best() == {"SLOTS": "8", "THREADS": "1"}
    assert looking.step(noted) is None


def test_what_does_worse_is_given_up_before_its_end() -> None:
    looking = searched(tried, 12)

    given_up = [one for one in looking.tried.values() if one.outcome == "stopped early"]
    assert given_up
    assert all(len(one.seen.rates) < 4 for one in given_up)


def test_what_crashes_is_never_the_best() -> None:
    def crashing(values: tune.Values, give_up: GiveUp) -> Trial:
        return trial("x", outcome="crashed") if values["SLOTS"] == "8" else tried(values, give_up)

    assert searched(crashing, 12).best() == {"SLOTS": "4", "THREADS": "1"}
    assert searched(lambda _values, _give_up: trial("x", outcome="crashed"), 3).best() is None


def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been() -> None:
    whole = searched(tried, 8)

    def kept(values: tune.Values, give_up: GiveUp) -> Trial:  # what a folder gives back: nothing is reported on the way
        found = whole.tried.get(tuple(values.values()))
        return found if found and len(again.tried) < 4 else tried(values, give_up)

    again = Search(dimensions=DIMENSIONS, goal="throughput")
    for _ in range(8):
        again.step(kept)

    assert list(again.tried) == list(whole.tried)


def test_latency_is_scored_by_the_time_of_a_request() -> None:
    seen = Seen(rates=(100.0,), e2e_ms=(50.0, 50.0))

    assert (tune.score(seen, "throughput"), tune.score(seen, "latency")) == (100.0, 20.0)
    assert (tune.score(Seen(), "throughput"), tune.score(Seen(), "latency")) == (0.0, 0.0)


@pytest.fixture
def stack(repository: Path) -> Stack:
    """The toy, with a knob to tune and llama.cpp's axes."""
    path = repository / "compose/toy.yaml"
    path.write_text(path.read_text().replace("about: how many at once}", "about: how many at once, tune: [16, 2, 8]}"))
    return catalog.load(repository, "toy")


def test_the_space_is_the_knobs_that_may_be_tuned_with_their_own_values(stack: Stack) -> None:
    settings = settle(stack, profile=None, overrides=(), from_shell={})

    slots, attention = tune.space(stack, settings, ["attention"])

    assert (slots.values, slots.own) == (("2", "4", "8", "16"), "4")
    assert attention.values == ("as it is", "auto", "on", "off")


def test_a_knob_that_somebody_set_is_left_alone(stack: Stack) -> None:
    settings = settle(stack, profile=None, overrides=("SLOTS=3",), from_shell=os.environ)

    assert tune.space(stack, settings, []) == ()


def test_a_choice_becomes_a_cell_and_a_profile_of_what_differs(stack: Stack) -> None:
    dimensions = tune.space(stack, settle(stack, profile=None, overrides=(), from_shell={}), ["attention"])

    own = tune.cell_of(stack, Wishes(), dimensions, {"SLOTS": "4", "attention": "as it is"})
    other = tune.cell_of(stack, Wishes(), dimensions, {"SLOTS": "8", "attention": "off"})

    assert (own.wishes, own.label, own.evidence) == (Wishes(), tune.DEFAULTS, ())
    assert other.wishes.overrides == ("SLOTS=8",)
    assert other.wishes.extra == ("--flash-attn off --verbosity 4",)
    assert [one.asked for one in other.evidence] == ["off"]


def test_a_value_to_tune_that_the_knob_refuses_is_a_fault_of_the_file(repository: Path) -> None:
    path = repository / "compose/toy.yaml"
    path.write_text(path.read_text().replace("about: how many at once}", "about: how many at once, tune: [0]}"))

    with pytest.raises(UsageError) as caught:
        catalog.load(repository, "toy")

    assert "`tune` has 0" in str(caught.value)


COLD = dataclasses.replace(trial("cold", 10.0, seconds=188.0), load_s=160.0)
WARM = dataclasses.replace(trial("warm", 10.0, seconds=90.0), load_s=70.0)


def test_what_more_would_take_is_told_by_the_shortest_start_and_the_longest_load() -> None:
    cold, both = tune.Pace.of([COLD]), tune.Pace.of([COLD, WARM])

    assert tune.Pace.of([]).needs(choices=1, rounds=4) == 0
    assert cold.needs(choices=1, rounds=4) == pytest.approx(188 + 188 + 4 * 2 * (160 + 16.8))
    assert both.needs(choices=1, rounds=4) == pytest.approx(278 + 98 + 4 * 2 * (70 + 16.8))
    assert both.needs() == pytest.approx(278)


def test_a_single_start_which_may_have_filled_caches_does_not_end_a_search_that_has_time_for_one_round() -> None:
    one_round = 188 + 188 + 2 * (160 + 16.8)
    rematch = 278 + 98 + tune.ROUNDS * 2 * (70 + 16.8)

    assert tune.Pace.of([COLD]).has_time_for_a_choice(one_round + 1)
    assert not tune.Pace.of([COLD]).has_time_for_a_choice(one_round - 1)
    assert tune.Pace.of([COLD, WARM]).has_time_for_a_choice(rematch + 1)
    assert not tune.Pace.of([COLD, WARM]).has_time_for_a_choice(rematch - 1)


def test_a_choice_that_never_answered_may_be_the_longest() -> None:
    refused = dataclasses.replace(trial("refused", outcome="too late", seconds=600.0), load_s=None)

    assert tune.Pace.of([refused]).needs(choices=1, rounds=4) == pytest.approx(600 + 600)
