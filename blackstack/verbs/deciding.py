"""Verdict: hold stacks against each other on this machine, and say which wins, why, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

from blackstack import catalog, doctor, host, inside, plan
from blackstack.catalog import Stack
from blackstack.errors import BlockedError, UsageError, unknown_name
from blackstack.facts import Facts
from blackstack.plan import Wishes
from blackstack.trial import verdict
from blackstack.trial.attempt import short_probe
from blackstack.trial.cell import Cell, Trial
from blackstack.verbs.choose import ROOT
from blackstack.verbs.trying import Order, trying


def decide(order: Order, *, candidates: Sequence[str], model: str, rounds: int) -> None:
    """Hold stacks against each other on this machine, side by side, and say which wins."""
    if lacking := [flag for flag, given in (("--candidates", candidates), ("--model", model)) if not given]:
        raise UsageError(
            "inv verdict needs the stacks to hold against each other, and the model that all of them serve",
            why=f"not given: {', '.join(lacking)}",
            fix=[
                "inv verdict --candidates llamacpp-cpu,vllm-cpu --model SmolLM2-135M-Instruct",
                "which stack serves which model: inv stacks",
            ],
        )
    with trying("verdict", order) as it:
        stacks, not_tried = _able(candidates, model, order.wishes)
        cells = {one.name: Cell(label=one.name, stack=one.name, wishes=_for(one, order.wishes)) for one in stacks}
        if not cells:
            reasons = [f"{name}: {why}" for name, why in not_tried.items()]
            raise BlockedError("none of the candidates can be tried here", why=reasons, fix="inv stacks")
        wishes = {name: cell.wishes for name, cell in cells.items()}
        not_tried |= it.begin(wishes, {"model": model, "rounds": rounds})
        cells = {name: cell for name, cell in cells.items() if name not in not_tried}
        trials: dict[str, list[Trial]] = {name: [] for name in cells}
        for name, cell in verdict.rounds(cells, rounds):
            if all(trial.works for trial in trials[name]):  # what failed once is out
                # At temperature 0 the answers of the next rounds are those of the first.
                it.probe = short_probe(replace(order.load, quality=not trials[name]))
                trials[name].append(it.run.one(cell, of=rounds * len(cells)))
        sizes = {name: inside.footprint(it.plan_of(cells[name])) for name in cells}
    judged = {trial.label: trial for trial in it.run.judged()}
    entrants = [
        verdict.Entrant(name=name, trials=tuple(judged[t.label] for t in tried), size_bytes=sizes[name])
        for name, tried in trials.items()
    ]
    found = verdict.decide(entrants, not_tried)
    asked = {"candidates": list(candidates), "model": model, "rounds": rounds}
    over = {name: dataclasses.asdict(ratio) for name, ratio in found.over.items()}
    more = {
        "verdict": {"winner": found.winner, "over": over, "line": found.line, "not_tried": not_tried, "sizes": sizes}
    }
    it.write("-".join(cells or candidates), asked, it.run.judged(), more, [found.line])
    it.refuse_if_nothing_works(next(iter(wishes)), it.run.judged(), not_tried)


def _able(candidates: Sequence[str], model: str, wishes: Wishes) -> tuple[list[Stack], dict[str, str]]:
    """Return the candidates that may be tried here, and of the others why not."""
    facts = Facts(ROOT, host.look(ROOT))
    stacks = [catalog.load(ROOT, name) for name in dict.fromkeys(candidates)]
    knobs = {knob for one in stacks for knob in one.x.knobs}
    for key in (word.partition("=")[0] for word in wishes.overrides):
        if key not in knobs:
            raise unknown_name("knob", key, knobs, see=f"inv plan --stack {stacks[0].name}")
    able, not_tried = [], {}
    for one in stacks:
        try:
            made = plan.make(one, facts.host, _for(one, wishes))
        except (BlockedError, UsageError) as error:  # no engine, or a stack that cannot run without one
            not_tried[one.name] = error.what
            continue
        if made.model != model:
            not_tried[one.name] = f"serves {made.model}"
        elif against := doctor.in_the_way(made, facts):
            not_tried[one.name] = "; ".join(finding.title for finding in against)
        else:
            able.append(one)
    return able, not_tried


def _for(one: Stack, wishes: Wishes) -> Wishes:
    """Return the wishes without the knobs that this stack has not: candidates share one command line."""
    return replace(wishes, overrides=tuple(word for word in wishes.overrides if word.partition("=")[0] in one.x.knobs))
