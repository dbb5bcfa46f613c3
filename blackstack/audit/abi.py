"""The ABI lock: an extension that uses torch's C++ classes is bound to the torch it was compiled with.

Symbols alone do not show it. torch 2.9 changed the layout of classes without renaming anything: vLLM 0.11.0's
``_moe_C`` finds all its 78 torch symbols in torch 2.9.1 and aborts inside dlopen. So the question is not
only «does every name resolve?» but «which torch was this built with?», and the answers come, best first, from

1. a seal that the build wrote, 2. an exact pin, a build record or the version's own words
(``+cu12torch2.8``),
3. the set of releases whose exports satisfy *every* file of the distribution: one that cannot bind condemns
all.

The stable C interface (``aoti_torch_*``) is not bound; it has a first release only, which the symbols show.
Upstream: https://github.com/pytorch/pytorch/issues/160657, https://github.com/pytorch/ao/issues/2908.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blackstack.audit.pins import parse
from blackstack.audit.symbols import CXX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from blackstack.audit.dists import Distribution
    from blackstack.audit.model import Loads
    from blackstack.audit.symbols import Minor, Table

#: What our Dockerfiles write beside an extension that they compile.
SEAL = "blackstack-seal.json"

#: Between these two releases class layouts changed under unchanged names. Measured: see `docs/audit.md`.
BREAKS: frozenset[tuple[Minor, Minor]] = frozenset({((2, 8), (2, 9))})
#: Between these they did not: files of the one were really loaded by the other.
CLEAN: frozenset[tuple[Minor, Minor]] = frozenset(
    {((2, 7), (2, 8)), ((2, 9), (2, 10)), ((2, 11), (2, 12)), ((2, 12), (2, 13)), ((2, 14), (2, 15))}
)

_IN_VERSION = re.compile(r"(?:torch|pt)[.]?(\d)[.]?(\d{1,2})(?!\d)")
#: Compiled into every user of SymInt since 2.9, and into none before.
_MARKERS: dict[str, Minor] = {"_ZNK3c106SymInt22maybe_as_int_slow_pathEv": (2, 9)}


@dataclass(frozen=True)
class Origin:
    """Which torch a distribution says it was built with, and where it says so."""

    minor: Minor | None = None
    version: str = ""
    source: str = ""


@dataclass(frozen=True)
class Lock:
    """The verdict for a distribution's C++ files."""

    loads: Loads
    reason: str = ""
    candidates: tuple[Minor, ...] = ()
    origin: Origin = Origin()

    def of_binding_file(self, installed: Minor) -> Loads:
        """Return the verdict for a file that finds all its names, though perhaps a sibling does not."""
        build = self.origin.minor or (self.candidates[-1] if self.candidates else None)
        if self.loads != "fail" or build is None:
            return self.loads
        steps = _steps(build, installed)
        return "fail" if steps & BREAKS else "ok" if steps <= CLEAN else "risk"

    @property
    def built_for(self) -> str:
        """The torch to install for it, as text for ``pip install torch==``."""
        if self.origin.version:
            return self.origin.version
        return f"{_text(self.candidates[-1])}.*" if self.candidates else ""


def cxx_names(names: Iterable[str]) -> set[str]:
    """Return those that bind to a torch release."""
    return {name for name in names if CXX.match(name)}


def origin(distribution: Distribution, folders: Iterable[Path]) -> Origin:
    """Read what the distribution says about the torch it was built with."""
    for folder in folders:
        sealed = _json(folder / SEAL).get("torch")
        if isinstance(sealed, str):
            return _origin(sealed, f"its seal ({SEAL})")
        recorded = _json(folder / "cpp_lib.json").get("version")
        if isinstance(recorded, dict) and isinstance(recorded.get("torch"), str):
            return _origin(recorded["torch"], "its build record (cpp_lib.json)")
    local = distribution.version.partition("+")[2]
    named = _IN_VERSION.search(local)
    if named:
        return _origin(f"{named[1]}.{named[2]}", f"its version ({distribution.version})")
    for demand in distribution.requires:
        if demand.name == "torch" and demand.exact:
            return _origin(demand.exact, f"its pin (torch=={demand.exact})")
    return Origin()


