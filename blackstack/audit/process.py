"""A Python process as the dynamic linker sees it: who is loaded, under which names, and what binds to whom.

Nothing runs. `Process.dlopen` does what ``dlopen(path, RTLD_NOW)`` would decide: libraries breadth first,
versions, then every relocated symbol, and returns what would stop it. Sources: ld.so(8); glibc
``elf/dl-load.c``, ``elf/dl-version.c``, ``elf/dl-lookup.c``.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

from blackstack.audit.binary import UnreadableError, mapped
from blackstack.audit.elf import Elf, Symbol, read_elf
from blackstack.audit.search import SystemPaths, system_paths
from blackstack.audit.symhash import gnu_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from blackstack.audit.root import Root

_FROM_PYTHON = re.compile(r"_?Py[A-Z_]")

_INTERPRETER = ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1")

Kind = Literal["unreadable", "machine", "library", "version", "symbol"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that would stop dlopen."""

    kind: Kind
    file: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Outside:
    """Libraries that others will bring, by their names, and the names that they will define."""

    libraries: re.Pattern[str]
    symbols: re.Pattern[str]


#: What the driver of the machine on which it will run brings.
DRIVER = Outside(
    re.compile(r"lib(cuda|nvidia-[a-z-]+|nvcuvid|nvoptix|cudadebugger)\.so(\.\d+)?"),
    re.compile(r"cu[A-Z]|nvml[A-Z]|cuvid|NvEnc|nvPTX"),
)


@dataclass(eq=False)
class Loaded:
    """A file in the process."""

    path: str
    elf: Elf
    asked_by: Loaded | None = None
    needs: list[Loaded] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)

    def rpaths(self) -> Iterator[str]:
        """Yield RPATH directories, its own and those of the files that led to it; none beside a RUNPATH."""
        if self.elf.runpath:
            return
        link: Loaded | None = self
        while link is not None:
            if not link.elf.runpath:
                yield from _expand(link.elf.rpath, link.path)
            link = link.asked_by

    def closure(self) -> list[Loaded]:
        """Return this file and all it needs, breadth first: the order in which names are looked up."""
        order = {id(self): self}
        queue = [self]
        for item in queue:
            for need in item.needs:
                if id(need) not in order:
                    order[id(need)] = need
                    queue.append(need)
        return queue


