"""Bounded reads from bytes nobody vouches for: every offset is checked, every fault is one exception.

A file is mapped, not read: the pages belong to the kernel's cache, so a 1.5 GB library costs no memory of
ours.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class UnreadableError(Exception):
    """The bytes are not what they claim to be: truncated, corrupt, or of a kind that is not known."""


class View:
    """A window on bytes with little-endian reads that raise `UnreadableError` outside of it."""

    __slots__ = ("_data", "_source", "size")

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._source = data
        self._data = memoryview(data)
        self.size = len(self._data)

    def raw(self, offset: int, length: int) -> memoryview:
        """Return LENGTH bytes at OFFSET without copying them."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise UnreadableError(f"wants {length} bytes at {offset:#x} of {self.size:#x}")
        return self._data[offset : offset + length]

    def copy(self, offset: int, length: int) -> bytes:
        """Return a copy of LENGTH bytes at OFFSET."""
        return self.raw(offset, length).tobytes()

    def unpack(self, form: struct.Struct, offset: int) -> tuple[int, ...]:
        """Read one fixed record."""
        if offset < 0 or offset + form.size > self.size:
            raise UnreadableError(f"wants {form.size} bytes at {offset:#x} of {self.size:#x}")
        return form.unpack_from(self._data, offset)

    def find(self, what: bytes, start: int, end: int) -> int:
        """Return where WHAT begins in the given range, or -1."""
        return self._source.find(what, max(start, 0), end)

    def u16(self, offset: int) -> int:
        """Read an unsigned 16-bit number."""
        return self.unpack(_U16, offset)[0]

    def u32(self, offset: int) -> int:
        """Read an unsigned 32-bit number."""
        return self.unpack(_U32, offset)[0]

    def u64(self, offset: int) -> int:
        """Read an unsigned 64-bit number."""
        return self.unpack(_U64, offset)[0]

    def cstring(self, offset: int, limit: int = 1 << 16) -> bytes:
        """Read up to the zero byte; a string that does not end within LIMIT is a fault."""
        step = 256
        end = offset
        while end - offset < limit:
            chunk = self.copy(end, min(step, self.size - end)) if end <= self.size else b""
            if not chunk:
                break
            found = chunk.find(0)
            if found >= 0:
                return self.copy(offset, end - offset + found)
            end += len(chunk)
        raise UnreadableError(f"a name at {offset:#x} has no end")

    def expect(self, offset: int, length: int) -> None:
        """Have a range read ahead that will be read whole."""
        if isinstance(self._source, mmap.mmap) and 0 <= offset < self.size:
            start = offset - offset % mmap.PAGESIZE
            self._source.madvise(mmap.MADV_WILLNEED, start, min(offset + length, self.size) - start)

    def release(self) -> None:
        """Let go of the bytes, so that a mapping can be closed."""
        self._data.release()


@contextmanager
def mapped(path: Path) -> Iterator[View]:
    """Map a file for reading; an empty or vanished one is unreadable like any other."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                raise UnreadableError("the file is empty")
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    mapping.madvise(mmap.MADV_RANDOM)  # headers lie far apart: reading ahead would read the gigabytes between
    view = View(mapping)
    try:
        yield view
    finally:
        with suppress(BufferError):  # a slice is still in use, perhaps in a traceback; it ends with its last user
            view.release()
            mapping.close()


_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
