"""What is audited: a root, the folders of packages in it, the Python and the machine they are for."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blackstack.audit.pins import canonical
from blackstack.audit.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.arch import Version

_DEPTH = 7  # /opt/conda/envs/NAME/lib/python3.12/site-packages
_SKIPPED = {"proc", "sys", "dev", "run", "tmp", "boot"}
_PYTHON = re.compile(r"python(\d)\.(\d+)")
_SITE = {"site-packages", "dist-packages"}


class TargetError(Exception):
    """What was asked for is not there, or not what it was called."""


@dataclass(frozen=True)
class Target:
    """An environment, as paths inside a root."""

    root: Root
    sites: tuple[str, ...]
    label: str
    python: Version | None = None
    machine: str = platform.machine()
    library_path: tuple[str, ...] = ()
    partial: bool = False  # some wheels only: what their dependencies bring is expected


def of_site(folder: Path, library_path: tuple[str, ...] = ()) -> Target:
    """Audit one folder of packages on this machine."""
    path = folder.resolve()
    if not path.is_dir():
        raise TargetError(f"{folder} is not a folder")
    return Target(Root(Path("/")), (str(path),), str(folder), _version(str(path)), library_path=library_path)


def of_python(executable: Path, library_path: tuple[str, ...] = ()) -> Target:
    """Audit the environment of an interpreter, without starting it: its own folders, and those of our PYTHONPATH."""
    if not executable.exists():
        raise TargetError(f"there is no {executable}")
    prefix = executable.parent.resolve().parent  # of the name, not of what it links to: that is how venv works
    sites = [path for path in sorted(prefix.glob("lib*/python3*/*-packages")) if path.name in _SITE]
    config = _config(prefix / "pyvenv.cfg")
    if config.get("include-system-site-packages") == "true" and "home" in config:
        sites += [Path(site) for site in of_python(Path(config["home"]) / "python3").sites]
    elif not config:
        sites += [p for p in sorted(prefix.glob("local/lib/python3*/dist-packages")) if p.is_dir()]
    if not sites:
        raise TargetError(f"{executable} has no folder of packages beside it ({prefix}/lib/python3*/site-packages)")
    version = _version(config.get("version", "")) or _version(f"python{config.get('version', '')}")
    version = version or _version(str(executable.resolve())) or _version(str(sites[0]))
    # Debian's venv links lib64 to lib: one folder under two names, in which everything would be counted twice.
    sites = [*_added(os.environ.get("PYTHONPATH", "")), *sites]
    names = tuple({site.resolve(): str(site) for site in reversed(sites)}.values())[::-1]
    return Target(Root(Path("/")), names, str(executable), version, library_path=library_path)


def _added(path: str) -> list[Path]:
    """Return the folders of a PYTHONPATH that have packages in them: an interpreter sees them before its own."""
    folders = [Path(folder).absolute() for folder in path.split(os.pathsep) if folder]
    return [folder for folder in folders if next(folder.glob("*.dist-info"), None)]


def of_root(folder: Path, library_path: tuple[str, ...] = (), site: str = "", label: str = "") -> Target:
    """Audit a root file system: an unpacked image, a chroot, a container's merged folder."""
    if not folder.is_dir():
        raise TargetError(f"{folder} is not a folder")
    root = Root(folder.resolve())
    found = [site] if site else list(dict.fromkeys(_sites(root.path)))
    if not found:
        raise TargetError(f"no site-packages or dist-packages in {folder}")
    sites = tuple(found if site else _one_python(root, found))
    versions = [version for version in map(_version, sites) if version]
    machine = _machine(root)
    return Target(root, sites, label or str(folder), next(iter(versions), None), machine, library_path)


def _one_python(root: Root, sites: list[str]) -> list[str]:
    """Of all environments take the one with torch, else the fullest, and what its Python adds to it."""

    def weight(site: str) -> tuple[bool, int]:
        host = root.host(site)
        return (host / "torch").is_dir(), sum(1 for _ in host.glob("*.dist-info"))

    best = max(sites, key=weight)
    prefix = re.sub(r"/lib\d*/python.*", "", best)
    if root.find(f"{prefix}/pyvenv.cfg") is not None:
        return [best]
    system = {"/usr", "/usr/local", ""}
    same = [s for s in sites if s != best and prefix in system and re.sub(r"/lib\d*/python.*", "", s) in system]
    wanted = _version(best)
    return [
        best,
        *(s for s in same if _version(s) in {wanted, None} and root.find(f"{s}/../../../pyvenv.cfg") is None),
    ]


def _sites(top: Path) -> Iterator[str]:
    folders = [(str(top), 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if not entry.is_dir(follow_symlinks=False) or (not depth and entry.name in _SKIPPED):
                        continue
                    if entry.name in _SITE:
                        yield entry.path.removeprefix(str(top).rstrip("/")) or "/"
                    elif depth < _DEPTH:
                        folders.append((entry.path, depth + 1))
        except OSError:
            continue


def _machine(root: Root) -> str:
    for machine in ("x86_64", "aarch64"):
        for place in (f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu"):
            if root.find(place) is not None:
                return machine
    if root.find("/lib/ld-linux-aarch64.so.1"):
        return "aarch64"
    return platform.machine() if not root.find("/lib64/ld-linux-x86-64.so.2") else "x86_64"


def _version(text: str) -> Version | None:
    found = _PYTHON.search(text)
    return (int(found[1]), int(found[2])) if found else None


def _config(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {canonical(key.strip()): value.strip() for key, _, value in pairs}
