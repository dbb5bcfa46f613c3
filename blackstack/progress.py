"""What is being done now: the small language in which the working modules tell whoever is watching."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

SHOWN_LINES = 3  # of the program that is slow


class Progress(Protocol):
    """Somebody who watches: a terminal, a log, a test."""

    def stage(self, name: str) -> None:
        """A new stage begins, and the one before it is over."""

    def line(self, text: str) -> None:
        """The newest line of the program that is being waited for."""

    def command(self, text: str) -> None:
        """A command is run, as a person would type it."""

    def note(self, text: str) -> None:
        """A sentence for the reader."""

    def finish(self, *, failed: bool = False) -> None:
        """The current stage is over, and none follows at once."""


@dataclass
class StageClock:
    """Progress that only keeps the time: seconds by stage, in the order in which they began."""

    seconds: dict[str, float] = field(default_factory=dict)
    current: str = ""
    began: float = field(default_factory=time.monotonic)

    def stage(self, name: str) -> None:
        """End the stage before and start this one's clock."""
        self.finish()
        self.current, self.began = name, time.monotonic()

    def finish(self, *, failed: bool = False) -> None:  # noqa: ARG002 - this one keeps the time alone
        """Stop the clock of the current stage."""
        if self.current:
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + self.elapsed
        self.current = ""

    @property
    def elapsed(self) -> float:
        """Seconds since the current stage began."""
        return time.monotonic() - self.began

    def line(self, text: str) -> None:
        """Nobody watches."""

    def command(self, text: str) -> None:
        """Nobody watches."""

    def note(self, text: str) -> None:
        """Nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a stage may take before somebody should be told.

    Attributes:
        seconds: the budget.
        doing: what is done in the stage.
        slow: what it has meant when it took longer.
    """

    seconds: float
    doing: str
    slow: str


@dataclass
class Paced(StageClock):
    """Progress that hands everything on, keeps the time of every stage, and says when one is over its budget.

    Attributes:
        shown: who watches.
        paces: the budgets, by stage; a stage without one may take its time.
        over: the stages that took longer than their budget.
    """

    shown: Progress = field(default_factory=StageClock)
    paces: Mapping[str, Pace] = field(default_factory=dict)
    over: list[str] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN_LINES))
    timer: threading.Timer | None = None

    def stage(self, name: str) -> None:
        """Hand on; the budget of the stage begins."""
        super().stage(name)
        self.lines.clear()
        self.shown.stage(name)
        if pace := self.paces.get(name):
            self.timer = threading.Timer(pace.seconds, self._slow, (name, pace))
            self.timer.daemon = True
            self.timer.start()

    def finish(self, *, failed: bool = False) -> None:
        """Hand on; nothing is timed any more."""
        if self.timer:
            self.timer.cancel()
        had_one, self.timer = bool(self.current), None
        super().finish()
        if had_one:
            self.shown.finish(failed=failed)

    def line(self, text: str) -> None:
        """Hand on, and keep the newest for the warning."""
        if text.strip() and (not self.lines or self.lines[-1] != text):
            self.lines.append(text)
        self.shown.line(text)

    def command(self, text: str) -> None:
        """Hand on."""
        self.shown.command(text)

    def note(self, text: str) -> None:
        """Hand on."""
        self.shown.note(text)

    def _slow(self, name: str, pace: Pace) -> None:
        if name != self.current:
            return  # it came to its end in this very moment
        self.over.append(name)
        said = [f"  | {line[:200]}" for line in self.lines] or ["  it has said nothing"]
        head = f"warning: slow: «{name}» ({pace.doing}) has taken {pace.seconds:g} s; this has meant: {pace.slow}"
        self.shown.note("\n".join([head, *said]))


@contextlib.contextmanager
def paced(shown: Progress, paces: Mapping[str, Pace]) -> Iterator[Paced]:
    """Give a progress with budgets; no warning comes after its end."""
    progress = Paced(shown=shown, paces=paces)
    try:
        yield progress
    finally:
        if progress.timer:
            progress.timer.cancel()
