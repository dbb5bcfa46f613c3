"""Which stack is meant, what this machine makes of it, and what of it is up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstack import catalog, console, host, plan
from blackstack.catalog import Stack
from blackstack.errors import BlockedError, UsageError
from blackstack.plan import Plan, Wishes
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running, Runtime, runtimes

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_STACK = "llamacpp-cpu"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A stack's server with the runtime that has it and the note that `inv up` left."""

    stack: Stack
    runtime: Runtime
    running: Running
    note: Mapping[str, Any]

    @property
    def alive(self) -> bool:
        """Whether it runs now."""
        return self.running.state == "running"

    @property
    def model(self) -> str:
        """The name that clients ask for."""
        return str(self.note.get("asked_for", {}).get("model") or self.stack.x.model)

    @property
    def noise(self) -> bool:
        """Whether its weights are random, so that its answers mean nothing."""
        return bool(self.note.get("asked_for", {}).get("noise"))

    @property
    def half_started(self) -> bool:
        """Whether its `inv up` ended without an answer from it, and did not clean up: it was killed."""
        owner = proc.lives(self.note.get("pid"), self.note.get("born"))
        return self.note.get("phase") == "starting" and not owner


def named(stack: str | None) -> Stack:
    """Return the stack that was named: on the command line, in STACK, or the default, which is then said."""
    name = stack or os.environ.get("STACK")
    if not name:
        console.tell(f"stack: {DEFAULT_STACK} (the default; --stack NAME chooses another)")
    return catalog.load(ROOT, name or DEFAULT_STACK)


def planned(stack: Stack, wishes: Wishes) -> tuple[Plan, host.Host]:
    """Look at this machine and plan the stack for it."""
    machine = host.look(ROOT)
    return plan.make(stack, machine, wishes), machine


def runtime_called(name: str) -> Runtime:
    """Return the runtime of this name."""
    return runtimes(ROOT)[name]()


def find(stack: Stack, *, include_dead: bool = False) -> Found | None:
    """Look for the stack's server, whichever runtime has it; a living one comes before a dead one."""
    note = proc.read(state.folder(ROOT, stack.name) / state.UP)
    dead = None
    for name, make in runtimes(ROOT).items():
        runtime = make()
        try:
            running = runtime.observe(stack)
        except BlockedError:  # no engine: then nothing runs in it, as far as we know
            running = _unreachable(stack, note) if note.get("runtime") == name else None
        about = _note_about(running, note) if running else {}
        found = Found(stack=stack, runtime=runtime, running=running, note=about) if running else None
        if found and found.alive:
            return found
        dead = dead or found
    return dead if include_dead else None


def _note_about(running: Running, note: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the note if it is this server's: one that somebody started by hand has none."""
    if not isinstance(note.get("asked_for", {}), dict):
        return {}  # somebody else wrote into it
    of_another = note.get("identity") not in {None, running.identity} or note.get("phase") == "failed"
    return {} if of_another and running.state != "unreachable" else note


def _unreachable(stack: Stack, note: Mapping[str, Any]) -> Running | None:
    """Return what the note knows of a server whose engine went away while it was up."""
    if note.get("phase") not in {"starting", "ready"}:
        return None
    began = str(note.get("started_at", ""))
    return Running(stack=stack.name, runtime="docker", state="unreachable", url="", identity="", started_at=began)


def readable() -> list[Stack]:
    """Return all stacks; one whose file has faults is said, and stands in nobody's way."""
    stacks = []
    for name in catalog.names(ROOT):
        try:
            stacks.append(catalog.load(ROOT, name))
        except UsageError as error:
            console.tell(f"warning: {name} is left out: {error}")
    return stacks


def all_up(*, include_dead: bool = False) -> list[Found]:
    """Look for the servers of all stacks."""
    return [found for found in (find(stack, include_dead=include_dead) for stack in readable()) if found]


def chosen(name: str | None, doing: str, *, include_dead: bool = False) -> Stack:
    """Return the stack that is meant: named on the command line or in STACK, or the one that is up."""
    named = name or os.environ.get("STACK")
    if named:
        return catalog.load(ROOT, named)
    return only([found.stack for found in all_up(include_dead=include_dead)], doing)


def last_one() -> Stack | None:
    """Return the stack that was up last, where there is a trace of one."""
    logs = sorted((ROOT / ".blackstack/run").glob(f"*/{state.LOG}"), key=lambda log: log.stat().st_mtime)
    names = [log.parent.name for log in logs if log.parent.name in catalog.names(ROOT)]
    return catalog.load(ROOT, names[-1]) if names else None


def only(stacks_up: list[Stack], doing: str) -> Stack:
    """Return the one stack that is up.

    Raises:
        UsageError: none is, or several are.
    """
    if len(stacks_up) == 1:
        return stacks_up[0]
    if not stacks_up:
        raise UsageError(f"there is no stack to {doing}: none is up", fix=f"inv up --stack {DEFAULT_STACK}")
    names = ", ".join(one.name for one in stacks_up)
    raise UsageError(f"which stack to {doing}?", why=f"several are up: {names}", fix=f"--stack {stacks_up[0].name}")


def last_runtime(stack: Stack) -> Runtime:
    """Return the runtime that had the stack last; its log outlives it."""
    note = proc.read(state.folder(ROOT, stack.name) / state.UP)
    return runtime_called("docker" if note.get("runtime") == "docker" else "process")


def short(path: Path | None) -> str:
    """Return a path as a person in the repository would write it."""
    if path is None:
        return ""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def placeless(data: Any) -> Any:  # noqa: ANN401 - a tree of JSON
    """Return data without the place of this repository, which is no business of a record's readers."""
    return json.loads(json.dumps(data).replace(json.dumps(str(ROOT))[1:-1], "."))
