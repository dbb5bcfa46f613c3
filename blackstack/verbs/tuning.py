"""Tune: search a stack's knobs, hold the best against the stack's own values, and keep it only if it wins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from blackstack import host, plan
from blackstack.catalog.schema import Profile
from blackstack.errors import UsageError, unknown_name
from blackstack.trial import axes, sure, tune, verdict
from blackstack.trial.attempt import short_probe
from blackstack.trial.cell import Trial
from blackstack.verbs.choose import ROOT, named
from blackstack.verbs.trying import Order, keep, trying

AXES = ("attention", "kv")  # that are searched where the stack has them


def search(stack: str | None, order: Order, *, goal: tune.Goal, budget_s: float, names: Sequence[str] | None) -> None:
    """Search the stack's knobs, hold the best against the stack's own values, and write it as a profile if it wins."""
    with trying("tune", order) as it:
        one = named(stack)
        there = axes.axes_of(one)
        chosen = [name for name in AXES if name in there] if names is None else list(names)
        for name in chosen:
            if name not in there:
                raise unknown_name("axis", name, there, see=f"inv --help tune   # of {one.x.engine}")
        settings = plan.make(one, host.look(ROOT), order.wishes).settings
        dimensions = tune.space(one, settings, chosen)
        if not dimensions:
            raise UsageError(f"{one.name} has nothing to tune", fix="`tune: [values]` at a knob of its x-stack block")
        told = [{"name": one.name, "values": one.values, "own": one.own} for one in dimensions]
        it.begin({one.name: order.wishes}, {"goal": goal, "dimensions": told})
        looking = tune.Search(dimensions=dimensions, goal=goal, seed=order.load.seed)
        it.note(f"{looking.size} choices of {', '.join(d.name for d in dimensions)}; budget {budget_s:.0f} s")

        def tried(values: tune.Values, give_up: Callable[[int, float], bool]) -> Trial:
            cell = tune.cell_of(one, order.wishes, dimensions, values)
            it.probe = tune.growing_probe(order.load, goal, give_up)
            return it.run.one(cell)

        while tune.Pace.of(it.run.trials).has_time_for_a_choice(budget_s) and looking.step(tried) is not None:
            pass
        best = looking.best()
        own = {d.name: d.own for d in dimensions}
        rematch: dict[str, list[Trial]] = {"own": [], "best": []}
        if best and best != own:
            it.note("the best is held against the stack's own values, side by side")
            sides = {"own": own, "best": best}
            cells = {side: tune.cell_of(one, order.wishes, dimensions, values) for side, values in sides.items()}
            for side, cell in verdict.rounds(cells, tune.ROUNDS):
                if side == "own" and tune.Pace.of(it.run.trials).needs(rounds=1) > budget_s:
                    it.note("no time for another round")
                    break
                # At temperature 0 the answers of the next rounds are those of the first.
                it.probe = short_probe(replace(order.load, repeats=tune.REPEATS, quality=not rematch[side]))
                label = f"rematch {cell.label}: {cell.about or tune.DEFAULTS}"
                rematch[side].append(it.run.one(replace(cell, label=label)))
    found = _Found(looking=looking, best=best, own=own, rematch=rematch, goal=goal, pace=tune.Pace.of(it.run.trials))
    closing = [found.told()]
    if found.gained:
        profile = found.profile.model_copy(update={"about": f"{goal}: {closing[0]}"})
        closing += keep(one, f"tuned-{goal}", profile, order.wishes)
    it.write(one.name, {"stack": one.name, "goal": goal}, it.run.judged(), found.as_dict(), closing)
    it.refuse_if_nothing_works(one.name, it.run.judged(), {})


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a search came to: the best values, how they did against the stack's own, and what more would need."""

    looking: tune.Search
    best: tune.Values | None
    own: tune.Values
    rematch: Mapping[str, Sequence[Trial]]
    goal: tune.Goal
    pace: tune.Pace

    @property
    def rounds(self) -> int:
        """Rounds of the rematch that were played."""
        return len(self.rematch["best"])

    @property
    def ratio(self) -> sure.Estimate | None:
        """Best ÷ own in the rematch; None when there was none, or one of them failed in it."""
        if not all(trial.works for trials in self.rematch.values() for trial in trials):
            return None
        scores = {
            side: [tune.score(trial.seen, self.goal) for trial in trials] for side, trials in self.rematch.items()
        }
        return sure.ratio(scores["best"], scores["own"])

    @property
    def gained(self) -> bool:
        """Whether the rematch shows a gain; anything else leaves the stack as it is."""
        return self.ratio is not None and self.ratio.low is not None and self.ratio.low > 1

    @property
    def profile(self) -> Profile:
        """The best values, as a profile."""
        return tune.profile_of(self.looking.dimensions, self.best or self.own, about="")

    def told(self) -> str:
        """Say what it came to, in a sentence."""
        what = "tokens/s" if self.goal == "throughput" else "requests/s of a single client"
        words = " ".join([*(f"{key}={value}" for key, value in self.profile.set.items()), self.profile.extra]).strip()
        if self.best is None:
            said = "nothing that was tried works"
        elif len(self.looking.tried) < min(self.looking.size, 2):
            least = self._budget(choices=1, rounds=tune.ROUNDS)
            said = f"no gain shown: time for the stack's own values only; one more and a rematch need {least}"
        elif self.best == self.own:
            said = "no gain shown: the stack's own values are the best of what was tried"
        elif not self.rounds:
            least = self._budget(rounds=tune.ROUNDS)
            said = f"no gain shown: {words} did best, but there was no time for the rematch, which needs {least}"
        elif self.ratio is None:
            said = f"no gain shown: {words}, or the stack as it is, failed in the rematch"
        else:
            said = f"{words} gave {verdict.told(self.ratio)} the {what} of the stack's own values"
            said = said if self.gained else f"no gain shown: {said}"
            missing = tune.ROUNDS - self.rounds
            said += f"; all {tune.ROUNDS} rounds need {self._budget(rounds=missing)}" if missing else ""
        return f"{said}; {len(self.looking.tried)} of {self.looking.size} choices tried"

    def _budget(self, *, choices: int = 0, rounds: int = 0) -> str:
        return f"--budget {math.ceil(self.pace.needs(choices=choices, rounds=rounds) / 60)}m"

    def as_dict(self) -> dict[str, object]:
        """Return it for the record."""
        return {
            "goal": self.goal,
            "best": dict(self.best or {}),
            "own": dict(self.own),
            "gain": dataclasses.asdict(self.ratio) if self.ratio else None,
            "gain_shown": self.gained,
            "tried": len(self.looking.tried),
            "choices": self.looking.size,
        }