def lock(table: Table, imports: Sequence[set[str]], said: Origin, installed: Minor, *, binds: bool) -> Lock:
    """Judge a distribution.

    Args:
        table: what is known about the names.
        imports: for each C++ file, the torch names that no sibling provides.
        said: what the distribution says itself.
        installed: the release of the torch that is there.
        binds: do all its C++ files find all their names in it?
    """
    candidates = table.exporting(set().union(*imports)) if imports else ()
    marks = {since for names in imports for name, since in _MARKERS.items() if name in names}
    candidates = tuple(minor for minor in candidates if all(minor >= since for since in marks))
    build = said.minor
    if not binds:
        if build == installed and said.source.startswith("its pin"):
            reason = f"was not built with torch {_text(installed)}, whatever its pin says: names are missing"
            return Lock("fail", reason, candidates, Origin())
        return Lock("fail", _proved(candidates, said, installed), candidates, said)
    if build is not None:
        return _by_origin(build, said, installed, candidates)
    return _by_symbols(candidates, installed, known=installed in table.minors)


def _by_origin(build: Minor, said: Origin, installed: Minor, candidates: tuple[Minor, ...]) -> Lock:
    if build == installed:
        return Lock("ok", "", candidates, said)
    words = f"{said.source} says torch {said.version}, installed is {_text(installed)}"
    steps = _steps(build, installed)
    if steps & BREAKS:
        reason = f"{words}; class layouts changed between them: aborts although every symbol resolves"
        return Lock("fail", reason, candidates, said)
    if steps <= CLEAN:
        return Lock("ok", f"{words}; no change of layout lies between them", candidates, said)
    return Lock("risk", f"{words}; every symbol resolves, the class layouts may still differ", candidates, said)


def _by_symbols(candidates: tuple[Minor, ...], installed: Minor, *, known: bool) -> Lock:  # noqa: PLR0911
    if not candidates:
        if not known:
            return Lock("risk", f"nothing is known about torch {_text(installed)}; every symbol resolves")
        return Lock("ok", "built with a torch that is not in the symbol table; every symbol resolves")
    if known and installed not in candidates:
        return Lock("fail", _proved(candidates, Origin(), installed), candidates)
    apart = [minor for minor in candidates if _steps(minor, installed) & BREAKS]
    if apart and len(apart) < len(candidates):
        words = f"built with one of torch {_list(candidates)}, not said which; one for {_list(apart)} would abort"
        return Lock("risk", words, candidates)
    if apart:
        return Lock("fail", _proved(candidates, Origin(), installed), candidates)
    if not known:
        return Lock(
            "risk",
            f"built for torch {_list(candidates)}; nothing is known about {_text(installed)}",
            candidates,
        )
    return Lock("ok", "", candidates)


def _proved(candidates: tuple[Minor, ...], said: Origin, installed: Minor) -> str:
    if said.version:
        return f"built with torch {said.version} ({said.source}), not {_text(installed)}"
    if candidates:
        only = "the only releases that satisfy all its files"
        return f"built with torch {_list(candidates)} ({only}), not {_text(installed)}"
    return f"built with another torch than {_text(installed)}: one of its files cannot bind"


def _steps(one: Minor, other: Minor) -> frozenset[tuple[Minor, Minor]]:
    low, high = sorted((one, other))
    if low[0] != high[0]:
        return BREAKS  # a major release keeps no promise
    return frozenset(((low[0], n), (low[0], n + 1)) for n in range(low[1], high[1]))


def _origin(version: str, source: str) -> Origin:
    read = parse(version)
    return Origin(read.minor, version, source) if read else Origin()


def _json(path: Path) -> dict[str, object]:
    try:
        data = json.loads(path.read_bytes()[: 1 << 20])
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _list(minors: Iterable[Minor]) -> str:
    return ", ".join(_text(minor) for minor in minors)


def _text(minor: Minor) -> str:
    return f"{minor[0]}.{minor[1]}"
