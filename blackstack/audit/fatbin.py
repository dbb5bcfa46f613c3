"""Read which GPUs a library has code for, from the headers of its fat binaries; nothing is decompressed.

``.nv_fatbin`` is a row of containers, one for each translation unit, and each holds images: cubins (machine
code of one target) and PTX. Layout, in bytes, little-endian::

    container  0 u32 0xBA55ED50   4 u16 version   6 u16 header size   8 u64 size of the images
    image      0 u16 kind (1 PTX, 2 cubin)        4 u32 header size   8 u64 padded size  16 u32 stored size
              24 u16 minor  26 u16 major          28 u32 SM          40 u64 flags        56 u64 raw size

For PTX, major and minor are those of the PTX ISA. The flags for ``a`` and ``f`` were found by compiling for
every target and reading back; they agree with cuobjdump on wheels built by CUDA 12 and 13.
Format notes: https://github.com/n-eiling/cuda-fatbin-decompression, https://github.com/jiegec/fatbinary.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from blackstack.audit.arch import Arch, Version, cuda_of_ptx
from blackstack.audit.binary import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.arch import Way
    from blackstack.audit.binary import View
    from blackstack.audit.elf import Elf

MAGIC = struct.pack("<I", 0xBA55ED50)
CODE, RELOCATABLE = ".nv_fatbin", "__nv_relfatbin"

_CONTAINER = struct.Struct("<IHHQ")
_IMAGE = struct.Struct("<HHIQIIHHIIIQQQ")
_LZ4, _ZSTD, _EXACT, _FAMILY = 0x2000, 0x8000, 0x100000, 0x200000
_PTX, _CUBIN = 1, 2
_MOST = 1 << 16  # containers of a file: none has as many, and a hostile one ends here
_MOST_IMAGES = 1 << 10  # of one container


@dataclass(frozen=True, slots=True)
class Image:
    """One piece of GPU code and where it lies."""

    kind: Literal["cubin", "ptx", "other"]
    arch: Arch
    isa: Version
    offset: int
    stored: int
    raw: int
    packing: Literal["", "lz4", "zstd"]

    def way(self, gpu: Version, driver_cuda: Version | None) -> Way:
        """How does this image run on GPU? An unknown driver is taken to be new enough."""
        if self.kind == "cubin" and self.arch.cubin_runs_on(gpu):
            return "native"
        if self.kind == "ptx" and self.arch.ptx_runs_on(gpu) and self.driver_compiles(driver_cuda):
            return "ptx"
        return "none"

    def driver_compiles(self, driver_cuda: Version | None) -> bool:
        """Does the driver know this version of PTX?"""
        return driver_cuda is None or cuda_of_ptx(self.isa) <= driver_cuda


@dataclass(frozen=True, slots=True)
class Unit:
    """The GPU code of one translation unit: the same kernels, for several targets."""

    images: tuple[Image, ...]
    linked_ptx: tuple[Image, ...] = ()

    def way(self, gpu: Version, driver_cuda: Version | None = None) -> Way:
        """Native if any image is, else by PTX, else not at all."""
        ways = {image.way(gpu, driver_cuda) for image in (*self.images, *self.linked_ptx)}
        return "native" if "native" in ways else "ptx" if "ptx" in ways else "none"

    @property
    def for_chosen_chips(self) -> bool:
        """Does it hold ``a`` and ``f`` images only? Then it is for those chips, and absence is by design."""
        return bool(self.images) and all(image.arch.suffix for image in self.images)


def read_units(elf: Elf) -> tuple[Unit, ...]:
    """Return the translation units of a library that hold GPU code."""
    code, relocatable = list(_regions(elf, CODE)), list(_regions(elf, RELOCATABLE))
    if not code and not relocatable and not elf.sections:
        code = [(segment.offset, segment.size) for segment in elf.segments if segment.kind == 1]
    found = [images for start, size in code for images in containers(elf.view, start, size) if images]
    # With -rdc=true the linked code is in .nv_fatbin, and the driver may link anew from the objects' PTX.
    # Tried on an H200: «sm_80 + PTX 80» ran there, «sm_80» alone did not.
    linked = tuple(
        image
        for start, size in relocatable
        for images in containers(elf.view, start, size)
        for image in images
        if image.kind == "ptx"
    )
    return tuple(Unit(images, linked) for images in found)


def containers(view: View, start: int, size: int) -> Iterator[tuple[Image, ...]]:
    """Yield the images of each container in a region; what lies between containers is skipped."""
    end = start + size
    at = start
    for _ in range(_MOST):
        at = view.find(MAGIC, at, end)
        if at < 0:
            return
        if at + _CONTAINER.size > end:
            return
        _, version, header, length = view.unpack(_CONTAINER, at)
        if version != 1 or header != _CONTAINER.size:
            at += len(MAGIC)  # the same four bytes by accident
            continue
        if at + header + length > end:
            raise UnreadableError(f"a fat binary at {at:#x} is cut off")
        yield tuple(_images(view, at + header, at + header + length))
        at += header + length
    raise UnreadableError("more fat binaries than a file can have")


def _images(view: View, start: int, end: int) -> Iterator[Image]:
    at = start
    for _ in range(_MOST_IMAGES):
        if at + _IMAGE.size > end:
            return
        kind, _, header, padded, stored, _, minor, major, number, _, _, flags, _, raw = view.unpack(_IMAGE, at)
        if header < _IMAGE.size or at + header + padded > end or stored > padded:
            raise UnreadableError(f"a GPU image at {at:#x} is cut off")
        suffix = "a" if flags & _EXACT else "f" if flags & _FAMILY else ""
        yield Image(
            kind="ptx" if kind == _PTX else "cubin" if kind == _CUBIN else "other",
            arch=Arch.of(number, suffix),
            isa=(major, minor),
            offset=at + header,
            stored=stored or padded,
            raw=raw,
            packing="lz4" if flags & _LZ4 else "zstd" if flags & _ZSTD else "",
        )
        at += header + padded
    raise UnreadableError("more GPU images for one unit than there are GPUs")


def _regions(elf: Elf, name: str) -> Iterator[tuple[int, int]]:
    for section in elf.sections:
        if section.name == name:
            if section.offset + section.size > elf.view.size:
                raise UnreadableError(f"truncated within {name}")
            yield section.offset, section.size
