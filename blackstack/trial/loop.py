"""One cell after the other: what is kept is not tried again, and a crash of one never ends the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from blackstack.trial.cell import Cell, Quality, Trial
from blackstack.trial.folder import Folder

Try = Callable[[Cell], Trial]
"""Tries one cell; Ctrl-C goes through it, and nothing else."""


class Teller(Protocol):
    """Somebody who watches a run."""

    def begins(self, cell: Cell, number: int, of: int) -> None:
        """A cell is tried now."""

    def ended(self, trial: Trial, *, kept: bool) -> None:
        """A trial is there; ``kept`` from an earlier run."""


@dataclass
class Run:
    """Tries cells and keeps what came of them.

    Attributes:
        folder: where they are kept.
        attempt: tries one.
        clean: waits until the machine is as it was; raises what ends the run.
        teller: is told.
        trials: what is there so far, in order, as it was kept.
    """

    folder: Folder
    attempt: Try
    clean: Callable[[Cell], None]
    teller: Teller
    trials: list[Trial] = field(default_factory=list)

    def all(self, cells: Iterable[Cell], *, of: int = 0) -> list[Trial]:
        """Try all of them and return their trials."""
        return [self.one(cell, of=of) for cell in cells]

    def one(self, cell: Cell, *, of: int = 0) -> Trial:
        """Return the trial of a cell: the one that is kept, or a new one."""
        kept = self.folder.get(cell.label)
        if kept is None:
            self.teller.begins(cell, len(self.trials) + 1, of)
            trial = self.attempt(cell)
            if not trial.again:
                self.folder.put(trial)
            self.clean(cell)
        else:
            trial = kept
        self.trials.append(trial)
        judged = against(trial, self.best_answers)
        self.teller.ended(judged, kept=kept is not None)
        return judged

    @property
    def best_answers(self) -> Quality | None:
        """The most right answers that any cell gave: the model is the same in all of them."""
        given = [quality for trial in self.trials if (quality := answers(trial))]
        return max(given, key=lambda quality: quality.right, default=None)

    def judged(self) -> list[Trial]:
        """Return all trials, held against the best answers of the whole run."""
        return [against(trial, self.best_answers) for trial in self.trials]


def answers(trial: Trial) -> Quality | None:
    """Return how many answers were right; None where nothing was asked, or where random weights answered."""
    return None if trial.asked_for.get("noise") else trial.seen.quality


def against(trial: Trial, best: Quality | None) -> Trial:
    """Return the trial, as «wrong answers» where it gave clearly fewer right ones than the best."""
    quality = answers(trial)
    wrong = quality.wrong(best) if quality and trial.outcome in {"works", "other backend"} else ""
    return replace(trial, outcome="wrong answers", why=wrong) if wrong else trial
