"""What is tried, and what came of it: a cell, and its trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from blackstack.plan import Wishes

Outcome = Literal[
    "works",
    "other backend",  # it works, but not with what was asked for
    "wrong answers",
    "requests failed",
    "refused",  # by the plan, or by the engine as it read its flags or looked at the machine
    "crashed",
    "too late",
    "stopped early",  # by whoever measured: it was clearly slower than others
]
OUTCOMES: tuple[str, ...] = get_args(Outcome)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a server's log must say for it to be believed that it does what was asked for.

    Attributes:
        asked: the name that must be found; None: whatever is found is right.
        seen: regular expressions, whose first group is the name; the last line that fits counts.
        names: what a name of the log is called here.
        otherwise: what is used when the log says nothing; empty: then it is not known.
    """

    asked: str | None
    seen: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way to bring a stack up.

    Attributes:
        label: its name, of which there is one in a run.
        stack: the name of the stack.
        wishes: how it is brought up.
        evidence: how to know that it does what was asked for, one for each thing that is switched.
        about: what sets it apart, for people: ``KEY=VALUE``, or flags.
    """

    label: str
    stack: str
    wishes: Wishes
    evidence: tuple[Evidence, ...] = ()
    about: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the cell, ready for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How many of the questions with known answers were answered right."""

    asked: int
    right: int
    degenerate: int

    def wrong(self, reference: Quality | None) -> str:
        """Return why these answers are not to be trusted, or nothing.

        A small model misses some questions, so it is held against the best that the same model gave; at temperature 0
        one answer may tip over by rounding, two do not.
        """
        if self.degenerate:
            return f"{self.degenerate} of {self.asked} answers are degenerate text"
        if reference and self.right <= reference.right - _TIPPED:
            return f"{self.right} of {self.asked} answers are right, where {reference.right} were"
        return ""


_TIPPED = 2


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a measurement of a running server gave.

    Attributes:
        rates: output tokens a second, one number a repeat.
        e2e_ms: mean milliseconds of a request, one number a repeat.
        ttft_ms: median milliseconds to the first token, one number a repeat.
        failed: requests that failed, and ``of`` how many.
        quality: None where it was not asked for.
        gpu_mib: the most that the GPUs held; None without a GPU.
        stopped: why it was given up before its end.
    """

    rates: tuple[float, ...] = ()
    e2e_ms: tuple[float, ...] = ()
    ttft_ms: tuple[float, ...] = ()
    failed: int = 0
    of: int = 0
    quality: Quality | None = None
    gpu_mib: int | None = None
    stopped: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a cell.

    Attributes:
        label, stack, about: the cell's.
        outcome: one of OUTCOMES, and ``why`` in a sentence where it does not work.
        code: of the finding that explains it.
        asked, used: the backend (or whatever the axes are of) that was asked for, and the one in the log.
        load_s: seconds from its start to its first answer.
        seen: what was measured.
        peak_memory_bytes: of main memory; None where it is not known.
        asked_for, found_inside: the layers of a result.
        lines: the last lines of the log of one that does not work.
        seconds: what the whole trial took.
        again: it says more of the machine at that moment than of the cell (a port was taken, a mistake of ours), so
            that the next run tries it anew.
    """

    label: str
    stack: str
    about: str
    outcome: Outcome
    why: str = ""
    code: str = ""
    asked: str = ""
    used: str = ""
    load_s: float | None = None
    seen: Seen = field(default_factory=Seen)
    peak_memory_bytes: int | None = None
    asked_for: Mapping[str, Any] = field(default_factory=dict)
    found_inside: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    seconds: float = 0.0
    again: bool = False

    @property
    def works(self) -> bool:
        """Whether it serves what was asked for."""
        return self.outcome == "works"

    def as_dict(self) -> dict[str, Any]:
        """Return the trial, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """Read what ``as_dict`` wrote; raises TypeError or KeyError for anything else."""
        seen = dict(data["seen"])
        quality = Quality(**seen["quality"]) if seen.get("quality") else None
        for key in ("rates", "e2e_ms", "ttft_ms"):
            seen[key] = tuple(seen[key])
        return cls(**{**data, "seen": Seen(**{**seen, "quality": quality}), "lines": tuple(data["lines"])})
