"""What a death leaves outside of its log: the kernel's words, the cgroup's counters, a core dump.

Each function looks in one place and returns what stands there; that a place may not be looked at is a fact too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from blackstack import shell

KMSG: Final = Path("/dev/kmsg")
CGROUPS: Final = Path("/sys/fs/cgroup")
CORE_PATTERN: Final = Path("/proc/sys/kernel/core_pattern")
RECORD_BYTES: Final = 8192  # a record of /dev/kmsg is no longer
SHOWN_LINES: Final = 8
ANSWER_S: Final = 5.0
SLACK_S: Final = 2.0

# What the kernel and the NVIDIA driver write when they kill a process or lose a card:
# https://docs.nvidia.com/deploy/xid-errors/ and the kernel's mm/oom_kill.c, arch/x86/mm/fault.c, traps.c
OF_ALL: Final = re.compile(r"NVRM: Xid|NVRM: GPU .* has fallen off|I/O error")
OF_ONE: Final = re.compile(
    r"[Oo]ut of memory: Kill|oom-kill:|segfault at |traps: .* (?:trap|general protection)|general protection fault"
)


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What a runtime knows of a server's end besides its exit code.

    Attributes:
        events: what happened to it, oldest first, such as ``kill (SIGTERM)``.
        memory: counters of its cgroup that are not 0, such as ``oom_kill``; since it started, where that is known.
        quiet_s: seconds between its last line of log and its end, or now.
        core_dump: where its memory was written to, or why it was not.
        asked_to_stop: we ended it.
        marks: what tells it from other processes in the kernel's log.
    """

    events: tuple[str, ...] = ()
    memory: Mapping[str, int] = field(default_factory=dict)
    quiet_s: float | None = None
    core_dump: str = ""
    asked_to_stop: bool = False
    marks: tuple[str, ...] = ()


def kernel_log(since: str, marks: Collection[str], path: Path = KMSG) -> tuple[tuple[str, ...], str]:
    """Return the kernel's telling lines since a time, newest last, and why they cannot be read.

    The ring buffer is read and not emptied (Documentation/ABI/testing/dev-kmsg).

    Args:
        since: UTC, ISO 8601.
        marks: what tells this server from others in a line about one process: ``pid=7``, ``[7]``, a container's id.
        path: the device.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return (), f"{path}: {error.strerror}"
    lines: list[str] = []
    earliest = time.clock_gettime(time.CLOCK_MONOTONIC) - _age_s(since)
    try:
        while True:
            try:
                record = os.read(handle, RECORD_BYTES).decode(errors="replace")
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:  # the record was overwritten while we looked: go on with the next
                    continue
                return tuple(lines[-SHOWN_LINES:]), f"{path}: {error.strerror}"
            if not record:
                break
            head, _, text = record.partition(";")
            first = text.partition("\n")[0]
            with contextlib.suppress(ValueError, IndexError):
                ours = OF_ALL.search(first) or (OF_ONE.search(first) and any(mark in first for mark in marks))
                if ours and int(head.split(",")[2]) / 1e6 >= earliest:
                    lines.append(first)
    finally:
        os.close(handle)
    return tuple(lines[-SHOWN_LINES:]), ""


def memory_counters(pid: int, cgroups: Path = CGROUPS, proc: Path = Path("/proc")) -> dict[str, int]:
    """Return what the memory cgroup of a living process has counted; nothing where that cannot be seen.

    cgroup v2 has ``memory.events`` (low, high, max, oom, oom_kill); v1 ``memory.oom_control`` and ``memory.failcnt``.
    """
    try:
        groups = [line.split(":", 2) for line in (proc / f"{pid}/cgroup").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    for _, controllers, path in groups:
        inside = path.lstrip("/")
        if controllers == "":
            places = [cgroups / inside / "memory.events", cgroups / "unified" / inside / "memory.events"]
        elif "memory" in controllers.split(","):
            places = [cgroups / "memory" / inside / "memory.oom_control", cgroups / "memory" / "memory.oom_control"]
        else:
            continue
        for place in places:
            if counted := _counters(place):
                return counted
    return {}


def _counters(place: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        pairs = (line.split() for line in place.read_text(encoding="ascii").splitlines())
        return {name: int(number) for name, number in pairs}
    return {}


def grown(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Return the counters that have grown, and by how much."""
    return {name: number - before.get(name, 0) for name, number in now.items() if number > before.get(name, 0)}


def core_dump(pid: int, cwd: Path, pattern: Path = CORE_PATTERN) -> str:
    """Return where a process that crashed was dumped to, or why it was not.

    core(5): a pattern that begins with ``|`` is a program, which is asked where that is systemd's.
    """
    try:
        where = pattern.read_text(encoding="utf-8").strip()
    except OSError as error:
        return f"{pattern}: {error.strerror}"
    if where.startswith("|"):
        if "systemd-coredump" not in where or not shutil.which("coredumpctl"):
            return f"handed to {where[1:].split()[0]}"
        asked = shell.capture(["coredumpctl", "--no-pager", "--no-legend", "list", str(pid)], timeout=ANSWER_S)
        return f"coredumpctl info {pid}" if asked.out.strip() else "systemd-coredump has none of it"
    if resource.getrlimit(resource.RLIMIT_CORE)[0] == 0:
        return "none: `ulimit -c` is 0"
    base = Path(where) if where.startswith("/") else cwd / where
    stem = base.name.partition("%")[0] or "core"
    found = [path for path in base.parent.glob(f"{stem}*") if path.is_file() and str(pid) in path.name] if pid else []
    return str(found[0]) if found else ""


def _age_s(since: str) -> float:
    """Return how long ago a time was, with some slack; very long where it is none."""
    try:
        then = datetime.fromisoformat(since)
    except ValueError:
        return float("inf")
    return (datetime.now(tz=UTC) - then).total_seconds() + SLACK_S
