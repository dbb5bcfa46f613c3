"""A search over a stack's knobs, by Optuna: short runs that grow longer for what does well, and a rematch at the end.

The search only proposes. What is claimed comes from the rematch: the stack as it is, and the best that was found, side
by side and measured anew, so that the luck that made it the best is not counted twice. Where the rematch shows no gain,
the stack stays as it is; so tuning is never worse than not tuning.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from blackstack.bench import Target, Workload, measure
from blackstack.catalog import Settings, Stack
from blackstack.catalog.schema import Profile
from blackstack.errors import BlockedError
from blackstack.plan import Wishes
from blackstack.progress import Progress
from blackstack.trial import axes
from blackstack.trial.attempt import Probe, seen_in, warm_up
from blackstack.trial.cell import Cell, Seen, Trial

if TYPE_CHECKING:
    import optuna

Goal = Literal["throughput", "latency"]
Values = Mapping[str, str]
ROUNDS, REPEATS = 4, 2  # of the rematch that a claim rests on
RUNGS = (1, 2, 4)  # repeats after which the ones that do worse are given up
DEFAULTS = "the stack's own values"
_ASKS = 20  # proposals in a row that were tried already, after which an untried one is drawn


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """Something that may be set.

    Attributes:
        name: the knob, or the axis.
        values: in their natural order; the stack's own is among them.
        own: the stack's own value.
        axis: None for a knob.
    """

    name: str
    values: tuple[str, ...]
    own: str
    axis: axes.Axis | None = None


def space(stack: Stack, settings: Settings, names: Sequence[str]) -> tuple[Dimension, ...]:
    """Return what may be tuned: knobs with `tune:`, unless somebody set them for this run, and axes."""
    found = []
    for key, knob in stack.x.knobs.items():
        own = settings[key].value
        if knob.tune and not settings[key].is_wish:
            values = tuple(dict.fromkeys([*map(str, knob.tune), own]))
            found.append(Dimension(name=key, values=tuple(sorted(values, key=_natural)), own=own))
    there = axes.axes_of(stack)
    found += [Dimension(name=name, values=(_OWN, *there[name].values), own=_OWN, axis=there[name]) for name in names]
    return tuple(found)


_OWN = "as it is"


def cell_of(stack: Stack, wishes: Wishes, dimensions: Sequence[Dimension], values: Values) -> Cell:
    """Return the cell of one choice."""
    profile = profile_of(dimensions, values, about="")
    about = " ".join([*(f"{key}={value}" for key, value in profile.set.items()), profile.extra]).strip()
    asked = [one.axis.evidence(values[one.name]) for one in dimensions if one.axis and values[one.name] != one.own]
    return Cell(
        label=about or DEFAULTS,
        stack=stack.name,
        wishes=replace(
            wishes,
            overrides=(*wishes.overrides, *(f"{key}={value}" for key, value in profile.set.items())),
            extra=(*wishes.extra, *([profile.extra] if profile.extra else [])),
        ),
        evidence=tuple(asked),
        about=about,
    )


def profile_of(dimensions: Sequence[Dimension], values: Values, about: str) -> Profile:
    """Return a choice as a profile: what differs from the stack's own values."""
    changed = [one for one in dimensions if values[one.name] != one.own]
    words = [one.axis.told(values[one.name]) for one in changed if one.axis]
    return Profile(
        about=about, set={one.name: values[one.name] for one in changed if not one.axis}, extra=" ".join(words)
    )


def score(seen: Seen, goal: Goal) -> float:
    """Return how good a measurement is; more is better.

    Output tokens a second; for latency, the requests that one client gets answered in a second.
    """
    if goal == "throughput":
        return statistics.fmean(seen.rates) if seen.rates else 0.0
    return 1000 / statistics.fmean(seen.e2e_ms) if seen.e2e_ms else 0.0


def per_repeat(seen: Seen, goal: Goal) -> tuple[float, ...]:
    """Return the score of each repeat."""
    return seen.rates if goal == "throughput" else tuple(1000 / each for each in seen.e2e_ms)


def upto(seen: Seen, count: int) -> Seen:
    """Return what the first repeats alone gave."""
    return replace(seen, rates=seen.rates[:count], e2e_ms=seen.e2e_ms[:count], ttft_ms=seen.ttft_ms[:count])


