"""Fuzz the readers, guided by coverage: `nox -s fuzz -- 60`, or `python benchmarks/audit_fuzz.py CORPUS …`.

Needs ``pip install atheris``; an empty CORPUS gets a few small libraries to begin with. Any exception but
`UnreadableError`, any input that takes more than a second, and any that takes more than 512 MB, stops the
run (libFuzzer's own options).
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["blackstack.audit"]):
    from blackstack.audit.binary import UnreadableError, View
    from blackstack.audit.elf import Symbol, read_elf
    from blackstack.audit.fatbin import containers, read_units
    from blackstack.audit.kernels import kernel_names
    from blackstack.audit.search import read_cache
    from blackstack.audit.symhash import gnu_hash

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.unit.audit import build


def everything(data: bytes) -> None:
    """Ask of some bytes all that an audit asks of a file."""
    read_cache(data)
    view = View(data)
    with contextlib.suppress(UnreadableError):
        for images in containers(view, 0, view.size):
            for image in images:
                kernel_names(view, image)
    with contextlib.suppress(UnreadableError):
        elf = read_elf(view)
        for ask in (
            lambda: (elf.soname, elf.rpath, elf.runpath, elf.needed),
            lambda: (elf.wanted_versions, elf.defined_versions, elf.sections),
            lambda: elf.imports,
            lambda: list(elf.exported_names()),
            lambda: elf.exports(Symbol("cudaMalloc"), gnu_hash("cudaMalloc")),
            lambda: read_units(elf),
        ):
            with contextlib.suppress(UnreadableError):
                ask()


def begin(corpus: Path) -> None:
    """Give the fuzzer something to change: a library, fat binaries of each packing, a linker's cache."""
    corpus.mkdir(exist_ok=True)
    if any(corpus.iterdir()):
        return
    unit = build.container(build.image(120), build.image(90, build.PTX), build.image(100, flags=build.FAMILY))
    lz4 = build.container(build.image(80, flags=build.LZ4, data=bytes(range(64)), raw=256))
    zstd = build.container(build.image(80, flags=build.ZSTD, data=bytes(range(64)), raw=256))
    build.library(
        corpus / "small.so", soname="small.so", defines=["f"], wants=["g"], fatbin=unit, versions="V1 { f; };"
    )
    for name, data in (("unit", unit), ("lz4", lz4), ("zstd", zstd), ("cache", b"glibc-ld.so.cache1.1" + bytes(60))):
        (corpus / name).write_bytes(data)


def main() -> None:
    """Hand over to libFuzzer, with bounds on time and memory."""
    begin(Path(next((word for word in sys.argv[1:] if not word.startswith("-")), ".")))
    atheris.Setup([*sys.argv, "-timeout=1", "-rss_limit_mb=512", "-max_len=65536"], everything)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
