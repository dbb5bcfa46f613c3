"""Name the kernels of a piece of GPU code: the only part of an audit that decompresses anything.

LZ4 blocks (CUDA 12) are read here; it is a page of code, and an audit must work where nothing is installed.
zstd (CUDA 13) is Python's own from 3.14 on, or the ``zstandard`` package; without either the names are not told.
LZ4 block format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from blackstack.audit.binary import UnreadableError, View
from blackstack.audit.elf import read_elf

if TYPE_CHECKING:
    from blackstack.audit.fatbin import Image

LARGEST = 16 << 20  # bytes of one image after unpacking; only names are wanted, and a hostile size ends here
_ENTRY = re.compile(rb"\.entry\s+([\w$]+)")
_RUN = 15


def kernel_names(view: View, image: Image) -> tuple[str, ...]:
    """Return the mangled names of the kernels in an image; nothing if it cannot be unpacked here."""
    if max(image.raw, image.stored) > LARGEST or image.kind == "other":
        return ()
    packed = view.bytes(image.offset, image.stored)
    data: bytes | None = packed
    if image.packing == "lz4":
        data = lz4_block(packed, image.raw)
    elif image.packing == "zstd":
        data = _zstd(packed, image.raw)
    if data is None:
        return ()
    if image.kind == "ptx":
        return tuple(sorted({name.decode() for name in _ENTRY.findall(data)}))
    sections = read_elf(View(data)).sections
    return tuple(sorted(s.name.removeprefix(".text.") for s in sections if s.name.startswith(".text.")))


def lz4_block(packed: bytes, size: int) -> bytes:
    """Unpack one LZ4 block whose unpacked SIZE is known."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed):
            token = packed[at]
            length, at = _length(packed, at + 1, token >> 4)
            out += packed[at : at + length]
            at += length
            if at >= len(packed) or len(out) >= size:
                break  # the last sequence has no match
            distance = packed[at] | packed[at + 1] << 8
            length, at = _length(packed, at + 2, token & _RUN)
            length += 4
            start = len(out) - distance
            if not distance or start < 0 or len(out) + length > size:
                raise UnreadableError("an LZ4 block points outside of itself")
            if distance >= length:
                out += out[start : start + length]
            else:  # an overlapping match repeats its last DISTANCE bytes
                out += (out[start:] * (length // distance + 1))[:length]
    except IndexError:
        raise UnreadableError("an LZ4 block ends too early") from None
    return bytes(out[:size])


def _length(packed: bytes, at: int, start: int) -> tuple[int, int]:
    length = start
    if start == _RUN:
        while True:
            more = packed[at]
            at += 1
            length += more
            if more != 255:  # noqa: PLR2004 - the format's own «there is more»
                break
    return length, at


def _zstd(packed: bytes, size: int) -> bytes | None:
    module: Any
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        try:
            module = importlib.import_module("zstandard")
        except ImportError:
            return None
        try:
            return bytes(module.ZstdDecompressor().decompressobj().decompress(packed)[:size])
        except module.ZstdError as error:
            raise UnreadableError(f"a zstd image is corrupt: {error}") from None
    try:
        return bytes(module.ZstdDecompressor().decompress(packed, max_length=size))
    except module.ZstdError as error:
        raise UnreadableError(f"a zstd image is corrupt: {error}") from None
