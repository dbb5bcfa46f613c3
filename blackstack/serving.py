"""Start a plan and wait for its answer; whatever goes wrong, nothing of it is left and the cause is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from blackstack import ready
from blackstack.diagnose import ExitFacts
from blackstack.diagnose import diagnose as diagnose_log
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError
from blackstack.finding import Finding
from blackstack.interrupt import Interruption, deferred, undisturbed
from blackstack.plan import Plan
from blackstack.progress import Progress, StageClock
from blackstack.ready import ServerExitedError
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running, Runtime, runtimes

WHOLE_LOG = 100_000  # lines; more would be a server that has run for days
EVIDENCE_LINES = 2


def start(made: Plan, progress: Progress, timeout: float | None, interruption: Interruption) -> ready.Ready:
    """Prepare, start and wait; whatever goes wrong, nothing of it is left running."""
    runtime, name = runtime_of(made), made.stack.name
    interruption.leaves = f"{name} is not up: nothing had been started"
    runtime.prepare(made, progress)
    if runtime.observe(made.stack):
        runtime.stop(made.stack, StageClock())  # what a dead one left
    try:
        interruption.leaves = f"{name} is not up: the server was stopped and removed"
        note(made, "starting")
        running = runtime.start(made, progress)
        note(made, "starting", identity=running.identity)
        answer = ready.until_ready(wait_for(runtime, made, running.url, timeout), progress)
    except BaseException as error:
        with undisturbed():
            progress.finish(failed=True)
            removed = _clean_up(made, runtime, progress, error)
            progress.finish()
            left = "nothing is left running" if removed else f"it may still run: inv down --stack {name}"
            interruption.leaves = f"{name} is not up: the server was stopped and removed" if removed else left
            if isinstance(error, BlackstackError):
                name_the_cause(error, log_of(runtime, made))
                error.fix = (*error.fix, f"inv logs --stack {name}   # its whole log; {left}")
        raise
    with deferred():
        note(made, "ready", answer, identity=running.identity)
        interruption.leaves = f"{name} is up"
    return answer


def log_of(runtime: Runtime, made: Plan) -> list[str]:
    """Return the server's log, whole; nothing where the engine that had it went away."""
    try:
        return runtime.tail(made.stack, WHOLE_LOG)
    except BlackstackError:
        return []


def _clean_up(made: Plan, runtime: Runtime, progress: Progress, error: BaseException) -> bool:
    """Remove what was started, and return whether that could be done."""
    removed = True
    try:
        runtime.stop(made.stack, progress)
    except BlackstackError:  # the error that brought us here is the one to tell
        removed = False
    note(made, "failed" if removed else "starting")
    if isinstance(error, ready.ServerExitedError):  # its remains are gone now; `inv diagnose` wants to know
        path = state.folder(made.stack.root, made.stack.name) / state.UP
        proc.write(path, {**proc.read(path), "exit_facts": asdict(facts_of(error.running, error.stage))})
    return removed


def wait_for(runtime: Runtime, made: Plan, url: str, timeout: float | None) -> ready.Wait:
    """Return what is waited for when this plan was started."""
    return ready.Wait(
        url=url,
        model=made.model,
        engine=ENGINES[made.stack.x.engine],
        timeout=timeout or made.stack.x.ready_s,
        api_key=made.api_key,
        observe=lambda: runtime.observe(made.stack),
        tail=lambda count: runtime.tail(made.stack, count),
        again=made.again(),
    )


def note(made: Plan, phase: str, answer: ready.Ready | None = None, *, identity: str | None = None) -> None:
    """Write down what was asked for, of which server, and how far it came, for the next `inv`."""
    path = state.folder(made.stack.root, made.stack.name) / state.UP
    before = proc.read(path) if phase == "ready" else {}
    mine = {"pid": os.getpid(), "born": proc.birth(os.getpid()), "started_at": proc.now()}
    told: dict[str, Any] = {"stage_seconds": dict(answer.seconds)} if answer else {}
    told |= {"identity": identity} if identity else {}
    asked = {"asked_for": made.asked_for()}
    proc.write(path, {"runtime": made.runtime, **mine, **asked, **before, "phase": phase, **told})


def runtime_of(made: Plan) -> Runtime:
    """Return the runtime that carries the plan out."""
    return runtimes(made.stack.root)[made.runtime]()


def facts_of(running: Running | None, stage: str | None = None) -> ExitFacts:
    """Return what the runtime saw of a server's end."""
    if running is None or running.state == "running":
        return ExitFacts(stage=stage)
    return ExitFacts(exit_code=running.exit_code, oom_killed=running.out_of_memory, stage=stage)


def name_the_cause(error: BlackstackError, log: Sequence[str]) -> None:
    """Put the most likely cause in front of an error's evidence, and what mends it in front of its advice."""
    known = causes(error, log)
    if known:
        first = known[0]
        error.why = (f"cause: {first.title}  [{first.code}]", *first.evidence[:EVIDENCE_LINES], *error.why)
        error.fix = (*first.fix, *error.fix)


def causes(error: BlackstackError, log: Sequence[str]) -> tuple[Finding, ...]:
    """Return the known causes of a failed start, most likely first."""
    facts = facts_of(error.running, error.stage) if isinstance(error, ServerExitedError) else None
    return tuple(finding for finding in diagnose_log(list(log), facts) if finding.code != "unknown")
