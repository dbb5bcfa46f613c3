"""The protocol that both runtimes speak, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from blackstack import shell
from blackstack.catalog import Stack
from blackstack.forensics import Traces
from blackstack.plan import Plan
from blackstack.progress import Progress

State = Literal["running", "exited", "gone", "unreachable"]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that was started, as it is now.

    Attributes:
        runtime: which runtime has it.
        state: ``running``; ``exited`` with ``exit_code``; ``gone``, when nobody saw how it ended; or
            ``unreachable``, when the engine that had it does not answer.
        url: where it is found.
        identity: what tells it from every other one: process and birth, or the container's id.
        exit_code: negative for a signal where the runtime can tell.
        out_of_memory: the kernel killed it for its memory (only Docker knows).
        restarts: how often the runtime started it again.
        started_at: UTC.
        found_inside: what the runtime knows of it: image id, digest, interpreter.
    """

    stack: str
    runtime: str
    state: State
    url: str
    identity: str
    exit_code: int | None = None
    out_of_memory: bool = False
    restarts: int = 0
    started_at: str = ""
    found_inside: dict[str, object] = field(default_factory=dict)

    @property
    def ended(self) -> str:
        """How it ended, in words."""
        if self.state == "unreachable":
            return "it was up in Docker, and no engine answers now"
        if self.out_of_memory:
            return "out of memory: the kernel killed it"
        return "nobody saw how it ended" if self.exit_code is None else shell.ending(self.exit_code)


class Runtime(Protocol):
    """Carries out a plan."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    def prepare(self, plan: Plan, progress: Progress) -> None:
        """Get what the server needs: an image, or an environment. Interrupted, it leaves nothing half-made."""

    def start(self, plan: Plan, progress: Progress) -> Running:
        """Start the server and return at once; it may not answer yet."""

    def observe(self, stack: Stack) -> Running | None:
        """Look for the stack's server; None when there is none, dead or alive."""

    def stop(self, stack: Stack, progress: Progress) -> None:
        """End the server and remove what it leaves, its log excepted."""

    def tail(self, stack: Stack, count: int) -> list[str]:
        """Return the last lines of the server's log, also after its end."""

    def follow(self, stack: Stack, count: int) -> Iterator[str]:
        """Yield the last lines of the server's log, and then lines as they come, until it ends."""

    def peak_memory(self, stack: Stack) -> int | None:
        """Return the bytes of main memory that the server took at most; None where that cannot be known."""

    def traces(self, stack: Stack) -> Traces:
        """Look for what its end left outside of its log; to be called before `stop`, which removes some of it."""

    def ask(self, stack: Stack, code: str) -> str:
        """Run a line of Python with the server's own interpreter and return what it prints."""


def runtimes(root: Path) -> dict[str, Callable[[], Runtime]]:
    """Return the runtimes by name; each is made when it is needed, because Docker's client takes its time."""

    def docker() -> Runtime:
        from blackstack.runtime.docker import DockerRuntime  # noqa: PLC0415 - see above

        return DockerRuntime(root)

    def process() -> Runtime:
        from blackstack.runtime.process import ProcessRuntime  # noqa: PLC0415 - its twin

        return ProcessRuntime(root)

    return {"docker": docker, "process": process}