class Library:
    """Opens each file once and keeps it mapped, however many processes are imagined over it."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.unmet: dict[tuple[str, ...], tuple[Symbol, ...]] = {}
        self._open: dict[str, Elf | UnreadableError] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.clear()
        self._stack.close()

    def elf(self, inside: str) -> Elf:
        """Return the ELF file of a path inside the root."""
        if inside not in self._open:
            try:
                view = self._stack.enter_context(mapped(self.root.host(inside)))
                self._open[inside] = read_elf(view)
            except UnreadableError as error:
                self._open[inside] = error
        found = self._open[inside]
        if isinstance(found, UnreadableError):
            raise UnreadableError(str(found))
        return found


class Process:
    """What is loaded so far. `fork` gives a copy, so that each extension is tried alone."""

    def __init__(
        self,
        library: Library,
        machine: str,
        library_path: Iterable[str] = (),
        outside: Iterable[Outside] = (),
    ) -> None:
        self.library = library
        self.machine = machine
        self.library_path = tuple(library_path)
        self.outside = tuple(outside)
        self._system: SystemPaths = system_paths(library.root, machine)
        self._names: dict[str, Loaded] = {}
        self._paths: dict[str, Loaded] = {}
        self._global: dict[int, Loaded] = {}

    def start(self) -> None:
        """Load what every interpreter has loaded, into the scope of all: the C library and its old parts."""
        for name in _INTERPRETER:
            place = self._locate_system(name)
            if place is not None:
                self.dlopen(place, everywhere=True)

    def fork(self) -> Process:
        """Return a process in the same state, whose further life leaves this one alone."""
        other = Process.__new__(Process)
        other.__dict__ = self.__dict__ | {
            "_names": dict(self._names),
            "_paths": dict(self._paths),
            "_global": dict(self._global),
        }
        return other

    def has(self, name: str) -> bool:
        """Is a library of this name loaded?"""
        return name in self._names

    def loaded(self) -> list[Loaded]:
        """Return everything in the process."""
        return list(self._paths.values())

    def dlopen(self, path: str, *, everywhere: bool = False, beside: Iterable[str] = ()) -> list[Problem]:
        """Load PATH (inside the root) and say what stops it; EVERYWHERE is ``RTLD_GLOBAL``.

        BESIDE are directories in which the package itself finds libraries that it loads first.
        """
        known = set(self._paths)
        try:
            top = self._enter(path, None)
        except UnreadableError as error:
            return [Problem("unreadable", path, path, str(error))]
        if isinstance(top, Problem):
            return [top]
        problems = list(self._load_needs(top, tuple(beside)))
        scope = top.closure()
        fresh = [item for item in scope if item.path not in known]
        if everywhere:
            self._global.update((id(item), item) for item in scope)
        everything = [*self._global.values(), *(item for item in scope if id(item) not in self._global)]
        for item in fresh:
            problems.extend(_try(self._bind, item, everything))
        return problems

    # -- libraries -------------------------------------------------------------------------------------------

    def _enter(self, path: str, asked_by: Loaded | None) -> Loaded | Problem:
        real = self.library.root.resolve(path) or path
        if real in self._paths:
            return self._paths[real]
        elf = self.library.elf(real)
        if elf.machine != self.machine:
            return Problem("machine", path, elf.machine, f"the file is for {elf.machine}")
        if not elf.dynamic:
            raise UnreadableError("has no dynamic section, so it cannot be loaded")
        item = Loaded(path, elf, asked_by)
        self._paths[real] = item
        if elf.soname:  # a file without one is known by the name that was asked for, see `_load_needs`
            self._names.setdefault(elf.soname, item)
        return item

    def _load_needs(self, top: Loaded, beside: tuple[str, ...]) -> Iterator[Problem]:
        queue = [top]
        for item in queue:
            if item.needs or item.missing or item.outside:
                continue
            try:
                names = item.elf.needed
            except UnreadableError as error:
                yield Problem("unreadable", item.path, item.path, str(error))
                continue
            for name in names:
                if DRIVER.libraries.fullmatch(name):  # also where a copy lies about: the real one comes later
                    item.outside.append(DRIVER)
                    continue
                found = self._names.get(name) or self._search(name, item, beside)
                if isinstance(found, Loaded):
                    self._names.setdefault(name, found)
                    item.needs.append(found)
                    queue.append(found)
                elif brought := next((o for o in self.outside if o.libraries.fullmatch(name)), None):
                    item.outside.append(brought)
                else:
                    item.missing.append(name)
                    yield found or Problem("library", item.path, name)

    def _search(self, name: str, asker: Loaded, beside: tuple[str, ...]) -> Loaded | Problem | None:
        if "/" in name:
            return self._enter(name, asker) if self.library.root.resolve(name) else None
        bad: Problem | None = None
        for place in self._places(name, asker, beside):
            if self.library.root.resolve(place) is None:
                continue
            try:
                found = self._enter(place, asker)
            except UnreadableError as error:
                bad = bad or Problem("unreadable", asker.path, place, str(error))
                continue
            if isinstance(found, Loaded):
                return found  # ld.so passes over files for another machine, and so do we
        return bad

    def _places(self, name: str, asker: Loaded, beside: tuple[str, ...]) -> Iterator[str]:
        yield from (f"{directory}/{name}" for directory in asker.rpaths())
        yield from (f"{directory}/{name}" for directory in self.library_path)
        yield from (f"{directory}/{name}" for directory in _expand(asker.elf.runpath, asker.path))
        yield from self._system.places(name)
        yield from (f"{directory}/{name}" for directory in beside)

    def _locate_system(self, name: str) -> str | None:
        resolve = self.library.root.resolve
        return next((place for place in self._system.places(name) if resolve(place)), None)

    # -- versions and symbols --------------------------------------------------------------------------------

    def _bind(self, item: Loaded, scope: list[Loaded]) -> Iterator[Problem]:
        for need in item.elf.wanted_versions:
            provider = self._names.get(need.library)
            if provider is None or need.weak or not provider.elf.defined_versions:
                continue
            if need.version not in provider.elf.defined_versions.values():
                yield Problem("version", item.path, need.version, provider.path)
        left = self._unmet(item)
        outside = {id(each): each for link in scope for each in link.outside}.values()
        for symbol in _undefined(left, scope, self._names) if left else ():
            if not any(each.symbols.match(symbol.name) for each in outside):
                yield Problem("symbol", item.path, symbol.name, symbol.version)

    def _unmet(self, item: Loaded) -> tuple[Symbol, ...]:
        """Return what the file's own libraries do not define; found once for all imagined processes."""
        closure = item.closure()
        key = tuple(member.path for member in closure)
        found = self.library.unmet.get(key)
        if found is None:
            wanted = (s for s in item.elf.imports if not s.weak and not _FROM_PYTHON.match(s.name))
            found = self.library.unmet[key] = tuple(_undefined(wanted, closure, self._names))
        return found


def _undefined(symbols: Iterable[Symbol], scope: Iterable[Loaded], names: Mapping[str, Loaded]) -> Iterator[Symbol]:
    """Yield the symbols that no file of the scope defines.

    ld.so asks in order and takes the first; whether there *is* one does not depend on the order, so the
    file that the version names, and the one that had the last answer, are asked first.
    """
    order = list(scope)
    members = {id(item) for item in order}
    for symbol in symbols:
        hashed = gnu_hash(symbol.name)
        hint = names.get(symbol.library) if symbol.library else None
        if hint is not None and id(hint) in members and hint.elf.exports(symbol, hashed):
            continue
        for at, item in enumerate(order):
            if item.elf.exports(symbol, hashed):
                if at:
                    order.insert(0, order.pop(at))
                break
        else:
            yield symbol


def _try(step: Callable[[Loaded, list[Loaded]], Iterable[Problem]], item: Loaded, scope: list[Loaded]) -> list[Problem]:
    """Run one binding; a table that lies is a fault of that file, not ours."""
    try:
        return list(step(item, scope))
    except UnreadableError as error:
        return [Problem("unreadable", item.path, item.path, str(error))]


def _expand(paths: Iterable[str], of: str) -> Iterator[str]:
    origin = os.path.dirname(of)  # noqa: PTH120 - a path inside the root, not one of this machine
    for path in paths:
        for word in ("$ORIGIN", "${ORIGIN}"):
            path = path.replace(word, origin)  # noqa: PLW2901
        yield path.rstrip("/") or "/"
