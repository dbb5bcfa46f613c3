"""What is known of a death besides its log; whoever watched the process fills it in."""

from __future__ import annotations

import signal
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from blackstack.diagnose.stages import SERVING
from blackstack.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELL_OFFSET = 128  # a shell and Docker report death by signal N as exit code 128 + N
_SIGNALS = {s.value: s.name for s in signal.Signals}


@dataclass(frozen=True, kw_only=True)
class ExitFacts:
    """How a process ended.

    Attributes:
        exit_code: as the parent saw it; 128 + N and -N both mean signal N.
        signal: its name (``SIGSEGV``), where the parent knows better than the exit code.
        oom_killed: Docker's ``OOMKilled``, or an ``oom_kill`` event of the cgroup.
        stage: the last stage of start-up that was reached, as `ready` names it.
        asked_to_stop: we, or the user, sent the signal.
    """

    exit_code: int | None = None
    signal: str | None = None
    oom_killed: bool = False
    stage: str | None = None
    asked_to_stop: bool = False

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> ExitFacts:
        """Read facts out of JSON; an unknown key is a mistake and not a fact."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise UsageError(f"unknown facts: {', '.join(unknown)}", fix=f"known: {', '.join(sorted(known))}")
        return cls(**data)

    @property
    def death_signal(self) -> str | None:
        """The signal that ended the process, by name."""
        if self.signal is not None:
            return self.signal.upper() if self.signal.upper().startswith("SIG") else f"SIG{self.signal.upper()}"
        if self.exit_code is None:
            return None
        return _SIGNALS.get(self.exit_code - _SHELL_OFFSET) or _SIGNALS.get(-self.exit_code)

    @property
    def died(self) -> bool:
        """Whether it ended without being asked to, and not well; exit code 0 is not well before it has served."""
        too_early = self.exit_code == 0 and self.stage is not None and self.stage not in SERVING
        return not self.asked_to_stop and (self.oom_killed or bool(self.exit_code) or bool(self.signal) or too_early)

    def __str__(self) -> str:
        known = [
            f"exit code {self.exit_code}" if self.exit_code is not None else "",
            self.death_signal or "",
            "OOMKilled" if self.oom_killed else "",
            f"last stage: {self.stage}" if self.stage else "",
        ]
        return ", ".join(filter(None, known))
