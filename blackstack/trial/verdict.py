"""Which stack wins: rounds side by side, answers before speed, and how sure it is; nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from blackstack.trial import sure
from blackstack.trial.cell import Cell, Trial

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One of several that are held against each other.

    Attributes:
        name: what it is called in the verdict.
        trials: one a round, in order.
        size_bytes: of its image or environment.
    """

    name: str
    trials: tuple[Trial, ...]
    size_bytes: int | None = None

    @property
    def fault(self) -> str:
        """Why it cannot win, or nothing."""
        bad = next((trial for trial in self.trials if not trial.works), None)
        return f"{bad.outcome}: {bad.why}" if bad else "" if self.trials else "not tried"

    @property
    def rates(self) -> tuple[float, ...]:
        """Output tokens a second, one number a round."""
        means = [sure.rate(trial.seen.rates) for trial in self.trials]
        return tuple(mean.value for mean in means if mean)

    @property
    def load_s(self) -> float | None:
        """Seconds to start, the mean of the rounds."""
        found = sure.mean([trial.load_s for trial in self.trials if trial.load_s is not None])
        return found.value if found else None

    @property
    def memory_bytes(self) -> int | None:
        """The most that it held: of GPU memory where there is a GPU, else of main memory."""
        gpu = [trial.seen.gpu_mib << 20 for trial in self.trials if trial.seen.gpu_mib is not None]
        main = [trial.peak_memory_bytes for trial in self.trials if trial.peak_memory_bytes is not None]
        return max(gpu or main, default=None)

    @property
    def answers(self) -> str:
        """Its score in the questions with known answers."""
        quality = next((trial.seen.quality for trial in self.trials if trial.seen.quality), None)
        return f"{quality.right}/{quality.asked}" if quality else "-"

    @property
    def cost(self) -> str:
        """What it costs, in words."""
        parts = [
            f"{self.size_bytes / GIB:.2f} GiB of disk" if self.size_bytes else "",
            f"{self.load_s:.1f} s to start" if self.load_s else "",
            f"{self.memory_bytes / GIB:.2f} GiB of memory" if self.memory_bytes else "",
        ]
        return ", ".join(filter(None, parts)) or "not known"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which one, and how sure.

    Attributes:
        winner: None where none works, or none is shown to be faster.
        over: for each other one that works, the winner's tokens/s ÷ its own.
        line: all of it in one line.
    """

    winner: str | None
    over: Mapping[str, sure.Estimate]
    line: str


def rounds(cells: Mapping[str, Cell], count: int) -> Iterator[tuple[str, Cell]]:
    """Yield A B A B …: whatever the machine does meanwhile, it does to all of them."""
    for number in range(1, count + 1):
        for name, cell in cells.items():
            yield name, replace(cell, label=f"{name} round {number}")


def decide(entrants: Sequence[Entrant], not_tried: Mapping[str, str]) -> Verdict:
    """Return the verdict over rounds that were measured side by side.

    Args:
        entrants: those that were brought up.
        not_tried: the others, with the reason.
    """
    tail = "".join(f"; out: {one.name} ({one.fault})" for one in entrants if one.fault)
    tail += "; not tried: " + ", ".join(f"{name} ({why})" for name, why in not_tried.items()) if not_tried else ""
    fit = sorted((one for one in entrants if not one.fault), key=lambda one: -_mean(one.rates))
    if not fit:
        return Verdict(winner=None, over={}, line=f"verdict: none works{tail}")
    best, others = fit[0], fit[1:]
    costs = f"costs {best.cost}; answers {best.answers} right"
    if not others:
        only = "the only one that could be tried" if len(entrants) == 1 else "the only one that works"
        return Verdict(
            winner=best.name,
            over={},
            line=f"verdict: {best.name}, {only}: {_mean(best.rates):.1f} tokens/s; {costs}{tail}",
        )
    over = {one.name: found for one in others if (found := sure.ratio(best.rates, one.rates))}
    shown = all(found.low is not None and found.low > 1 for found in over.values())
    why = ", ".join(f"{told(found)} {name}'s tokens/s" for name, found in over.items())
    if shown:
        line = f"verdict: {best.name}: {why}; {costs}{tail}"
        return Verdict(winner=best.name, over=over, line=line)
    prices = "; ".join(f"{one.name} costs {one.cost}, answers {one.answers} right" for one in fit)
    line = f"verdict: none is shown to be faster: {best.name} had {why}; {prices}{tail}"
    return Verdict(winner=None, over=over, line=line)


def told(found: sure.Estimate) -> str:
    """Say a ratio with its interval: ``1.31 times (1.22 to 1.40, 95 %, 3 rounds)``."""
    rounds_of = f"{found.n} round{'s' if found.n != 1 else ''}"
    if found.low is None or found.high is None:
        return f"{found.value:.2f} times (one round: no interval)"
    return f"{found.value:.2f} times ({found.low:.2f} to {found.high:.2f}, 95 %, {rounds_of})"


def _mean(values: Sequence[float]) -> float:
    found = sure.rate(values)
    return found.value if found else 0.0
