"""Look at files as a process inside the audited root would, without entering it.

An image's ``/usr/lib/libcuda.so -> /opt/cuda/libcuda.so`` means the image's ``/opt``, not ours; and no
link, however often it climbs, leads out of the root.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SONAME_END = r"\.so(\.[\w+-]+)*"  # of a pattern: libssl-81259c47.so.1.1.1k is a library like any other
_LINKS = 40  # what Linux allows before ELOOP


@dataclass(frozen=True)
class Root:
    """A directory taken for ``/``."""

    path: Path
    _seen: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    def resolve(self, inside: str) -> str | None:
        """Return the real path, inside the root, of INSIDE; None if nothing is there."""
        if inside not in self._seen:
            self._seen[inside] = self._walk(inside)
        return self._seen[inside]

    def host(self, inside: str) -> Path:
        """Return where a resolved path inside the root lies on this machine."""
        return self.path / inside.lstrip("/")

    def find(self, inside: str) -> Path | None:
        """Return the file on this machine that INSIDE means, links followed."""
        real = self.resolve(inside)
        return None if real is None else self.host(real)

    def inside(self, host: Path) -> str:
        """Return the name inside the root of a path on this machine."""
        return "/" + str(host.relative_to(self.path)).removeprefix("/")

    def read(self, inside: str, limit: int = 1 << 24) -> bytes | None:
        """Return the content of a small file; None if it is not there."""
        found = self.find(inside)
        if found is None or not found.is_file():
            return None
        with found.open("rb") as file:
            return file.read(limit)

    def glob(self, inside: str, pattern: str) -> list[str]:
        """Return the names, sorted, that match PATTERN in a directory."""
        found = self.find(inside)
        if found is None or not found.is_dir():
            return []
        return sorted(f"{inside.rstrip('/')}/{path.name}" for path in found.glob(pattern))

    def _walk(self, inside: str) -> str | None:
        todo = [part for part in reversed(inside.split("/")) if part not in {"", "."}]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done[-1:] = []
                continue
            here = self.path.joinpath(*done, part)
            try:
                target = os.readlink(here)  # noqa: PTH115 - Path.readlink costs five times as much
            except OSError:  # not a link
                if not here.exists():
                    return None
                done.append(part)
                continue
            links += 1
            if links > _LINKS:
                return None
            if target.startswith("/"):
                done.clear()
            todo.extend(step for step in reversed(target.split("/")) if step not in {"", "."})
        return "/" + "/".join(done)
