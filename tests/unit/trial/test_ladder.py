"""One thing at a time, from the safe profile up: what breaks or slows is taken back, and the rest stands."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from blackstack import catalog
from blackstack.catalog import Stack
from blackstack.catalog.schema import Profile
from blackstack.errors import UsageError
from blackstack.plan import Wishes
from blackstack.trial import ladder
from blackstack.trial.cell import Cell, Trial
from blackstack.verbs.climbing import refuse_no_pair
from tests.unit.conftest import REPOSITORY

from .conftest import trial

OWN = {"SLOTS": "4", "MODE": "sane", "PORT": "8080", "BASE_IMAGE": "old"}


@pytest.fixture
def stack(repository: Path) -> Stack:
    """The toy with a safe and a fast profile."""
    toy = catalog.load(repository, "toy")
    profiles = {
        "safe": Profile(about="", set={"SLOTS": 1, "BASE_IMAGE": "old"}),
        "fast": Profile(about="", set={"SLOTS": 8, "MODE": "die", "PORT": 8081}, extra="--quick"),
    }
    return dataclasses.replace(toy, x=toy.x.model_copy(update={"profiles": profiles}))


def climbed(stack: Stack, rates: dict[str, tuple[float, ...]]) -> tuple[ladder.Climb, list[Profile]]:
    """Climb where each value has these tokens a second; what is not named crashes."""
    tried: list[Profile] = []

    def cell_of(label: str, profile: Profile) -> Cell:
        tried.append(profile)
        newest = [*profile.set.items(), *([("extra", profile.extra)] if profile.extra else [])][-1]
        return Cell(label=label, stack="toy", wishes=Wishes(), about=f"{newest[0]}={newest[1]}")

    def attempt(cell: Cell) -> Trial:
        by_label = "safe" if cell.label == "safe" else cell.label.split()[1]
        found = rates.get(by_label)
        return trial(cell.label, *found) if found else trial(cell.label, outcome="crashed")

    walk = ladder.Walk(low="safe", steps=ladder.steps(stack, OWN, "safe", "fast"))
    return ladder.climb(stack, walk, cell_of=cell_of, attempt=attempt), tried


def test_the_steps_are_what_differs_in_the_order_of_the_higher_profile(stack: Stack) -> None:
    assert ladder.steps(stack, OWN, "safe", "fast") == (
        ("SLOTS", "8"),
        ("MODE", "die"),
        ("PORT", "8081"),
        ("extra", "--quick"),
    )


def test_what_works_is_kept_and_what_crashes_or_slows_is_taken_back(stack: Stack) -> None:
    safe = (10.0, 10.1, 9.9)
    found, tried = climbed(
        stack,
        {
            "safe": safe,
            "SLOTS=8": (40.0, 41.0, 39.0),
            "PORT=8081": (20.0, 20.1, 19.9),
            "extra=--quick": (41.0, 40.0, 39.0),
        },
    )

    assert [(rung.name, rung.kept, rung.why) for rung in found.rungs] == [
        ("SLOTS", True, "works"),
        ("MODE", False, "a reason"),
        ("PORT", False, "slower"),
        ("extra", True, "works"),
    ]
    assert found.reached.set == {"SLOTS": "8", "BASE_IMAGE": "old"}
    assert found.reached.extra == "--quick"
    assert tried[2].set == {"SLOTS": "8", "BASE_IMAGE": "old", "MODE": "die"}  # stands on what was kept
    assert tried[3].set == {"SLOTS": "8", "BASE_IMAGE": "old", "PORT": "8081"}  # and not on what was not
    assert found.rungs[0].gain
    assert found.rungs[0].gain.value == pytest.approx(4.0, rel=0.01)


def test_what_only_seems_slower_is_taken_back_too_and_said_to_be_that(stack: Stack) -> None:
    found, _ = climbed(stack, {"safe": (10.0, 20.0), "SLOTS=8": (7.0, 14.0), "PORT=8081": (9.8, 19.6)})

    assert [(rung.name, rung.kept) for rung in found.rungs][::2] == [("SLOTS", False), ("PORT", True)]
    assert "do not show" in found.rungs[0].why


def test_a_foot_that_does_not_work_is_no_place_to_climb_from(stack: Stack) -> None:
    found, tried = climbed(stack, {})

    assert not found.first.works
    assert found.rungs == ()
    assert len(tried) == 1


def test_the_same_step_on_other_values_is_another_trial(stack: Stack) -> None:
    one, _ = climbed(stack, {"safe": (10.0, 10.0), "SLOTS=8": (20.0, 20.0), "PORT=8081": (20.0, 20.0)})
    other, _ = climbed(stack, {"safe": (10.0, 10.0), "PORT=8081": (20.0, 20.0)})

    labels = [{rung.trial.label for rung in found.rungs if rung.name == "PORT"} for found in (one, other)]
    assert labels[0] != labels[1]


def test_a_stack_without_a_pair_of_profiles_says_so() -> None:
    one = catalog.load(REPOSITORY, "vllm-stable")

    with pytest.raises(UsageError, match="no pair of profiles safe and fast") as caught:
        refuse_no_pair(one, "safe", "fast")

    assert "--low NAME --high NAME" in str(caught.value)
    with pytest.raises(UsageError, match="no profile called 'cu128'"):
        refuse_no_pair(one, "cu129", "cu128")
