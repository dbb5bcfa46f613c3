"""The ELF reader, held against pyelftools and against bytes that lie."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from hypothesis import given, settings
from hypothesis import strategies as st

from blackstack.audit.binary import UnreadableError, View, mapped
from blackstack.audit.elf import Elf, Symbol, read_elf
from blackstack.audit.fatbin import read_units
from blackstack.audit.symhash import gnu_hash
from tests.unit.audit import build

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="makes its libraries with gcc")

SYSTEM = [
    path
    for name in ("libc.so.6", "libstdc++.so.6", "libm.so.6", "libz.so.1")
    for path in sorted(Path("/usr/lib").glob(f"*-linux-gnu/{name}"))
]


def everything(elf: Elf) -> object:
    """Ask an ELF file all that an audit asks."""
    names = list(elf.exported_names())[:1000]
    asked = [elf.exports(Symbol(name), gnu_hash(name)) for name in [*names[:50], "absent"]]
    about = (
        elf.soname,
        elf.rpath,
        elf.runpath,
        elf.needed,
        elf.wanted_versions,
        elf.defined_versions,
        elf.sections,
    )
    return names, asked, about, elf.imports, read_units(elf)


@pytest.mark.parametrize("path", SYSTEM, ids=lambda path: path.name)
def test_it_agrees_with_pyelftools_on_real_libraries(path: Path) -> None:
    with path.open("rb") as file, mapped(path) as view:
        oracle: Any = ELFFile(file)
        elf = read_elf(view)
        dynamic = oracle.get_section_by_name(".dynamic")
        symbols = list(oracle.get_section_by_name(".dynsym").iter_symbols())
        defined = {s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s["st_info"]["bind"] != "STB_LOCAL"}
        relocated = {
            symbols[r["r_info_sym"]].name
            for section in oracle.iter_sections()
            if isinstance(section, RelocationSection)
            for r in section.iter_relocations()
            if r["r_info_sym"] and symbols[r["r_info_sym"]]["st_shndx"] == "SHN_UNDEF"
        }

        assert tuple(t.needed for t in dynamic.iter_tags("DT_NEEDED")) == elf.needed
        assert next(t.soname for t in dynamic.iter_tags("DT_SONAME")) == elf.soname
        assert defined - {""} == set(elf.exported_names())
        assert relocated == {symbol.name for symbol in elf.imports}
        versions = ["", *elf.defined_versions.values()]  # some names have old versions only
        for name in defined - {""}:
            assert any(elf.exports(Symbol(name, version), gnu_hash(name)) for version in versions), name
        verdef = oracle.get_section_by_name(".gnu.version_d")
        expected = {next(iter(names)).name for _, names in verdef.iter_versions()} if verdef else set()
        assert expected == set(elf.defined_versions.values())


def test_the_older_hash_table_answers_as_well(tmp_path: Path) -> None:
    path = build.library(tmp_path / "old.so", defines=["one", "two"], flags=["-Wl,--hash-style=sysv"])

    with mapped(path) as view:
        elf = read_elf(view)

        assert elf.exports(Symbol("two"), gnu_hash("two"))
        assert not elf.exports(Symbol("three"), gnu_hash("three"))
        assert {"one", "two"} <= set(elf.exported_names())


def test_only_relocated_symbols_count(tmp_path: Path) -> None:
    """What gcc 13 leaves undefined without a relocation is never looked for by ld.so."""
    path = tmp_path / "x.so"
    hidden = '__asm__(".globl nobody_uses_me; .type nobody_uses_me, @function");'
    source = f"{hidden} extern int used(void); int f(void) {{ return used(); }}"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-xc", "-o", path, "-"], input=source, text=True, check=True)

    with mapped(path) as view:
        names = {symbol.name for symbol in read_elf(view).imports if not symbol.weak}

    assert {"used"} == names


def test_a_library_without_section_headers_is_read_all_the_same(tmp_path: Path) -> None:
    code = build.container(build.image(120))
    data = bytearray(build.library(tmp_path / "x.so", defines=["f"], fatbin=code).read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[60:64] = bytes(4)  # e_shnum, e_shstrndx

    elf = read_elf(View(bytes(data)))

    assert elf.sections == ()
    assert elf.exports(Symbol("f"), gnu_hash("f"))
    assert len(read_units(elf)) == 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_an_error_and_not_skipped(tmp_path: Path, share: float) -> None:
    data = build.library(tmp_path / "x.so", defines=["f"], wants=["g"]).read_bytes()

    if share < 0.9:
        with pytest.raises(UnreadableError, match="truncated"):
            read_elf(View(data[: int(len(data) * share)]))
    else:  # the section headers, which nothing needs, are at the end
        with pytest.raises(UnreadableError):
            everything(read_elf(View(data[: int(len(data) * share)])))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    code = build.container(build.image(90), build.image(120, build.PTX)) + build.container(
        build.image(120, flags=build.EXACT)
    )
    path = tmp_path_factory.mktemp("elf") / "x.so"
    versions = "V1 { global: one; two; local: *; };"
    return build.library(
        path, defines=["one", "two"], wants=["three"], soname="x.so", fatbin=code, versions=versions
    ).read_bytes()


@settings(max_examples=120, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 15), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 1 << 15),
)
def test_any_change_gives_an_answer_or_a_clean_error(sample: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(sample)
    for at, value in changes:
        data[at % len(data)] = value
    if cut % 3 == 0:
        del data[cut % len(data) :]

    try:
        everything(read_elf(View(bytes(data))))
    except UnreadableError:
        return


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_an_answer_or_a_clean_error(tail: bytes) -> None:
    for head in (b"", b"\x7fELF\x02\x01\x01", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00"):
        try:
            everything(read_elf(View(head + tail)))
        except UnreadableError:
            continue
