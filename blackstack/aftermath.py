"""How a server ended: the facts collected while its remains are there, and the cause named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from blackstack.catalog import Stack
from blackstack.diagnose import ExitFacts
from blackstack.diagnose import diagnose as diagnose_log
from blackstack.diagnose.signatures import UNKNOWN
from blackstack.errors import BlackstackError
from blackstack.finding import Finding
from blackstack.forensics import Traces, kernel_log
from blackstack.ready import ServerExitedError
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running, Runtime

WHOLE_LOG = 100_000  # lines; more would be a server that has run for days
EVIDENCE_LINES = 3


def facts_now(
    runtime: Runtime, stack: Stack, running: Running | None, stage: str | None = None, *, outside: str = ""
) -> ExitFacts:
    """Collect how a server ended, as long as its remains are there.

    Args:
        runtime: which had it.
        stack: whose server.
        running: as the runtime saw it last.
        stage: the last stage that was reached; None: the one that was noted.
        outside: the code of what was seen from outside.
    """
    stage = stage or _noted_stage(stack)
    alive = running is not None and running.state == "running" and not running.restarts
    if running is None or alive or running.state == "unreachable":
        return ExitFacts(stage=stage, outside=outside, runtime=runtime.name, stack=stack.name)
    try:
        traces = runtime.traces(stack)
    except BlackstackError:  # the engine went away with it
        traces = Traces()
    kernel, unread = kernel_log(running.started_at, traces.marks)
    code = running.exit_code if running.state != "running" else _last_code(traces.events)  # it was started again
    return ExitFacts(
        exit_code=code,
        # A server that ends well when it is asked to has exit code 0: then the event knows who asked.
        signal=_sent(traces.events) if code == 0 else None,
        oom_killed=running.out_of_memory,
        stage=stage,
        asked_to_stop=traces.asked_to_stop,
        restarts=running.restarts,
        events=traces.events,
        memory=traces.memory,
        quiet_s=traces.quiet_s,
        kernel=kernel,
        kernel_unread=unread,
        core_dump=traces.core_dump,
        outside=outside,
        runtime=runtime.name,
        stack=stack.name,
    )


def facts_of(error: BaseException, stack: Stack, runtime: Runtime, stage: str | None) -> ExitFacts:
    """Collect how the server of a failed start ended, or what was seen of it from outside."""
    if isinstance(error, ServerExitedError):
        return facts_now(runtime, stack, error.running, error.stage)
    seen = error.code if isinstance(error, BlackstackError) else ""
    return ExitFacts(stage=stage if seen else None, outside=seen, runtime=runtime.name, stack=stack.name)


def causes(log: Sequence[str], facts: ExitFacts | None) -> tuple[Finding, ...]:
    """Return the known causes of an end, most likely first."""
    return tuple(found for found in diagnose_log(list(log), facts) if found.code != UNKNOWN)


def name_the_cause(error: BlackstackError, found: Sequence[Finding]) -> None:
    """Put the most likely cause in front of an error's evidence, and what mends it in front of its advice."""
    if found:
        first = found[0]
        error.why = (f"cause: {first.title}  [{first.code}]", *first.evidence[:EVIDENCE_LINES], *error.why)
        error.fix = (*first.fix, *error.fix)


def log_of(runtime: Runtime, stack: Stack) -> list[str]:
    """Return the server's log, whole; nothing where the engine that had it went away."""
    try:
        return runtime.tail(stack, WHOLE_LOG)
    except BlackstackError:
        return []


def _last_code(events: Sequence[str]) -> int | None:
    """Return the exit code with which the container died last."""
    codes = [int(found[1]) for event in events if (found := re.fullmatch(r"die \(exit code (\d+)\)", event))]
    return codes[-1] if codes else None


def _sent(events: Sequence[str]) -> str | None:
    """Return the signal that somebody sent to the container last."""
    sent = [event.removeprefix("kill (").removesuffix(")") for event in events if event.startswith("kill (")]
    return sent[-1] if sent else None


def _noted_stage(stack: Stack) -> str | None:
    """Return how far `inv up` saw it come."""
    stages = proc.read(state.folder(stack.root, stack.name) / state.UP).get("stage_seconds")
    return next(reversed(stages), None) if isinstance(stages, dict) else None
