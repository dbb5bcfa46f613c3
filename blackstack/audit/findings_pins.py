"""Findings about versions: unmet demands, a swapped torch, other Pythons, doubled libraries."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from blackstack.audit import groups
from blackstack.audit.binary import UnreadableError, mapped
from blackstack.audit.elf import read_elf
from blackstack.audit.model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blackstack.audit.dists import Distribution
    from blackstack.audit.evidence import Environment
    from blackstack.audit.model import Severity
    from blackstack.audit.pins import Requirement


def findings(environment: Environment) -> Iterator[Finding]:
    """Yield them."""
    unmet = list(_unmet(environment))
    yield from _swapped(environment, unmet)
    yield from _others(unmet)
    yield from _pythons(environment)
    yield from _doubles(environment)


def _markers(environment: Environment) -> dict[str, str]:
    major, minor = environment.target.python or (3, 12)
    return {
        "python_version": f"{major}.{minor}",
        "python_full_version": f"{major}.{minor}.0",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_machine": environment.target.machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }


def _unmet(environment: Environment) -> Iterator[tuple[Distribution, Requirement, str]]:
    installed, markers = environment.distributions, _markers(environment)
    for distribution in installed.values():
        for demand in distribution.requires:
            there = installed.get(demand.name)
            version = environment.torch.version if demand.name == "torch" and environment.torch else ""
            version = version or (there.version if there else "")
            if version and demand.applies(markers) and not demand.met_by(version):
                yield distribution, demand, version


def _swapped(environment: Environment, unmet: list[tuple[Distribution, Requirement, str]]) -> Iterator[Finding]:
    """Some were installed for another torch than the one that others pin: pip swapped it, silently."""
    victims = [(d, r) for d, r, _ in unmet if r.name == "torch" and r.exact]
    if not victims or not environment.torch:
        return
    have = environment.torch.version
    culprits = [
        f"{d.name} {d.version} pins torch=={r.exact}"
        for d in environment.distributions.values()
        for r in d.requires
        if r.name == "torch" and r.exact and r.met_by(have)
    ]
    victim, demand = victims[0]
    apart = any(r.exact.split(".")[:2] != have.split(".")[:2] for _, r in victims)
    yield Finding(
        code="torch-swapped",
        severity="warning" if apart else "info",
        title=f"torch {have} is not the one that {victim.name} {victim.version} was installed for "
        f"(torch {demand.exact}): pip swapped it silently",
        evidence=(*(f"{d.name} {d.version} pins torch=={r.exact}" for d, r in victims), *culprits),
        cause="a later `pip install` took the torch that its own package pins, and left the others alone",
        fix=(
            f"pip install torch=={demand.exact} {victim.name}=={victim.version}   # or all for one torch",
            "pip install --constraint constraints.txt …   # with torch pinned in it: then it cannot happen",
        ),
        verify="pip check",
    )


def _others(unmet: list[tuple[Distribution, Requirement, str]]) -> Iterator[Finding]:
    for distribution, demand, version in unmet:
        if demand.name == "torch" and demand.exact:
            continue  # told as a swap
        wanted = demand.text.partition(";")[0].strip()
        # Only torch's own needs, and a need of a newer torch, are known to break Python code.
        serious = "torch" in {demand.name, distribution.name} and demand.newer_than(version)
        yield Finding(
            code="pin-not-met",
            severity="warning" if serious else "info",
            title=f"{distribution.name} {distribution.version} wants {wanted}, installed is {version}",
            cause="it was written for a newer release: it may load and still fail in Python" if serious else "",
            fix=(f"pip install '{wanted}'",),
            verify="pip check",
        )


def _pythons(environment: Environment) -> Iterator[Finding]:
    """All extension modules of a package are for another Python: then none of them is ever found."""
    python = environment.target.python
    for package in environment.packages:
        paths = [file.path for file in package.report.files]
        tagged = [path for path in paths if "cpython-" in path]
        foreign = [path for path in tagged if groups.other_python(path, python)]
        if foreign and len(foreign) == len(tagged) and python:
            name, release = package.distribution.name, f"{python[0]}.{python[1]}"
            if len(tagged) == len(paths):
                title = f"{name} {package.distribution.version} is for another Python than {release}"
                fix: tuple[str, ...] = (f"pip install --force-reinstall {name}",)
            else:
                title, fix = (
                    f"{name}: {foreign[0]} is for another Python than {release}; it is never imported",
                    (),
                )
            severity: Severity = "error" if fix else "info"
            yield Finding(code="python-tag", severity=severity, title=title, evidence=tuple(foreign[:3]), fix=fix)


def _doubles(environment: Environment) -> Iterator[Finding]:
    """The same soname in two places: which one a process gets depends on who is loaded first."""
    places: dict[str, list[str]] = defaultdict(list)
    for package in environment.packages:
        for file in package.files:
            if file.host.name.startswith(("libcud", "libcublas", "libnccl", "libnvrtc", "libcusparse", "libnvshmem")):
                soname = _soname(file.host)
                if soname:
                    places[soname].append(file.path)
    for soname, found in places.items():
        if len(found) > 1:
            yield Finding(
                code="duplicate-library",
                severity="info",
                title=f"{soname} is there {len(found)} times; the first one loaded serves all",
                evidence=tuple(found),
            )


def _soname(path: Path) -> str:
    try:
        with mapped(path) as view:
            return read_elf(view).soname
    except UnreadableError:
        return ""
