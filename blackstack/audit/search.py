"""Where the dynamic linker looks for a library that nobody has named with a path.

The order is ld.so(8)'s: RPATH of the file and of those that asked for it, ``LD_LIBRARY_PATH``, RUNPATH of
the file, what ldconfig knows, the default directories. All of them are those *of the root audited*.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blackstack.audit.binary import UnreadableError, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blackstack.audit.root import Root

_TRIPLETS = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEAD = struct.Struct("<20sII20s")
_CACHE_ENTRY = struct.Struct("<iIIIQ")
_MOST_ENTRIES = 1 << 17
_DEPTH = 8  # of include lines within include lines


@dataclass(frozen=True)
class SystemPaths:
    """What a root says about its libraries: ldconfig's cache, or the directories that it would have read."""

    cache: Mapping[str, tuple[str, ...]]
    configured: tuple[str, ...]
    default: tuple[str, ...]

    def places(self, name: str) -> Iterator[str]:
        """Yield the paths at which NAME may lie, in order."""
        yield from self.cache.get(name, ())
        for directory in (*self.configured, *self.default):
            yield f"{directory}/{name}"


def system_paths(root: Root, machine: str) -> SystemPaths:
    """Read them from the root."""
    triplet = _TRIPLETS.get(machine, machine)
    default = (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
    data = root.read("/etc/ld.so.cache")
    cache = read_cache(data) if data else {}
    # Without a cache ldconfig has not run yet (a bare root file system); what it would find is the honest
    # answer.
    configured = () if cache else tuple(dict.fromkeys(_configured(root, "/etc/ld.so.conf", _DEPTH)))
    return SystemPaths(cache, configured, default)


def read_cache(data: bytes) -> dict[str, tuple[str, ...]]:
    """Read ``/etc/ld.so.cache`` (glibc ``dl-cache.h``); anything odd is as good as no cache."""
    start = data.find(_CACHE_MAGIC)
    if start < 0:
        return {}
    view = View(data[start:])
    found: dict[str, list[str]] = {}
    try:
        count = view.unpack(_CACHE_HEAD, 0)[1]
        for i in range(min(count, _MOST_ENTRIES)):
            _, key, value, _, hwcap = view.unpack(_CACHE_ENTRY, _CACHE_HEAD.size + i * _CACHE_ENTRY.size)
            if not hwcap:
                name = view.cstring(key, 4096).decode("utf-8", "replace")
                found.setdefault(name, []).append(view.cstring(value, 4096).decode("utf-8", "replace"))
    except (UnreadableError, struct.error):
        return {}
    return {name: tuple(paths) for name, paths in found.items()}


def _configured(root: Root, path: str, depth: int) -> Iterator[str]:
    text = (root.read(path) or b"").decode("utf-8", "replace")
    for line in text.splitlines():
        words = line.partition("#")[0].replace(",", " ").split()
        if words[:1] == ["include"] and depth:
            for pattern in words[1:]:
                absolute = pattern if pattern.startswith("/") else f"/etc/{pattern}"
                directory, _, name = absolute.rpartition("/")
                for included in root.glob(directory, name):
                    yield from _configured(root, included, depth - 1)
        elif words and words[0] not in {"include", "hwcap"}:
            yield from (word.rstrip("/") for word in words if word.startswith("/"))