def growing_probe(workload: Workload, goal: Goal, give_up: Callable[[int, float], bool]) -> Probe:
    """Return a probe that measures once, twice, four times, and may be told to give up in between.

    Args:
        workload: of one repeat.
        goal: what is scored.
        give_up: is told the repeats so far and their score.
    """

    def probe(target: Target, progress: Progress) -> Seen:
        if failed := warm_up(target, workload, progress):
            return failed
        total = Seen()
        for repeat in range(RUNGS[-1]):
            progress.stage(f"measure, repeat {repeat + 1}")
            load = replace(workload, seed=workload.seed + repeat, repeats=1, quality=workload.quality and not repeat)
            total = added(total, seen_in(measure(target, load, progress=progress.line)))
            if total.failed or (total.quality and total.quality.degenerate and not target.noise):
                return total
            if repeat + 1 in RUNGS[:-1] and give_up(repeat + 1, score(total, goal)):
                return replace(total, stopped=f"given up after {repeat + 1} of {RUNGS[-1]} repeats: others do better")
        return total

    return probe


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a search has taken, and what more of it would take; in seconds.

    Attributes:
        spent: on all that was tried.
        choice: one more choice.
        round: a round of the rematch.
        starts: that came up.
    """

    spent: float = 0.0
    choice: float = 0.0
    round: float = 0.0
    starts: int = 0

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Pace:
        """Estimate by the shortest start and the longest load.

        A first start may have compiled what later ones find in caches.
        """
        if not trials:
            return cls()
        served = [(trial.load_s, trial.seconds - trial.load_s) for trial in trials if trial.load_s is not None]
        start, load = min((start for start, _ in served), default=0.0), max((load for _, load in served), default=0.0)
        return cls(
            spent=sum(trial.seconds for trial in trials),
            choice=max(start + load, *(trial.seconds for trial in trials if trial.load_s is None), 0.0),
            round=2 * (start + load * (1 + REPEATS) / (1 + RUNGS[-1])),  # each begins with a load that does not count
            starts=len(served),
        )

    def needs(self, *, choices: int = 0, rounds: int = 0) -> float:
        """Return the seconds of all that was tried and so much more."""
        return self.spent + choices * self.choice + rounds * self.round

    def has_time_for_a_choice(self, budget_s: float) -> bool:
        """Tell whether one more choice and the rematch fit.

        One start says little about the next, so after a single one a rematch of one round is enough to go on.
        """
        return self.needs(choices=1, rounds=1 if self.starts == 1 else ROUNDS) < budget_s


def added(one: Seen, other: Seen) -> Seen:
    """Return two measurements of one server as one."""
    return Seen(
        rates=one.rates + other.rates,
        e2e_ms=one.e2e_ms + other.e2e_ms,
        ttft_ms=one.ttft_ms + other.ttft_ms,
        failed=one.failed + other.failed,
        of=one.of + other.of,
        quality=one.quality or other.quality,
        gpu_mib=max((mib for mib in (one.gpu_mib, other.gpu_mib) if mib is not None), default=None),
    )


@dataclass
class Search:
    """Asks Optuna what to try next, and tells it what came of it.

    The study lives in memory; what was tried before is told to it again from the trials that were kept.
    """

    dimensions: tuple[Dimension, ...]
    goal: Goal
    seed: int = 0
    tried: dict[tuple[str, ...], Trial] = field(default_factory=dict)
    study: optuna.Study = field(init=False)

    def __post_init__(self) -> None:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=5),
            pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2),
        )
        self.study.enqueue_trial(self._indices({one.name: one.own for one in self.dimensions}))

    @property
    def size(self) -> int:
        """How many choices there are."""
        return math.prod(len(one.values) for one in self.dimensions)

    def step(self, attempt: Callable[[Values, Callable[[int, float], bool]], Trial]) -> Trial | None:
        """Try one choice that was not tried before; None when all were.

        Args:
            attempt: tries a choice; the function that it is given says whether to give up.
        """
        optuna = _optuna()
        if len(self.tried) >= self.size:
            return None
        asked, values = self._ask()

        def give_up(repeats: int, reached: float) -> bool:
            asked.report(reached, repeats)
            return bool(asked.should_prune())

        trial = attempt(values, give_up)
        self.tried[tuple(values.values())] = trial
        reported = self.study.get_trials(deepcopy=False)[asked.number].intermediate_values
        for repeats in RUNGS:  # a trial that was kept by an earlier run has its reports still to be made
            if repeats <= len(trial.seen.rates) and repeats not in reported:
                asked.report(score(upto(trial.seen, repeats), self.goal), repeats)
        if trial.outcome == "stopped early":
            self.study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:  # what does not work is as bad as can be, and the search turns away from it
            self.study.tell(asked, score(trial.seen, self.goal) if trial.works else 0.0)
        return trial

    def best(self) -> Values | None:
        """Return the values with the highest score among those that work."""
        fit = {values: trial for values, trial in self.tried.items() if trial.works}
        if not fit:
            return None
        best = max(fit, key=lambda values: score(fit[values].seen, self.goal))
        return dict(zip((one.name for one in self.dimensions), best, strict=True))

    def _ask(self) -> tuple[optuna.Trial, dict[str, str]]:
        optuna = _optuna()
        for _ in range(_ASKS):
            asked = self.study.ask()
            values = {
                one.name: one.values[asked.suggest_int(one.name, 0, len(one.values) - 1)]
                if one.axis is None and len(one.values) > 1
                else str(asked.suggest_categorical(one.name, one.values))
                for one in self.dimensions
            }
            if tuple(values.values()) not in self.tried:
                return asked, values
            self.study.tell(asked, state=optuna.trial.TrialState.FAIL)
        everything = itertools.product(*(one.values for one in self.dimensions))
        left = [values for values in everything if values not in self.tried]
        drawn = random.Random(f"{self.seed}/{len(self.tried)}").choice(left)  # noqa: S311 - a draw, not a secret
        self.study.enqueue_trial(self._indices(dict(zip((d.name for d in self.dimensions), drawn, strict=True))))
        return self._ask()

    def _indices(self, values: Values) -> dict[str, Any]:
        return {
            one.name: one.values.index(values[one.name])
            if one.axis is None and len(one.values) > 1
            else values[one.name]
            for one in self.dimensions
        }


def _natural(text: str) -> tuple[bool, float, str]:
    """Sort numbers as numbers, and words behind them."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _optuna() -> Any:  # noqa: ANN401 - a module
    try:
        import optuna  # noqa: PLC0415 - a second, and packages that only this verb needs
    except ImportError as error:
        raise BlockedError(
            "inv tune needs Optuna, which does the search",
            why=str(error),
            fix="python3 -m pip install -e '.[tune]'",
        ) from None
    return optuna
