"""Up, down: what starts and stops. Whatever goes wrong, nothing half-started is left."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

from blackstack import aftermath, catalog, console, doctor, heartbeat, ready, serving
from blackstack.errors import BlackstackError, BlockedError
from blackstack.interrupt import interruptible
from blackstack.plan import Plan, Wishes
from blackstack.progress import Paced, paced
from blackstack.runtime import state
from blackstack.verbs.choose import ROOT, Found, all_up, find, named, only, planned


def up(stack: str | None, wishes: Wishes, *, timeout: float | None = None) -> None:
    """Start a stack and wait until it has answered a real prompt."""
    with interruptible() as interruption, console.progress() as shown, paced(shown, serving.paces()) as progress:
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
                answer = serving.start(made, progress, timeout, interruption)
    _say_how_to_use(made, existing if existing and existing.alive else None, answer)


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


def _join(found: Found, made: Plan, progress: Paced, timeout: float | None) -> ready.Ready:
    """Join a server that is already up: the same wish is one server, another wish is a question."""
    asked, had = made.asked_for(), found.note.get("asked_for")
    if had and had != asked:
        changed = _differences(had, asked)
        raise BlockedError(
            f"{made.stack.name} is already up, otherwise than asked for now",
            why=[f"{key}: {old} → {new}" for key, (old, new) in changed.items()],
            fix=f"inv down --stack {made.stack.name}   # then up again",
        )
    if not had and made.wishes.runtime not in {"auto", found.runtime.name}:
        raise BlockedError(
            f"{made.stack.name} is already up with --runtime {found.runtime.name}, started from elsewhere",
            why=f"it is {found.running.identity}; --runtime {made.wishes.runtime} was asked for",
            fix=f"inv down --stack {made.stack.name}   # ends it; then up again",
        )
    progress.note(f"{made.stack.name} is already up ({found.running.identity})")
    try:
        answer = ready.until_ready(serving.wait_for(found.runtime, made, found.running.url, timeout), progress)
    except BlackstackError as error:
        if found.note.get("phase") == "ready" and error.code == "not-ready-in-time":
            error.code = "hung-behind-health"  # it had come up before
        facts = aftermath.facts_of(error, made.stack, found.runtime, None)
        aftermath.name_the_cause(error, aftermath.causes(aftermath.log_of(found.runtime, made.stack), facts))
        error.fix = (*error.fix, f"inv down --stack {made.stack.name}   # it was up before, and was left as it is")
        raise
    if found.note.get("phase") == "starting":  # its `inv up` was killed; this one has seen it to its end
        serving.note(made, "ready", identity=found.running.identity)
    return answer


def _say_how_to_use(made: Plan, already: Found | None, answer: ready.Ready) -> None:
    url, runtime = (already.running.url, already.runtime.name) if already else (made.url, made.runtime)
    key = f' -H "Authorization: Bearer {_where_the_key_is(made)}"' if made.api_key else ""
    body = json.dumps({"model": made.model, "prompt": "Once upon a time", "max_tokens": 32})
    console.say(f"{made.stack.name} is up: {url}  model {made.model}  ({runtime})")
    console.say(f"  it answered: {heartbeat.PROMPT}{answer.answer.rstrip()[:60]}…".replace("\n", " "))
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
