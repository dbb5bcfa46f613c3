"""Name the kernels of a piece of GPU code: the only part of an audit that decompresses anything.

LZ4 blocks (CUDA 12) are read here; it is a page of code, and an audit must work where nothing is installed.
zstd (CUDA 13) is Python's own from 3.14 on, or the ``zstandard`` package; without either the names are not
told. LZ4 block format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from blackstack.audit.binary import UnreadableError

if TYPE_CHECKING:
    from blackstack.audit.binary import View
    from blackstack.audit.fatbin import Image

_HEAD = 1 << 16  # bytes: a cubin begins with its section names, PTX does not, but its first kernels say enough
_ENTRY = re.compile(rb"\.entry\s+([\w$]+)")
_TEXT = re.compile(rb"\.text\.([\w$]+)\0")
_RUN = 15


def kernel_names(view: View, image: Image) -> tuple[str, ...]:
    """Return the mangled names of the kernels in an image; nothing if it cannot be unpacked here."""
    if image.kind == "other":
        return ()
    packed = view.copy(image.offset, min(image.stored, _HEAD))
    data: bytes | None = packed
    if image.packing == "lz4":
        data = lz4_head(packed, min(image.raw, _HEAD))
    elif image.packing == "zstd":
        data = _zstd_head(packed, min(image.raw, _HEAD))
    names = (_ENTRY if image.kind == "ptx" else _TEXT).findall(data or b"")
    return tuple(sorted({name.decode() for name in names}))


def lz4_head(packed: bytes, size: int) -> bytes:
    """Unpack up to SIZE bytes of an LZ4 block of which perhaps only the beginning is here."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed) and len(out) < size:
            token = packed[at]
            length, at = _length(packed, at + 1, token >> 4)
            out += packed[at : at + length]
            at += length
            if at >= len(packed):
                break  # the last sequence has no match
            distance = packed[at] | packed[at + 1] << 8
            length, at = _length(packed, at + 2, token & _RUN)
            length = min(length + 4, size)
            start = len(out) - distance
            if not distance or start < 0:
                raise UnreadableError("an LZ4 block points outside of itself")
            if distance >= length:
                out += out[start : start + length]
            else:  # an overlapping match repeats its last DISTANCE bytes
                out += (out[start:] * (length // distance + 1))[:length]
    except IndexError:
        pass  # the rest was not read
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


def _zstd_head(packed: bytes, size: int) -> bytes | None:
    """Unpack the beginning of a zstd frame; None if this Python cannot."""
    for name in ("compression.zstd", "zstandard"):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        try:
            if name == "zstandard":
                return bytes(module.ZstdDecompressor().stream_reader(packed).read(size))
            return bytes(module.ZstdDecompressor().decompress(packed, max_length=size))
        except module.ZstdError as error:
            raise UnreadableError(f"a zstd image is corrupt: {error}") from None
    return None
