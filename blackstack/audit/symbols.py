"""Which torch releases export which names: the memory behind the ABI lock.

The data is one packed text, ``torch_symbols.txt.xz``: a first line naming the releases (the columns), then
groups, each headed by the set of releases in which all its names are exported. It is read as a stream, and
only the names asked for are kept, so a question about a whole environment costs a tenth of a second and
hardly any memory.

``python -m blackstack.audit.symbols 2.15.0`` adds a column from pip's index, ``2.15.0=FOLDER`` from a folder.
"""

from __future__ import annotations

import argparse
import lzma
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blackstack.audit import wheels
from blackstack.audit.binary import mapped
from blackstack.audit.elf import read_elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Minor = tuple[int, int]

DATA = Path(__file__).with_name("torch_symbols.txt.xz")
LIBRARIES = (
    "libc10.so",
    "libc10_cuda.so",
    "libtorch_cpu.so",
    "libtorch_cuda.so",
    "libtorch_python.so",
    "libtorch.so",
)

#: A C++ name of torch's own: bound to the release it was compiled with.
CXX = re.compile(r"_Z(?:T[ISVTCc])?(?:G[RV])?(?:N[KVrRO]*)?(?:3c10|2at|5torch|6caffe2)")
#: A C name of torch's: stable, with a first release.
STABLE = re.compile(r"aoti_torch_|torch_[a-z]|c10_[a-z]|THP[A-Z]")


@dataclass(frozen=True)
class Table:
    """For the names asked about: the releases that export them."""

    minors: tuple[Minor, ...]
    masks: dict[str, int]

    def exporting(self, names: Iterable[str]) -> tuple[Minor, ...]:
        """Return the releases that export every one of NAMES."""
        mask = (1 << len(self.minors)) - 1
        for name in names:
            mask &= self.masks.get(name, 0)
        return tuple(minor for i, minor in enumerate(self.minors) if mask >> i & 1)


def is_torch_name(name: str) -> bool:
    """Is this a name that torch exports for extensions? ``std::`` instances inside libc10 are not."""
    return bool(CXX.match(name) or STABLE.match(name))


def lookup(names: Iterable[str], data: Path = DATA) -> Table:
    """Return what is known about NAMES."""
    wanted = set(names)
    masks: dict[str, int] = {}
    minors: tuple[Minor, ...] = ()
    mask = 0
    for line in _lines(data):
        if line.startswith("#"):
            minors = tuple(_minor(word) for word in line.split()[2:])
        elif line.startswith("@"):
            mask = int(line[1:], 16)
        elif line in wanted:
            masks[line] = mask
    return Table(minors, masks)


def exported(libraries: Path) -> set[str]:
    """Return the names that the torch in a ``lib`` folder offers to extensions."""
    found: set[str] = set()
    for name in LIBRARIES:
        if (libraries / name).is_file():
            with mapped(libraries / name) as view:
                found.update(symbol for symbol in read_elf(view).exported_names() if is_torch_name(symbol))
    return found


def add_column(minor: Minor, names: set[str], data: Path = DATA) -> None:
    """Write the table anew with one release added or replaced."""
    columns: dict[Minor, set[str]] = {}
    if data.exists():
        columns = _columns(data)
    columns[minor] = names
    minors = sorted(columns)
    groups: dict[int, list[str]] = {}
    for name in sorted(set().union(*columns.values())):
        mask = sum(1 << i for i, each in enumerate(minors) if name in columns[each])
        groups.setdefault(mask, []).append(name)
    lines = ["# torch " + " ".join(f"{a}.{b}" for a, b in minors)]
    for mask in sorted(groups):
        lines += [f"@{mask:x}", *groups[mask]]
    packed = lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)
    data.write_bytes(packed)


def main(argv: Sequence[str] | None = None) -> int:
    """Add releases of torch to the symbol table."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.audit.symbols", description=main.__doc__)
    parser.add_argument("column", nargs="+", metavar="VERSION[=FOLDER]", help="FOLDER: its torch/lib, else pip's index")
    for column in parser.parse_args(argv).column:
        version, _, folder = column.partition("=")
        with ExitStack() as stack:
            if not folder:
                target = stack.enter_context(wheels.opened([f"torch=={version}"]))
                folder = f"{target.sites[0]}/torch/lib"
            names = exported(Path(folder))
        if not names:
            parser.error(f"{folder} holds no torch libraries")
        add_column(_minor(version), names)
        sys.stdout.write(f"torch {version}: {len(names):,} names\n")
    return 0


def _columns(data: Path) -> dict[Minor, set[str]]:
    minors: tuple[Minor, ...] = ()
    columns: list[set[str]] = []
    here: list[set[str]] = []
    for line in _lines(data):
        if line.startswith("#"):
            minors = tuple(_minor(word) for word in line.split()[2:])
            columns = [set() for _ in minors]
        elif line.startswith("@"):
            here = [column for i, column in enumerate(columns) if int(line[1:], 16) >> i & 1]
        else:
            for column in here:
                column.add(line)
    return dict(zip(minors, columns, strict=True))


def _lines(data: Path) -> Iterator[str]:
    with lzma.open(data, "rt", encoding="ascii") as file:
        for line in file:
            yield line.rstrip("\n")


def _minor(text: str) -> Minor:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


if __name__ == "__main__":
    sys.exit(main())
