"""Find a name in a library as ld.so does: one Bloom filter word, one bucket, a short chain.

libtorch_cpu.so exports 190,000 names; nobody needs the list to know whether one is there.
Sources: glibc ``elf/dl-lookup.c``; https://sourceware.org/legacy-ml/binutils/2006-10/msg00377.html (GNU
hash); generic ABI, figure 5-13 (the older hash).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from blackstack.audit.binary import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from blackstack.audit.binary import View

_GNU = struct.Struct("<IIII")
_LONGEST = 1 << 12  # links of a chain: more than any real table has, and an end to a hostile one


class HashTable:
    """The symbol hash table of one library; the GNU one where there is one, else the older one."""

    def __init__(self, view: View, *, gnu: int | None, sysv: int | None) -> None:
        self._view = view
        self._sysv = sysv
        self._gnu = gnu
        if gnu is None:
            return
        buckets, self._first, words, self._shift = view.unpack(_GNU, gnu)
        if not buckets or not words:
            raise UnreadableError("the symbol hash table is empty")
        chains = gnu + _GNU.size + 8 * words + 4 * buckets
        self._bloom = view.raw(gnu + _GNU.size, 8 * words).cast("Q")
        self._buckets = view.raw(chains - 4 * buckets, 4 * buckets).cast("I")
        self._chains = view.raw(chains, (view.size - chains) // 4 * 4).cast("I")

    def candidates(self, name: bytes, hashed: int) -> Iterable[int]:
        """Return the numbers of the symbols whose hash is that of NAME (HASHED, by `gnu_hash`)."""
        if self._gnu is not None:
            return self._by_gnu(hashed)
        return self._by_sysv(name) if self._sysv is not None else ()

    def indices(self) -> Iterator[int]:
        """Yield the number of every symbol that others may find."""
        if self._gnu is not None:
            last = max(self._buckets, default=0)
            if last < self._first:
                return
            for index in range(last - self._first, len(self._chains)):
                if self._chains[index] & 1:
                    yield from range(self._first, self._first + index + 1)
                    return
            raise UnreadableError("a chain of the symbol hash table does not end")
        if self._sysv is not None:
            yield from range(1, min(self._view.u32(self._sysv + 4), self._view.size // 24))

    def _by_gnu(self, hashed: int) -> Iterable[int]:
        word = self._bloom[hashed // 64 % len(self._bloom)]
        if not (word >> (hashed % 64)) & (word >> ((hashed >> (self._shift & 31)) % 64)) & 1:
            return ()  # nine of ten lookups end here
        return self._chain(self._buckets[hashed % len(self._buckets)] - self._first, hashed | 1)

    def _chain(self, start: int, hashed: int) -> Iterator[int]:
        if start < 0:
            return
        for index in range(start, min(start + _LONGEST, len(self._chains))):
            link = self._chains[index]
            if link | 1 == hashed:
                yield index + self._first
            if link & 1:
                return
        raise UnreadableError("a chain of the symbol hash table does not end")

    def _by_sysv(self, name: bytes) -> Iterator[int]:
        assert self._sysv is not None  # noqa: S101 - the caller looked
        buckets = self._view.u32(self._sysv)
        if not buckets:
            return
        index = self._view.u32(self._sysv + 8 + 4 * (sysv_hash(name) % buckets))
        for _ in range(_LONGEST):
            if not index:
                return
            yield index
            index = self._view.u32(self._sysv + 8 + 4 * buckets + 4 * index)
        raise UnreadableError("a chain of the symbol hash table does not end")


@lru_cache(maxsize=1 << 16)
def gnu_hash(name: str) -> int:
    """Hash a name as ``DT_GNU_HASH`` does (Bernstein's, 32 bits)."""
    value = 5381
    for byte in name.encode():
        value = value * 33 + byte & 0xFFFFFFFF
    return value


def sysv_hash(name: bytes) -> int:
    """Hash a name as ``DT_HASH`` does."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value
