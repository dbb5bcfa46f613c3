"""Up, down: what starts and stops. Whatever goes wrong, nothing half-started is left."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blackstack import catalog, console, doctor, ready
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError, BlockedError
from blackstack.interrupt import Interruption, deferred, interruptible, undisturbed
from blackstack.plan import Plan, Wishes
from blackstack.progress import Progress, StageClock
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running, Runtime
from blackstack.verbs.choose import ROOT, Found, all_up, find, named, only, planned, runtime_called
from blackstack.verbs.diagnosing import WHOLE_LOG, facts_of, name_the_cause


def up(stack: str | None, wishes: Wishes, *, timeout: float | None = None) -> None:
    """Start a stack and wait until it has answered a real prompt."""
    with interruptible() as interruption, console.progress() as progress:
        made, machine = planned(named(stack), wishes)
        name = made.stack.name
        with state.locked(state.folder(ROOT, name) / "up.lock", doing=f"bring {name} up or down"):
            existing = find(made.stack, include_dead=True)
            if existing and existing.running.state == "unreachable" and wishes.runtime != "process":
                raise BlockedError(
                    f"{name}: {existing.running.ended}",
                    fix=["sudo systemctl start docker", f"or, beside it: inv up --stack {name} --runtime process"],
                )
            if existing and existing.alive:
                interruption.leaves = f"{name} was up before, and still is"
                answer = _join(existing, made, progress, timeout)
            else:
                for warning in doctor.refuse_if_blocked(made, machine):
                    progress.note(f"{warning.severity}: {warning.title}")
                answer = _start(made, progress, timeout, interruption)
    _say_how_to_use(made, existing.running if existing and existing.alive else None, answer)


def down(stack: str | None) -> None:
    """Stop a stack and remove its container or process; images and environments stay."""
    named_one = stack or os.environ.get("STACK")
    up_now = [] if named_one else [found.stack for found in all_up(include_dead=True)]
    if not named_one and not up_now:
        console.say("nothing is up")
        return
    one = catalog.load(ROOT, named_one) if named_one else only(up_now, "take down")
    with (
        console.progress() as progress,
        state.locked(state.folder(ROOT, one.name) / "up.lock", doing=f"bring {one.name} up or down"),
    ):
        found = find(one, include_dead=True)
        if found:
            found.runtime.stop(one, progress)
        (state.folder(ROOT, one.name) / state.UP).unlink(missing_ok=True)
    console.say(f"{one.name} is down" if found else f"{one.name} was not up")


def _join(found: Found, made: Plan, progress: Progress, timeout: float | None) -> ready.Ready:
    """Join a server that is already up: the same wish is one server, another wish is a question."""
    asked, had = made.asked_for(), found.note.get("asked_for")
    if had and had != asked:
        changed = _differences(had, asked)
        raise BlockedError(
            f"{made.stack.name} is already up, otherwise than asked for now",
            why=[f"{key}: {old} → {new}" for key, (old, new) in changed.items()],
            fix=f"inv down --stack {made.stack.name}   # then up again",
        )
    progress.note(f"{made.stack.name} is already up ({found.running.identity})")
    answer = ready.until_ready(_wait_for(found.runtime, made, found.running.url, timeout), progress)
    if found.note.get("phase") == "starting":  # its `inv up` was killed; this one has seen it to its end
        _note(made, "ready", identity=found.running.identity)
    return answer


def _start(made: Plan, progress: Progress, timeout: float | None, interruption: Interruption) -> ready.Ready:
    """Prepare, start and wait; whatever goes wrong, nothing of it is left running."""
    runtime, name = runtime_called(made.runtime), made.stack.name
    interruption.leaves = f"{name} is not up: nothing had been started"
    runtime.prepare(made, progress)
    if runtime.observe(made.stack):
        runtime.stop(made.stack, StageClock())  # what a dead one left
    try:
        interruption.leaves = f"{name} is not up: the server was stopped and removed"
        _note(made, "starting")
        running = runtime.start(made, progress)
        _note(made, "starting", identity=running.identity)
        answer = ready.until_ready(_wait_for(runtime, made, running.url, timeout), progress)
    except BaseException as error:
        with undisturbed():
            progress.finish(failed=True)
            removed = _clean_up(made, runtime, progress, error)
            progress.finish()
            left = "nothing is left running" if removed else f"it may still run: inv down --stack {name}"
            interruption.leaves = f"{name} is not up: the server was stopped and removed" if removed else left
            if isinstance(error, BlackstackError):
                name_the_cause(error, _log_of(runtime, made))
                error.fix = (*error.fix, f"inv logs --stack {name}   # its whole log; {left}")
        raise
    with deferred():
        _note(made, "ready", answer, identity=running.identity)
        interruption.leaves = f"{name} is up"
    return answer


def _log_of(runtime: Runtime, made: Plan) -> list[str]:
    try:
        return runtime.tail(made.stack, WHOLE_LOG)
    except BlackstackError:  # the engine went away with it
        return []


def _clean_up(made: Plan, runtime: Runtime, progress: Progress, error: BaseException) -> bool:
    """Remove what was started, and return whether that could be done."""
    removed = True
    try:
        runtime.stop(made.stack, progress)
    except BlackstackError:  # the error that brought us here is the one to tell
        removed = False
    _note(made, "failed" if removed else "starting")
    if isinstance(error, ready.ServerExitedError):  # its remains are gone now; `inv diagnose` wants to know
        path = state.folder(ROOT, made.stack.name) / state.UP
        proc.write(path, {**proc.read(path), "exit_facts": asdict(facts_of(error.running, error.stage))})
    return removed


def _wait_for(runtime: Runtime, made: Plan, url: str, timeout: float | None) -> ready.Wait:
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


def _note(made: Plan, phase: str, answer: ready.Ready | None = None, *, identity: str | None = None) -> None:
    """Write down what was asked for, of which server, and how far it came, for the next `inv`."""
    path = state.folder(ROOT, made.stack.name) / state.UP
    before = proc.read(path) if phase == "ready" else {}
    mine = {"pid": os.getpid(), "born": proc.birth(os.getpid()), "started_at": proc.now()}
    told: dict[str, Any] = {"stage_seconds": dict(answer.seconds)} if answer else {}
    told |= {"identity": identity} if identity else {}
    asked = {"asked_for": made.asked_for()}
    proc.write(path, {"runtime": made.runtime, **mine, **asked, **before, "phase": phase, **told})


def _say_how_to_use(made: Plan, already: Running | None, answer: ready.Ready) -> None:
    url = already.url if already else made.url
    key = f' -H "Authorization: Bearer {_where_the_key_is(made)}"' if made.api_key else ""
    body = json.dumps({"model": made.model, "prompt": "Once upon a time", "max_tokens": 32})
    console.say(f"{made.stack.name} is up: {url}  model {made.model}  ({made.runtime})")
    console.say(f"  it answered: {ready.PROMPT}{answer.answer.rstrip()[:60]}…".replace("\n", " "))
    console.say(f"  curl {url}/v1/completions -H 'Content-Type: application/json'{key} -d {shlex.quote(body)}")
    console.say("  next: inv bench   inv logs --follow   inv down")


def _where_the_key_is(made: Plan) -> str:
    """Return what gives the key to a shell, without showing it."""
    origin = made.settings["API_KEY"].origin
    return "$API_KEY" if origin == "shell" else f"$(sed -n s/^API_KEY=//p {origin})"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs between two wishes, knobs named one by one."""
    flat = [
        {**{k: v for k, v in wish.items() if k not in {"settings", "overrides"}}, **wish.get("settings", {})}
        for wish in (old, new)
    ]
    keys = {**flat[0], **flat[1]}
    return {key: (flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)}
