"""Which GPU code runs on which GPU: the rule alone, no files.

NVIDIA's rule (https://docs.nvidia.com/cuda/blackwell-compatibility-guide/): a cubin for X.Y runs on X.Z
with Z >= Y; ``a`` code runs on that very chip; ``f`` code on the family; PTX is compiled by the driver for
anything newer, if the driver knows the PTX version. Tried on an H200 with 21 tiny programs; all ran or
failed as predicted here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Way = Literal["native", "ptx", "none"]
Version = tuple[int, int]

#: Cards by name, so that nobody has to know a compute capability by heart.
GPUS: dict[str, Version] = {
    "rtx-5090": (12, 0),
    "rtx-5080": (12, 0),
    "rtx-5070-ti": (12, 0),
    "rtx-5070": (12, 0),
    "rtx-5060-ti": (12, 0),
    "rtx-5060": (12, 0),
    "rtx-pro-6000": (12, 0),
    "gb10": (12, 1),
    "dgx-spark": (12, 1),
    "thor": (11, 0),
    "b300": (10, 3),
    "b200": (10, 0),
    "h200": (9, 0),
    "h100": (9, 0),
    "rtx-4090": (8, 9),
    "l40s": (8, 9),
    "rtx-3090": (8, 6),
    "a100": (8, 0),
    "t4": (7, 5),
}

#: The first driver branch for a CUDA version (CUDA toolkit release notes, table 3).
DRIVERS: dict[int, Version] = {
    525: (12, 0),
    530: (12, 1),
    535: (12, 2),
    545: (12, 3),
    550: (12, 4),
    555: (12, 5),
    560: (12, 6),
    565: (12, 7),
    570: (12, 8),
    575: (12, 9),
    580: (13, 0),
    590: (13, 1),
    595: (13, 2),
}

#: PTX versions that do not follow «8.n is CUDA 12.n» (PTX ISA, release history).
_PTX: dict[Version, Version] = {(8, 5): (12, 5), (8, 6): (12, 7), (8, 7): (12, 8), (8, 8): (12, 9)}
_RENAMED = {101: 110}  # CUDA 12 called Thor sm_101, CUDA 13 calls it sm_110


@dataclass(frozen=True, order=True, slots=True)
class Arch:
    """A target of the compiler: ``sm_90a`` is (9, 0, "a")."""

    major: int
    minor: int
    suffix: str = ""

    @classmethod
    def of(cls, number: int, suffix: str = "") -> Arch:
        """Make one from the number in the file: 120 is 12.0."""
        return cls(*divmod(_RENAMED.get(number, number), 10), suffix)

    def __str__(self) -> str:
        return f"{self.major}{self.minor}{self.suffix}"

    def cubin_runs_on(self, gpu: Version) -> bool:
        """Does machine code for this target run on GPU?"""
        if self.suffix == "a":
            return gpu == (self.major, self.minor)
        return gpu[0] == self.major and gpu[1] >= self.minor

    def ptx_runs_on(self, gpu: Version) -> bool:
        """Can a driver compile PTX for this target into code for GPU?"""
        if self.suffix == "a":
            return gpu == (self.major, self.minor)
        if self.suffix == "f":
            return gpu[0] == self.major and gpu[1] >= self.minor
        return gpu >= (self.major, self.minor)


def cuda_of_ptx(isa: Version) -> Version:
    """Return the CUDA version that a driver must have to compile PTX of version ISA."""
    if isa in _PTX:
        return _PTX[isa]
    return isa[0] + 4, isa[1]  # 7.n is CUDA 11.n, 8.n is 12.n, 9.n is 13.n


def cuda_of_driver(driver: str) -> Version:
    """Return the CUDA version of a driver such as ``570.133``."""
    found = re.match(r"\d+", driver)
    if not found:
        raise ValueError(f"{driver!r} is not a driver version, as in 570.133")
    branch = int(found[0])
    known = [number for number in DRIVERS if number <= branch]
    return DRIVERS[max(known)] if known else (11, 8)


def gpu_version(text: str) -> Version:
    """Read ``12.0``, ``120``, ``sm_120`` or a card's name."""
    name = text.lower().replace("_", "-").replace(" ", "-").removeprefix("nvidia-").removeprefix("geforce-")
    if name in GPUS:
        return GPUS[name]
    found = re.fullmatch(r"(?:sm-?)?(\d{1,2})\.?(\d)[af]?", name)
    if not found:
        raise ValueError(f"no GPU called {text!r}; known: {', '.join(GPUS)}, or a capability such as 12.0")
    return int(found[1]), int(found[2])
