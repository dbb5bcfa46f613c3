"""From a profile that is safe, up to one that is fast: one thing at a time, kept where it works and costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blackstack.catalog import Stack
from blackstack.catalog.schema import Profile
from blackstack.trial import sure
from blackstack.trial.cell import Cell, Trial

KEPT_FROM = 0.95  # of the tokens/s before: what is kept may cost as much as two starts of one thing differ anyway
EXTRA = "extra"  # the name of the step that adds the words of the higher profile


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step up, and what came of it.

    Attributes:
        name: the knob, or EXTRA.
        value: what it was set to.
        kept: whether the next step stands on it.
        why: the reason, in a few words.
        gain: its tokens/s ÷ those of the step before it.
    """

    name: str
    value: str
    kept: bool
    why: str
    trial: Trial
    gain: sure.Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How far it went: the profile that was reached, and every rung. ``first`` is the safe one's trial."""

    first: Trial
    rungs: tuple[Rung, ...]
    reached: Profile


@dataclass(frozen=True, kw_only=True)
class Walk:
    """From a profile up: the steps to take, one at a time."""

    low: str
    steps: tuple[tuple[str, str], ...]


def steps(stack: Stack, own: Mapping[str, str], low: str, high: str) -> tuple[tuple[str, str], ...]:
    """Return the knobs in which two profiles differ, with the values of the higher one, in its order.

    A knob that a profile does not set has the stack's ``own`` value.
    """
    below, above = stack.x.profiles[low], stack.x.profiles[high]
    old = {**own, **{key: str(value) for key, value in below.set.items()}}
    new = {key: str(above.set.get(key, own.get(key, ""))) for key in {**above.set, **below.set}}
    differing = [(key, value) for key, value in new.items() if value != old.get(key)]
    return (*differing, *([(EXTRA, above.extra)] if above.extra and above.extra != below.extra else []))


def climb(
    stack: Stack, walk: Walk, *, cell_of: Callable[[str, Profile], Cell], attempt: Callable[[Cell], Trial]
) -> Climb:
    """Go up from one profile to the other.

    Args:
        stack: whose profiles.
        walk: from where to where; the lower profile must work.
        cell_of: makes the cell of a label and a set of values.
        attempt: tries it.
    """
    here = stack.x.profiles[walk.low]
    first = last = attempt(cell_of(walk.low, here))
    rungs: list[Rung] = []
    for name, value in walk.steps if first.works else ():
        there = _changed(here, name, value)
        trial = attempt(cell_of(_label(len(rungs) + 1, name, value, here.set), there))
        gain = sure.unpaired(trial.seen.rates, last.seen.rates) if trial.works else None
        slower = gain is not None and gain.value < KEPT_FROM
        shown = gain is not None and gain.high is not None and gain.high < 1
        kept = trial.works and not slower
        pace = "works" if not slower else "slower" if shown else "seems slower, which these few repeats do not show"
        why = pace if trial.works else trial.why or trial.outcome
        rungs.append(Rung(name=name, value=value, kept=kept, why=why, trial=trial, gain=gain))
        if kept:
            here, last = there, trial
    return Climb(first=first, rungs=tuple(rungs), reached=here)


def _changed(profile: Profile, name: str, value: str) -> Profile:
    if name == EXTRA:
        return profile.model_copy(update={"extra": value})
    return profile.model_copy(update={"set": {**profile.set, name: value}})


def _label(number: int, name: str, value: str, on: Mapping[str, object]) -> str:
    """Name a rung by all that it stands on: the same step on other values is another trial."""
    below = " ".join(f"{key}={set_to}" for key, set_to in on.items())
    return f"{number} {name}={value} on {below}"
