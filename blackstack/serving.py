"""Start a plan and wait for its answer; whatever goes wrong, nothing of it is left and the cause is named."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from blackstack import aftermath, ready
from blackstack.diagnose import ExitFacts, stages
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError
from blackstack.interrupt import Interruption, deferred, undisturbed
from blackstack.plan import Plan
from blackstack.progress import Pace, Paced, StageClock
from blackstack.runtime import proc, state
from blackstack.runtime.base import Runtime, runtimes


def start(made: Plan, progress: Paced, timeout: float | None, interruption: Interruption) -> ready.Ready:
    """Prepare, start and wait; whatever goes wrong, nothing of it is left running.

    The causes of a failure, most likely first, stand in the error's ``findings``.
    """
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
        progress.finish()
    except BaseException as error:
        with undisturbed():
            progress.finish(failed=True)
            facts = aftermath.facts_of(error, made.stack, runtime, next(reversed(progress.seconds), None))
            removed = _clean_up(made, runtime, progress, facts)
            progress.finish()
            left = "nothing is left running" if removed else f"it may still run: inv down --stack {name}"
            interruption.leaves = f"{name} is not up: the server was stopped and removed" if removed else left
            if isinstance(error, BlackstackError):
                error.findings = aftermath.causes(aftermath.log_of(runtime, made.stack), facts)
                aftermath.name_the_cause(error, error.findings)
                error.fix = (*error.fix, f"inv logs --stack {name}   # its whole log; {left}")
        raise
    with deferred():
        note(made, "ready", progress, identity=running.identity)
        interruption.leaves = f"{name} is up"
    return answer


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
        noise=made.noise,
    )


def note(made: Plan, phase: str, clock: Paced | None = None, *, identity: str | None = None) -> None:
    """Write down what was asked for, of which server, and how far it came, for the next `inv`."""
    path = state.folder(made.stack.root, made.stack.name) / state.UP
    before = proc.read(path) if phase == "ready" else {}
    mine = {"pid": os.getpid(), "born": proc.birth(os.getpid()), "started_at": proc.now()}
    seconds = {name: round(spent, 3) for name, spent in clock.seconds.items()} if clock else {}
    told: dict[str, Any] = {"stage_seconds": seconds, "slow_stages": clock.over} if clock else {}
    told |= {"identity": identity} if identity else {}
    asked = {"asked_for": made.asked_for()}
    proc.write(path, {"runtime": made.runtime, **mine, **asked, **before, "phase": phase, **told})


def paces() -> dict[str, Pace]:
    """Return the budgets of the stages."""
    return {s.name: Pace(seconds=s.budget_s, doing=s.say.en, slow=s.slow.en) for s in stages.load()}


def runtime_of(made: Plan) -> Runtime:
    """Return the runtime that carries the plan out."""
    return runtimes(made.stack.root)[made.runtime]()


def _clean_up(made: Plan, runtime: Runtime, progress: Paced, facts: ExitFacts) -> bool:
    """Remove what was started, and return whether that could be done."""
    removed = True
    try:
        runtime.stop(made.stack, progress)
    except BlackstackError:  # the error that brought us here is the one to tell
        removed = False
    note(made, "failed" if removed else "starting", progress)
    path = state.folder(made.stack.root, made.stack.name) / state.UP
    proc.write(path, {**proc.read(path), "exit_facts": asdict(facts)})  # its remains are gone; `inv diagnose` asks
    return removed
