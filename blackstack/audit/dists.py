"""What is installed in a folder of packages: distributions, their demands, and whose each file is."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, field
from email.parser import HeaderParser
from typing import TYPE_CHECKING

from blackstack.audit.pins import Requirement, canonical, requirement
from blackstack.audit.root import SONAME_END

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BINARY = re.compile(rf".+{SONAME_END}|.+\.cubin")
_METADATA_LIMIT = 1 << 20


@dataclass(frozen=True)
class Distribution:
    """One installed project."""

    name: str
    version: str
    info: Path | None = None
    requires: tuple[Requirement, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass
class Site:
    """A folder of packages: ``site-packages`` or ``dist-packages``."""

    path: Path
    distributions: dict[str, Distribution] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def owner(self, file: Path) -> str:
        """Return the name of the distribution that brought FILE; unowned files go by their top folder."""
        relative = file.relative_to(self.path).as_posix()
        if relative in self.owners:
            return self.owners[relative]
        top = relative.split("/")[0].split(".")[0]
        return next((n for n in (canonical(top), canonical(top.lstrip("_"))) if n in self.distributions), top)


def read_site(path: Path) -> Site:
    """Walk the folder once."""
    site = Site(path)
    for info in sorted([*path.glob("*.dist-info"), *path.glob("*.egg-info")]):
        distribution = _distribution(info)
        if distribution is not None:
            site.distributions[distribution.name] = distribution
            site.owners.update((relative, distribution.name) for relative in _recorded(info))
    site.files.extend(sorted(_binaries(path)))
    return site


def _distribution(info: Path) -> Distribution | None:
    text = _text(info / "METADATA") or _text(info / "PKG-INFO") or (_text(info) if info.is_file() else "")
    if not text:
        return None
    message = HeaderParser().parsestr(text.partition("\n\n")[0])
    name, version = str(message.get("Name", "")), str(message.get("Version", ""))
    if not name:
        return None
    demands = [requirement(str(line)) for line in message.get_all("Requires-Dist", [])]
    tags = re.findall(r"^Tag:\s*(\S+)", _text(info / "WHEEL"), re.MULTILINE)
    return Distribution(canonical(name), version, info, tuple(d for d in demands if d), tuple(tags))


def _recorded(info: Path) -> Iterator[str]:
    try:
        with (info / "RECORD").open(encoding="utf-8", errors="replace", newline="") as file:
            for row in csv.reader(line for line in file if ".so" in line or ".cubin" in line):
                yield os.path.normpath(row[0]) if row else ""
    except (OSError, csv.Error):
        return


def _binaries(top: Path) -> Iterator[Path]:
    """Yield shared libraries and loose cubins; links are other names of files that are met anyway."""
    folders = [str(top)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != "__pycache__":
                            folders.append(entry.path)
                    elif _BINARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        yield top.__class__(entry.path)
        except OSError:
            continue


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_METADATA_LIMIT)
    except OSError:
        return ""
