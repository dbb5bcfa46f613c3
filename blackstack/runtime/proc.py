"""Processes and small JSON files, on the standard library alone, because the supervisor stands on it.

Linux: what is read is described in proc(5).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blackstack.files import write_whole

_DEAD = "ZX"  # zombie, dead: the number is taken, nobody is at home


def birth(pid: int) -> str:
    """Return what tells a process from a later one of the same number; empty when there is none.

    It is the boot and the clock ticks since it (field 22 of stat), which no change of the clock moves.
    """
    try:
        fields = _stat(Path(f"/proc/{pid}"))
    except OSError:
        return ""
    return "" if fields[0] in _DEAD else f"{_boot()}:{fields[19]}"


def is_gone(pid: object, born: object) -> bool:
    """Tell whether the process that was noted has ended in this boot, and no other took its number.

    Its session may live on; the kernel gives away no number that is still a session's.
    """
    return isinstance(pid, int) and str(born).startswith(_boot()) and birth(pid) == ""


def lives(pid: object, born: object) -> bool:
    """Tell whether the very process that was noted still lives."""
    return isinstance(pid, int) and bool(born) and birth(pid) == born


def session(leader: int) -> list[int]:
    """Return the living processes of a session: also those that moved to a process group of their own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = _stat(entry)
            if int(fields[3]) == leader and fields[0] not in _DEAD:
                found.append(int(entry.name))
    return found


def peak_memory(pid: int) -> int:
    """Return the bytes that a process held in memory at most; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a file so that a reader finds the old or the new one, never half of one."""
    write_whole(path, json.dumps(data, indent=2) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Return what a file holds; nothing where there is none or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def now() -> str:
    """Return the time as records have it: UTC, to the second."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(entry: Path) -> list[str]:
    """Return the fields of stat from the third on; the name before them may hold spaces and brackets."""
    return (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
