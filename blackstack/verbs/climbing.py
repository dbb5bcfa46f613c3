"""Ladder: from the safe profile up, one thing at a time; what was reached becomes a profile."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

from blackstack import host, plan
from blackstack.catalog import Stack
from blackstack.catalog.schema import Profile
from blackstack.errors import BlackstackError, UsageError, unknown_name
from blackstack.trial import ladder, sure
from blackstack.trial.cell import Cell
from blackstack.verbs.choose import ROOT, named
from blackstack.verbs.trying import Order, keep, trying


def climb(stack: str | None, order: Order, *, low: str, high: str) -> None:
    """Go from the safe profile up, keep what works, and write what was reached as a profile."""
    with trying("ladder", order) as it:
        one = named(stack)
        refuse_no_pair(one, low, high)
        settings = plan.make(one, host.look(ROOT), order.wishes).settings
        own = {key: setting.value for key, setting in settings.items() if not setting.secret}
        walk = ladder.Walk(low=low, steps=ladder.steps(one, own, low, high))
        if not walk.steps:
            raise UsageError(f"the profiles {low} and {high} of {one.name} do not differ")

        def cell_of(label: str, profile: Profile) -> Cell:
            words = tuple(f"{key}={value}" for key, value in profile.set.items())
            extra = (profile.extra,) if profile.extra else ()
            wishes = replace(
                order.wishes, overrides=(*words, *order.wishes.overrides), extra=(*extra, *order.wishes.extra)
            )
            return Cell(label=label, stack=one.name, wishes=wishes)

        it.begin({one.name: order.wishes}, {"ladder": [low, high], "steps": walk.steps})
        climbed = ladder.climb(
            one, walk, cell_of=cell_of, attempt=lambda cell: it.run.one(cell, of=len(walk.steps) + 1)
        )
    asked = {"stack": one.name, "from": low, "to": high}
    if not climbed.first.works:
        it.write(one.name, asked, it.run.judged(), {}, [])
        raise BlackstackError(
            f"profile {low} of {one.name} does not work, so there is nothing to stand on", why=climbed.first.why
        )
    kept = [f"{rung.name}={rung.value}" for rung in climbed.rungs if rung.kept]
    about = f"from {low} towards {high}: {' '.join(kept) or 'nothing'} kept"
    told = [
        f"{'keep  ' if rung.kept else 'revert'} {rung.name}={rung.value}: {rung.why}{_gained(rung.gain)}"
        for rung in climbed.rungs
    ]
    profile = climbed.reached.model_copy(update={"about": about})
    closing = [*told, *keep(one, "ladder", profile, order.wishes)]
    steps = [{**dataclasses.asdict(rung), "trial": rung.trial.label} for rung in climbed.rungs]
    more = {"rungs": steps, "profile": profile.model_dump(mode="json")}
    it.write(one.name, asked, it.run.judged(), more, closing)


def refuse_no_pair(one: Stack, low: str, high: str) -> None:
    """Say which of the two profiles the stack does not have.

    Raises:
        UsageError: one of them, or both: then the stack was not made to be climbed.
    """
    known = one.x.profiles
    lacking = [name for name in (low, high) if name not in known]
    if len(lacking) > 1:
        write = [] if len(known) > 1 else [f"write two into `profiles:` of x-stack in compose/{one.name}.yaml"]
        raise UsageError(
            f"{one.name} has no pair of profiles {low} and {high} to climb between",
            why=f"its profiles: {', '.join(known) or 'none'}",
            fix=[*write, f"inv ladder --stack {one.name} --low NAME --high NAME"],
        )
    for name in lacking:
        raise unknown_name("profile", name, known, see=f"inv stacks --stack {one.name}")


def _gained(gain: sure.Estimate | None) -> str:
    if gain is None:
        return ""
    between = f" ({gain.low:.2f} to {gain.high:.2f})" if gain.low is not None and gain.high is not None else ""
    return f", {gain.value:.2f} times the tokens/s before it{between}"
