"""The repeats of one load, taken together: the middle one and how far apart they lie, never the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from blackstack.results import Record, Run

Of = Callable[[Run], float | None]


@dataclass(frozen=True, kw_only=True)
class Load:
    """One load of a record.

    Attributes:
        runs: its repeats, in the order in which they were made.
    """

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Return what was asked of the server."""
        return load_of(self.runs[0])

    @property
    def short(self) -> str:
        """Return what was asked, where there is next to no room."""
        first = self.runs[0]
        return f"{first.rate:g}/s" if first.rate is not None else str(first.concurrency)

    def middle(self, of: Of) -> float:
        """Return the median of the repeats; 0 where none has the figure."""
        return median(self._values(of) or [0.0])

    def span(self, of: Of) -> tuple[float, float]:
        """Return the least and the greatest of the repeats."""
        values = self._values(of) or [0.0]
        return min(values), max(values)

    def _values(self, of: Of) -> list[float]:
        return [value for run in self.runs if (value := of(run)) is not None]


def loads(record: Record, *, failed: bool = False) -> list[Load]:
    """Return the loads of a record, in the order in which they were first made.

    Args:
        record: what was measured.
        failed: also the runs in which nothing came back.
    """
    by_name: dict[str, list[Run]] = {}
    for run in record.runs:
        by_name.setdefault(load_of(run), []).append(run)
    good = ([run for run in runs if run.ok or failed] for runs in by_name.values())
    return [Load(runs=tuple(runs)) for runs in good if runs]


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Return runs with the repeats of each load side by side, the loads in the order in which they were first made."""
    first = list(dict.fromkeys(load_of(run) for run in runs))
    return sorted(runs, key=lambda run: (first.index(load_of(run)), run.repeat))


def repeats(record: Record) -> int:
    """Return how often each load of a record was measured."""
    return max((run.repeat for run in record.runs), default=0) + 1


def load_of(run: Run) -> str:
    """Name a run's load."""
    return f"{run.rate:g} requests/s" if run.rate is not None else f"concurrency {run.concurrency}"


def run_of(run: Run, of: int) -> str:
    """Name one run: its load, and which of how many repeats it is."""
    return f"{load_of(run)}, repeat {run.repeat + 1} of {of}" if of > 1 else load_of(run)


def brief(run: Run, of: int) -> str:
    """Name one run where there is little room."""
    load = f"{run.rate:g}/s" if run.rate is not None else f"c={run.concurrency}"
    return f"{load}, {run.repeat + 1} of {of}" if of > 1 else load
