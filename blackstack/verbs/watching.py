"""Status and logs: what is up, and what it says."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from blackstack import catalog, console, ready
from blackstack.engines import ENGINES
from blackstack.errors import UsageError
from blackstack.verbs.choose import DEFAULT_STACK, ROOT, Found, all_up, chosen, find, last_one, last_runtime


def status(*, stack: str | None = None, as_json: bool = False) -> None:
    """Say which stacks are up, and whether they answer."""
    stack = stack or os.environ.get("STACK")
    here = find(catalog.load(ROOT, stack), include_dead=True) if stack else None
    found = ([here] if here else []) if stack else all_up(include_dead=True)
    rows = [_state_of(one) for one in found]
    if as_json:
        console.data(rows)
    elif not rows:
        console.say(f"{stack} is not up" if stack else "nothing is up")
        console.say(f"next: inv up --stack {stack or DEFAULT_STACK}")
    else:
        heads = ("stack", "runtime", "state", "url", "since", "what")
        console.table(tuple(head.upper() for head in heads), [tuple(str(row[head]) for head in heads) for row in rows])
        for row in rows:
            if row["next"]:
                console.say(f"{row['stack']}: {row['next']}")


def logs(stack: str | None, *, follow: bool = False, lines: int = 100) -> None:
    """Print the server's log, also after its end."""
    if lines < 1:
        raise UsageError(f"--lines takes a whole number above 0, not {lines}")
    named = stack or os.environ.get("STACK")
    was_up = None if named or all_up(include_dead=True) else last_one()
    one = was_up or chosen(named, "show", include_dead=True)
    found = find(one, include_dead=True)
    if found and follow:
        with contextlib.suppress(KeyboardInterrupt):  # the way out of following a log
            for line in found.runtime.follow(one, lines):
                console.raw(line)
        return
    runtime = found.runtime if found else last_runtime(one)
    tail = runtime.tail(one, lines)
    if not tail:
        console.tell(f"{one.name} has no log yet\n  next: inv up --stack {one.name}")
    for line in tail:
        console.raw(line)


def _state_of(found: Found) -> dict[str, Any]:
    """Return a line of the status."""
    running = found.running
    now, what, following = str(running.state), running.identity, ""
    down_then_up = f"inv down --stack {found.stack.name}, then inv up --stack {found.stack.name}"
    if running.state == "unreachable":
        what, following = running.ended, "sudo systemctl start docker, then inv status"
    elif not found.alive:
        what = running.ended
        following = f"inv logs --stack {found.stack.name}, then {down_then_up}"
    elif found.half_started:
        now = "half-started"
        following = f"its `inv up` was killed: inv up --stack {found.stack.name} waits on, inv down stops it"
    elif found.note.get("phase") == "starting":
        now = "starting"
    elif not _answers(found):
        now = "not answering"
        following = f"inv logs --stack {found.stack.name}, then {down_then_up}"
    return {
        "stack": found.stack.name,
        "runtime": running.runtime,
        "state": now,
        "url": running.url,
        "model": found.model,
        "since": running.started_at,
        "what": what,
        "exit_code": running.exit_code,
        "restarts": running.restarts,
        "next": following,
    }


def _answers(found: Found) -> bool:
    with ready.asking() as session:
        return ready.is_healthy(session, found.running.url, ENGINES[found.stack.x.engine])
