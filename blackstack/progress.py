"""What is being done now: the small language in which the working modules tell whoever is watching."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol


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
