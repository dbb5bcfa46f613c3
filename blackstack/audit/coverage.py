"""RUNS ON: count, for one file and one GPU, the translation units with code, and name the kernels without."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blackstack.audit.arch import Arch, cuda_of_ptx
from blackstack.audit.binary import UnreadableError
from blackstack.audit.fatbin import read_units
from blackstack.audit.kernels import kernel_names
from blackstack.audit.model import Runs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blackstack.audit.arch import Version
    from blackstack.audit.elf import Elf
    from blackstack.audit.fatbin import Unit

_NAMED = 12  # units whose kernels are named, per file
_CUBIN = struct.Struct("<4sBBBBB")
_CUBIN_MACHINE = 190
_SUFFIX = re.compile(r"sm_?(\d{2,3})([af])(?![a-z0-9])")


@dataclass(frozen=True)
class Coverage:
    """What a file's GPU code means for one GPU."""

    runs: Runs
    uncovered: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    too_new: Version | None = None  # the CUDA that a driver would need for PTX that is the only way


def cover(elf: Elf, gpu: Version, driver: Version | None, *, names: bool = True) -> Coverage | None:
    """Judge a library; None if it holds no GPU code. NAMES: say which kernels have none for this GPU."""
    units = read_units(elf)
    if not units:
        return None
    runs = Runs()
    gaps: list[Unit] = []
    needs: set[Version] = set()
    for unit in units:
        way = unit.way(gpu, driver)
        runs += Runs(**{way: 1}, other_chips=int(way == "none" and unit.for_chosen_chips))
        if way == "none" and not unit.for_chosen_chips:
            gaps.append(unit)
        if way == "none" and unit.way(gpu) == "ptx":
            needs.update(cuda_of_ptx(i.isa) for i in unit.images if i.way(gpu, None) == "ptx")
    archs = {
        f"{'compute' if image.kind == 'ptx' else 'sm'}_{image.arch}"
        for unit in units
        for image in unit.images
        if image.kind != "other"
    }
    return Coverage(runs, _names(elf, gaps) if names else (), tuple(sorted(archs)), max(needs, default=None))


def cover_cubin(path: Path, gpu: Version) -> Coverage:
    """Judge a loose cubin by its header; the ``a`` or ``f`` is only in its name."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    if len(head) < 64 or head[:4] != b"\x7fELF":  # noqa: PLR2004 - the size of an ELF header
        raise UnreadableError("not an ELF file")
    machine, flags = struct.unpack_from("<H", head, 18)[0], struct.unpack_from("<I", head, 48)[0]
    if machine != _CUBIN_MACHINE:
        raise UnreadableError(f"not GPU code (machine {machine})")
    number = flags >> 8 & 0xFF if head[8] >= 8 else flags & 0xFF  # noqa: PLR2004 - the ABI of CUDA 12.8 on
    named = _SUFFIX.search(path.as_posix())
    suffix = named[2] if named and int(named[1]) == number else ""
    arch = Arch.of(number, suffix)
    runs = Runs(native=1) if arch.cubin_runs_on(gpu) else Runs(none=1, other_chips=int(bool(suffix)))
    return Coverage(runs, archs=(f"sm_{arch}",))


def _names(elf: Elf, units: Iterable[Unit]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for unit in list(units)[:_NAMED]:
        image = min(unit.images, key=lambda image: image.raw or image.stored)
        try:
            found.update(dict.fromkeys(kernel_names(elf.view, image)))
        except UnreadableError:
            continue  # a name that cannot be read is a name less; the count stands
    return tuple(found)
