"""Read of an ELF file what the dynamic linker reads, and nothing else.

Program headers and the dynamic section say all that loading needs, so stripped files are no harder than
others. Exports are never listed: a name is looked up through ``DT_GNU_HASH`` and its Bloom filter, as ld.so
does.

Sources: the generic ABI (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html), symbol versions in
the LSB (https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from blackstack.audit.binary import UnreadableError
from blackstack.audit.symhash import HashTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blackstack.audit.binary import View

MACHINES = {62: "x86_64", 183: "aarch64", 190: "cuda"}

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PT_LOAD, _PT_DYNAMIC = 1, 2
_SHT_NOBITS = 8  # a section without bytes in the file
_SHN_UNDEF, _STB_LOCAL, _STB_WEAK = 0, 0, 2
_DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ = 1, 4, 5, 6, 7, 8, 10
_DT_SONAME, _DT_RPATH, _DT_PLTRELSZ, _DT_JMPREL, _DT_RUNPATH = 14, 15, 2, 23, 29
_DT_GNU_HASH, _DT_VERSYM, _DT_VERDEF, _DT_VERNEED = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFE
_MANY = 1 << 12  # dynamic entries, sections, links of a list: more than real files have; it bounds hostile ones
_MOST_IMPORTS = 1 << 20
_MOST_NAME_BYTES = 1 << 26  # of all imported names together


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name that a file wants from others; where it insists on a version, of which library."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """A version that a file wants of a library; ld.so checks these before any symbol."""

    library: str
    version: str
    weak: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header."""

    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """One named section; files without section headers simply have none."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Elf:
    """An ELF file, ready to be asked."""

    view: View = field(repr=False)
    machine: str
    flags: int
    segments: tuple[Segment, ...]
    section_table: tuple[int, int, int]

    # -- what it says about itself ---------------------------------------------------------------------------

    @property
    def soname(self) -> str:
        """The name under which other files ask for this one."""
        return self._dynamic_string(_DT_SONAME)

    @property
    def rpath(self) -> tuple[str, ...]:
        """``DT_RPATH``: searched for this file's libraries *and* for theirs."""
        return _paths(self._dynamic_string(_DT_RPATH))

    @property
    def runpath(self) -> tuple[str, ...]:
        """``DT_RUNPATH``: searched for this file's own libraries only; its presence switches RPATH off."""
        return _paths(self._dynamic_string(_DT_RUNPATH))

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """``DT_NEEDED``, in order."""
        return tuple(self._string(offset) for offset in self._dynamic.get(_DT_NEEDED, ()))

    @property
    def dynamic(self) -> bool:
        """Can it be loaded at all? Static archives' members and cubins cannot."""
        return any(segment.kind == _PT_DYNAMIC for segment in self.segments)

    @cached_property
    def wanted_versions(self) -> tuple[Need, ...]:
        """Every (library, version) of ``DT_VERNEED``."""
        return tuple(Need(library, name, weak) for library, name, _, weak in self._verneed())

    @cached_property
    def defined_versions(self) -> Mapping[int, str]:
        """``DT_VERDEF``: version index → name; empty in a library without versions."""
        start = self._address(_DT_VERDEF)
        if start is None:
            return {}
        found: dict[int, str] = {}
        for offset in self._linked(start, next_at=16):
            auxiliary = offset + self.view.u32(offset + 12)
            found[self.view.u16(offset + 4) & 0x7FFF] = self._string(self.view.u32(auxiliary))
        return found

    @cached_property
    def imports(self) -> tuple[Symbol, ...]:
        """The undefined symbols that a relocation names.

        Only those are resolved by ld.so. gcc 13 leaves ``_ZSt21ios_base_library_initv`` undefined without
        one.
        """
        wanted: set[int] = set()
        strings, size = self._strings if self._dynamic else (0, 0)
        self.view.expect(strings, size)
        for table, length in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
            wanted |= self._relocated(table, length)
        wanted.discard(0)
        if len(wanted) > _MOST_IMPORTS:
            raise UnreadableError("relocations name more symbols than a file can have")
        versions = {index: (name, library) for library, name, index, _ in self._verneed()}
        found = []
        length = 0
        for index in sorted(wanted):
            name, info, section = self._symbol(index)
            if section == _SHN_UNDEF and info >> 4 != _STB_LOCAL:
                version, library = versions.get(self._version_index(index) & 0x7FFF, ("", ""))
                found.append(Symbol(self._string(name), version, library, info >> 4 == _STB_WEAK))
                length += len(found[-1].name)
                if length > _MOST_NAME_BYTES:
                    raise UnreadableError("its symbols' names are longer than any real ones")
        return tuple(found)

    def exports(self, symbol: Symbol, hashed: int) -> bool:
        """Would ld.so bind SYMBOL (whose GNU hash is HASHED) to this file?"""
        wanted = symbol.name.encode()
        for index in self._hashes.candidates(wanted, hashed):
            name, info, section = self._symbol(index)
            if section == _SHN_UNDEF or info >> 4 == _STB_LOCAL:
                continue
            if self._name_is(name, wanted) and self._version_fits(index, symbol.version):
                return True
        return False

    def exported_names(self) -> Iterator[str]:
        """Every defined name, by walking the hash table's chains; for the generator of the symbol table."""
        for index in self._hashes.indices():
            name, info, section = self._symbol(index)
            if section != _SHN_UNDEF and info >> 4 != _STB_LOCAL:
                yield self._string(name)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; empty when they were stripped."""
        table, count, names_at = self.section_table
        if not table or not count or names_at >= count or count > _MANY:
            return ()
        rows = [self.view.unpack(_SECTION, table + i * _SECTION.size) for i in range(count)]
        strings = rows[names_at][4]
        return tuple(
            Section(_text(self.view.cstring(strings + row[0], _MANY)), row[4], row[5])
            for row in rows
            if row[1] != _SHT_NOBITS
        )

    # -- how it is stored ------------------------------------------------------------------------------------

    @cached_property
    def _dynamic(self) -> Mapping[int, tuple[int, ...]]:
        segment = next((s for s in self.segments if s.kind == _PT_DYNAMIC), None)
        if segment is None:
            return {}
        found: dict[int, list[int]] = {}
        for i in range(min(segment.size // 16, _MANY)):
            tag = self.view.u64(segment.offset + i * 16)
            if not tag:
                break
            found.setdefault(tag, []).append(self.view.u64(segment.offset + i * 16 + 8))
        return {tag: tuple(values) for tag, values in found.items()}

    def _value(self, tag: int) -> int | None:
        values = self._dynamic.get(tag)
        return values[0] if values else None

    def _address(self, tag: int) -> int | None:
        value = self._value(tag)
        return None if value is None else self._offset(value)

    def _offset(self, address: int) -> int:
        for segment in self.segments:
            if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
                return segment.offset + address - segment.address
        raise UnreadableError(f"address {address:#x} is in no segment of the file")

    @cached_property
    def _strings(self) -> tuple[int, int]:
        start = self._address(_DT_STRTAB)
        if start is None:
            raise UnreadableError("there is no dynamic string table")
        return start, self._value(_DT_STRSZ) or self.view.size - start

    @cached_property
    def _symbols(self) -> int:
        start = self._address(_DT_SYMTAB)
        if start is None:
            raise UnreadableError("there is no dynamic symbol table")
        return start

    @cached_property
    def _hashes(self) -> HashTable:
        return HashTable(self.view, gnu=self._address(_DT_GNU_HASH), sysv=self._address(_DT_HASH))

    @cached_property
    def _versions(self) -> int | None:
        return self._address(_DT_VERSYM)

    def _string(self, offset: int) -> str:
        start, size = self._strings
        if offset >= size:
            raise UnreadableError(f"a name lies outside of the string table ({offset:#x} of {size:#x})")
        return _text(self.view.cstring(start + offset))

    def _dynamic_string(self, tag: int) -> str:
        value = self._value(tag)
        return "" if value is None else self._string(value)

    def _name_is(self, offset: int, wanted: bytes) -> bool:
        start, size = self._strings
        if offset + len(wanted) + 1 > size:
            return False
        return self.view.raw(start + offset, len(wanted) + 1) == wanted + b"\0"

    def _symbol(self, index: int) -> tuple[int, int, int]:
        name, info, _, section, _, _ = self.view.unpack(_SYMBOL, self._symbols + index * _SYMBOL.size)
        return name, info, section

    def _version_index(self, index: int) -> int:
        return 1 if self._versions is None else self.view.u16(self._versions + 2 * index)

    def _version_fits(self, index: int, wanted: str) -> bool:
        if self._versions is None or not self.defined_versions:
            return True  # ld.so: a library without versions satisfies any
        number = self._version_index(index)
        if wanted:
            return self.defined_versions.get(number & 0x7FFF) == wanted
        return number & 0x8000 == 0 or number & 0x7FFF < 3  # noqa: PLR2004 - local, global, and the base version

    def _linked(self, start: int, *, next_at: int) -> Iterator[int]:
        offset = start
        for _ in range(_MANY):
            yield offset
            step = self.view.u32(offset + next_at)
            if not step:
                return
            offset += step
        raise UnreadableError("a list of versions does not end")

    def _verneed(self) -> Iterator[tuple[str, str, int, bool]]:
        start = self._address(_DT_VERNEED)
        if start is None:
            return
        for offset in self._linked(start, next_at=12):
            library = self._string(self.view.u32(offset + 4))
            if not self.view.u16(offset + 2):
                continue
            for entry in self._linked(offset + self.view.u32(offset + 8), next_at=12):
                weak = bool(self.view.u16(entry + 4) & 2)
                yield library, self._string(self.view.u32(entry + 8)), self.view.u16(entry + 6), weak

    def _relocated(self, table: int, length: int) -> set[int]:
        """Symbol numbers named by one relocation table, read in pieces so that memory stays small."""
        start = self._address(table)
        left = self._value(length) or 0
        self.view.expect(start or 0, left)
        found: set[int] = set()
        if start is None:
            return found
        step = 24 << 16
        for offset in range(start, start + left - left % 24, step):
            size = min(step, start + left - left % 24 - offset)
            infos = self.view.raw(offset, size).cast("Q")[1::3]
            found.update(info >> 32 for info in set(infos))  # most are R_*_RELATIVE: one value, no symbol
        return found


def read_elf(view: View) -> Elf:
    """Read the headers of an ELF file; what is not a whole 64-bit little-endian one is unreadable."""
    if view.size < _HEADER.size or view.copy(0, 4) != b"\x7fELF":
        raise UnreadableError("not an ELF file")
    if view.copy(4, 2) != b"\x02\x01":
        raise UnreadableError("not a 64-bit little-endian ELF file")
    header = view.unpack(_HEADER, 0)
    machine, at, sections_at, flags, size, count = (header[i] for i in (2, 5, 6, 7, 9, 10))
    if count and size != _SEGMENT.size:
        raise UnreadableError(f"program headers of {size} bytes")
    segments = []
    for i in range(count):
        kind, _, offset, address, _, stored, _, _ = view.unpack(_SEGMENT, at + i * _SEGMENT.size)
        if kind in {_PT_LOAD, _PT_DYNAMIC} and offset + stored > view.size:
            raise UnreadableError(f"truncated: {view.size:,} bytes, its headers promise {offset + stored:,}")
        segments.append(Segment(kind, offset, address, stored))
    return Elf(
        view=view,
        machine=MACHINES.get(machine, f"machine {machine}"),
        flags=flags,
        segments=tuple(segments),
        section_table=(sections_at, header[12], header[13]) if header[11] == _SECTION.size else (0, 0, 0),
    )


def _paths(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(":") if part)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


_SYMBOL = struct.Struct("<IBBHQQ")
