"""What is known of a death besides its log; whoever watched the process fills it in."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from blackstack.diagnose.stages import SERVING
from blackstack.errors import UsageError

_SHELL_OFFSET = 128  # a shell and Docker report death by signal N as exit code 128 + N
QUIET_S = 5.0  # a pause in the log that is worth a line
_SIGNALS = {s.value: s.name for s in signal.Signals}


@dataclass(frozen=True, kw_only=True)
class ExitFacts:
    """How a process ended.

    Attributes:
        exit_code: as the parent saw it; 128 + N and -N both mean signal N.
        signal: its name (``SIGSEGV``), where the parent knows better than the exit code.
        oom_killed: Docker's ``OOMKilled``, or an ``oom_kill`` event of the cgroup.
        stage: the last stage of start-up that was reached, a name of `stages.yaml`.
        asked_to_stop: we, or the user, sent the signal.
        restarts: how often it was started again by whoever runs it.
        events: what happened to its container, oldest first, such as ``kill (SIGTERM)``.
        memory: counters of its memory cgroup that have grown, such as ``oom_kill``.
        quiet_s: seconds between its last line of log and its end.
        kernel: telling lines of the kernel's log since it started.
        kernel_unread: why that log could not be read.
        core_dump: where its memory was written to, or why it was not.
        outside: the code of what was seen of it from outside, such as ``garbage-output``.
        runtime: which had it, ``docker`` or ``process``; advice is in its commands.
        stack: the name of the stack whose server it was; commands name it.
        alive: it has not ended: it still runs.
    """

    exit_code: int | None = None
    signal: str | None = None
    oom_killed: bool = False
    stage: str | None = None
    asked_to_stop: bool = False
    restarts: int = 0
    events: tuple[str, ...] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    quiet_s: float | None = None
    kernel: tuple[str, ...] = ()
    kernel_unread: str = ""
    core_dump: str = ""
    outside: str = ""
    runtime: str = ""
    stack: str = ""
    alive: bool = False

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> ExitFacts:
        """Read facts out of JSON; an unknown key is a mistake and not a fact."""
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise UsageError(f"unknown facts: {', '.join(unknown)}", fix=f"known: {', '.join(sorted(known))}")
        whole: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
        return cls(**whole)

    @property
    def death_signal(self) -> str | None:
        """The signal that ended the process, by name."""
        if self.signal is not None:
            return self.signal.upper() if self.signal.upper().startswith("SIG") else f"SIG{self.signal.upper()}"
        if self.exit_code is None:
            return None
        return _SIGNALS.get(self.exit_code - _SHELL_OFFSET) or _SIGNALS.get(-self.exit_code)

    @property
    def out_of_memory(self) -> bool:
        """Whether the kernel killed it for its memory."""
        counted = self.death_signal == "SIGKILL" and bool(self.memory.get("oom_kill"))
        return self.oom_killed or counted

    @property
    def died(self) -> bool:
        """Whether it ended without being asked to, and not well; exit code 0 is not well before it has served."""
        too_early = self.exit_code == 0 and self.stage is not None and self.stage not in SERVING
        return not self.asked_to_stop and (self.out_of_memory or bool(self.exit_code) or bool(self.signal) or too_early)

    def __str__(self) -> str:
        known = [
            f"exit code {self.exit_code}" if self.exit_code is not None else "",
            self.death_signal or "",
            "OOMKilled" if self.oom_killed else "",
            f"last stage: {self.stage}" if self.stage else "",
        ]
        return ", ".join(filter(None, known))

    @property
    def more(self) -> tuple[str, ...]:
        """What else is known, a line each; what the kernel said is evidence of its own."""
        quiet = self.quiet_s is not None and self.quiet_s >= QUIET_S
        return tuple(
            filter(
                None,
                [
                    f"its container: {', '.join(self.events)}" if self.events else "",
                    f"its memory cgroup: {_listed(self.memory)}" if self.memory else "",
                    f"it had been started again {self.restarts} time(s)" if self.restarts else "",
                    f"it had said nothing for {self.quiet_s:.0f} s" if quiet else "",
                    f"core dump: {self.core_dump}" if self.core_dump else "",
                    *(f"the kernel: {line}" for line in self.kernel),
                    f"the kernel's log could not be read: {self.kernel_unread}" if self.kernel_unread else "",
                ],
            )
        )


def _listed(counters: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counters.items())
