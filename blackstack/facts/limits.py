"""What this process may use of the machine: its cgroup, its ulimits, shared memory."""

from __future__ import annotations

import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_V1 = 1 << 60  # cgroup v1 writes a number near 2^63 where there is no limit
_SHM = "/dev/shm"  # noqa: S108 - looked at, not written to


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits; None: there is none, or nobody says.

    Attributes:
        cgroup_version: 1 or 2; 0 without any.
        cgroup_memory_bytes: what our own cgroup may use; the kernel kills beyond it.
        cgroup_pids: processes and threads that it may have.
        open_files: the hard limit, to which a program may raise its own.
        locked_bytes: memory that it may pin.
        shm_bytes: size of /dev/shm; 0 where there is none.
    """

    cgroup_version: int = 0
    cgroup_memory_bytes: int | None = None
    cgroup_pids: int | None = None
    open_files: int | None = None
    locked_bytes: int | None = None
    shm_bytes: int = 0


def look(root: Path = Path("/")) -> Limits:
    """Look at the limits of this process; ``root`` is the file system, another one for tests."""
    folders = folders_of(_read(root / "proc/self/cgroup"))
    version = 2 if set(folders) == {""} else 1 if folders else 0
    top = root / "sys/fs/cgroup"
    memory = [folder / name for folder, name in _places(top, folders, "memory", version)]
    pids = [folder / name for folder, name in _places(top, folders, "pids", version)]
    return Limits(
        cgroup_version=version,
        cgroup_memory_bytes=_least(memory),
        cgroup_pids=_least(pids),
        open_files=_hard(resource.RLIMIT_NOFILE),
        locked_bytes=_hard(resource.RLIMIT_MEMLOCK),
        shm_bytes=_size(root / _SHM.lstrip("/")),
    )


def folders_of(text: str) -> dict[str, str]:
    r"""Return the folder of each controller from ``/proc/self/cgroup``; version 2 has one, under the name ``""``.

    >>> folders_of("4:memory:/docker/abc\n0::/\n")
    {'memory': '/docker/abc'}
    >>> folders_of("0::/user.slice\n")
    {'': '/user.slice'}
    """
    rows = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]  # noqa: PLR2004
    first = {name: folder for _, names, folder in rows for name in names.split(",") if name}
    return first or ({"": rows[-1][2]} if rows else {})


def _places(top: Path, folders: dict[str, str], controller: str, version: int) -> list[tuple[Path, str]]:
    """Return each file that limits us: every cgroup above ours counts too."""
    folder = folders.get("" if version == 2 else controller)  # noqa: PLR2004
    if folder is None:
        return []
    name = {("memory", 1): "memory.limit_in_bytes", ("memory", 2): "memory.max"}.get((controller, version), "pids.max")
    base = top if version == 2 else top / controller  # noqa: PLR2004
    inner = base / folder.lstrip("/")
    # Inside a container the path is the machine's and not to be seen; the mount itself is our cgroup then.
    chain = [inner, *inner.parents] if inner.is_dir() else [base]
    return [(place, name) for place in chain if place == base or base in place.parents]


def _least(files: list[Path]) -> int | None:
    told = [int(text) for path in files if (text := _read(path).strip()).isdecimal()]
    return min((number for number in told if number < _UNLIMITED_V1), default=None)


def _hard(which: int) -> int | None:
    hard = resource.getrlimit(which)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def _size(path: Path) -> int:
    try:
        return shutil.disk_usage(path).total
    except OSError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
