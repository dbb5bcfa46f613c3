"""Room: disk, memory, shared memory, and what limits keep from us."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from blackstack.doctor.case import Case
from blackstack.doctor.knowledge import knowledge
from blackstack.doctor.texts import found
from blackstack.facts import places
from blackstack.finding import Finding

GIB = 1 << 30
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": GIB, "gb": GIB}
_MEMORY_KNOBS = ("CTX_SIZE", "KV_CACHE_GIB")  # of stacks that keep the context in the machine's memory


def check_disk(case: Case) -> Finding | None:
    """What is still to be fetched or built needs room, where it will lie."""
    plan = case.plan
    if plan is None or not case.fetches:
        return None
    place, free = _where(case)
    needed = plan.stack.x.needs.disk_gib
    if free >= needed * GIB:
        return None
    evidence = [f"free: {free / GIB:.1f} GiB ({place})"]
    return found("disk-space", {"stack": plan.stack.name, "needed": f"{needed:g}", "place": place}, evidence=evidence)


def check_memory(case: Case) -> Finding | None:
    """The machine, or the cgroup that we are in, has the memory that the stack needs."""
    plan = case.plan
    if plan is None:
        return None
    limit = None if case.in_docker else case.facts.limits.cgroup_memory_bytes  # a container gets a cgroup of its own
    needed, had = plan.stack.x.needs.memory_gib, min(case.host.memory_bytes, limit or case.host.memory_bytes)
    smaller = [*(knob for knob in _MEMORY_KNOBS if knob in plan.settings), "model"]
    values = {"stack": plan.stack.name, "needed": f"{needed:g}", "model": " or ".join(smaller)}
    if had < needed * GIB:
        evidence = [f"this {'cgroup may use' if limit == had else 'machine has'} {had / GIB:.1f} GiB"]
        return found("memory", values, evidence=evidence)
    return None


def check_memory_free(case: Case) -> Finding | None:
    """The memory that the stack needs is not in use."""
    if case.plan is None or check_memory(case):
        return None
    needed, free = case.plan.stack.x.needs.memory_gib, psutil.virtual_memory().available
    if free >= needed * GIB:
        return None
    return found("memory-busy", {"stack": case.plan.stack.name, "needed": f"{needed:g}", "free": f"{free / GIB:.1f}"})


def check_writable(case: Case) -> Finding | None:
    """We can note what is up."""
    closed = case.facts.closed
    evidence = [f"{name}: not writable" for name in closed]
    return found("not-writable", {"places": " ".join(closed)}, evidence=evidence) if closed else None


def check_shm(case: Case) -> Finding | None:
    """A process has the shared memory that the stack's container would get."""
    plan = case.plan
    if plan is None or case.in_docker:
        return None
    asked = str(plan.stack.service.get("shm_size", ""))
    had = case.facts.limits.shm_bytes
    if not asked or had >= size(asked):
        return None
    return found("shm-small", {"stack": plan.stack.name, "needed": asked, "had": f"{had / (1 << 20):.0f} MiB"})


def check_open_files(case: Case) -> Finding | None:
    """A process may open as many files as an engine with many connections wants."""
    had, needed = case.facts.limits.open_files, knowledge()["ours"]["open-files"]
    if case.in_docker or had is None or had >= needed:
        return None
    return found("open-files", {"had": had, "needed": needed}, severity="info")


def check_pids(case: Case) -> Finding | None:
    """A process may start as many threads as an engine wants."""
    had = case.facts.limits.cgroup_pids
    if case.in_docker or had is None or had >= knowledge()["ours"]["processes"]:
        return None
    return found("pids", {"had": had})


def size(text: str) -> int:
    """Return the bytes of a size as compose writes it; 0 where it is none.

    >>> size("1gb"), size("512m"), size("64"), size("much")
    (1073741824, 536870912, 64, 0)
    """
    found_size = re.fullmatch(r"(\d+)\s*([kmg]?b?)", text.strip().lower())
    return int(found_size[1]) * _SIZES[found_size[2]] if found_size else 0


def _where(case: Case) -> tuple[str, int]:
    """Return the disk that fills up: the engine's for images, ours for environments."""
    engine = case.facts.engine if case.in_docker else None
    if engine and engine.here and engine.data_root:
        free = places.free(Path(engine.data_root))
        if free is not None:
            return engine.data_root, free
    return ".", case.host.disk_free_bytes
