"""Make what the audit reads: libraries with gcc, fat binaries by hand, folders of packages, saved images."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import struct
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUBIN, PTX = 2, 1
LZ4, ZSTD, EXACT, FAMILY = 0x2000, 0x8000, 0x100000, 0x200000


def library(
    path: Path,
    *,
    defines: Sequence[str] = (),
    wants: Sequence[str] = (),
    needs: Sequence[Path] = (),
    soname: str = "",
    flags: Sequence[str] = (),
    fatbin: bytes = b"",
    versions: str = "",
) -> Path:
    """Compile a stripped library that defines, wants and needs what is said; names may be mangled C++."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'int f{i}(void) __asm__("{name}"); int f{i}(void) {{ return 0; }}' for i, name in enumerate(defines)]
    lines += [f'extern int w{i}(void) __asm__("{name}");' for i, name in enumerate(wants)]
    calls = "".join(f" + w{i}()" for i in range(len(wants)))
    lines.append(f"static __attribute__((used)) int use(void) {{ return 0{calls}; }}")
    if fatbin:
        data = ",".join(map(str, fatbin))
        lines.append(
            f'__attribute__((used, aligned(8), section(".nv_fatbin"))) static const unsigned char code[] = {{{data}}};'
        )
    command = ["gcc", "-w", "-shared", "-fPIC", "-s", "-nostdlib", "-xc", "-o", str(path), "-", "-xnone"]
    command += [str(need) for need in needs] + list(flags)
    command += [f"-Wl,-soname,{soname}"] if soname else []
    if versions:
        script = path.with_suffix(".map")
        script.write_text(versions)
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, input="\n".join(lines), text=True, check=True)
    return path


def image(
    number: int,
    kind: int = CUBIN,
    *,
    flags: int = 0,
    isa: tuple[int, int] = (8, 7),
    data: bytes = b"\0" * 16,
    raw: int = 0,
) -> bytes:
    """Return one image of a fat binary."""
    padded = data + b"\0" * (-len(data) % 8)
    head = struct.pack(
        "<HHIQIIHHIIIQQQ",
        kind,
        0x101,
        64,
        len(padded),
        len(data),
        0,
        isa[1],
        isa[0],
        number,
        0,
        0,
        flags,
        0,
        raw,
    )
    return head + padded


def container(*images: bytes) -> bytes:
    """Return one container: a translation unit."""
    body = b"".join(images)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def distribution(site: Path, name: str, version: str, requires: Sequence[str] = (), files: Sequence[Path] = ()) -> None:
    """Write the metadata of an installed distribution."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    demands = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{demands}\n")
    (info / "RECORD").write_text("".join(f"{file.relative_to(site)},,\n" for file in files))


NEW_SYMBOL = "_ZN3c104cuda9SetDeviceEab"  # c10::cuda::SetDevice(signed char, bool): torch 2.8 and no other
OLD_SYMBOL = "_ZN3c104cuda9SetDeviceEa"
SHARED_SYMBOL = "_ZN3c1010TensorImpl17set_requires_gradEb"


def torch(site: Path, version: str, cuda: str = "12.8", *, exports: Sequence[str] = (), fatbin: bytes = b"") -> Path:
    """Install a toy torch: five libraries with the right names, and the two files that are read."""
    lib = site / "torch" / "lib"
    shutil.copytree(_torch_libraries(tuple(exports), fatbin, cuda=bool(cuda)), lib)
    quoted = f"'{cuda}'" if cuda else "None"
    (site / "torch" / "version.py").write_text(f"__version__ = '{version}'\ncuda: Optional[str] = {quoted}\n")
    (site / "torch" / "__init__.py").write_text('_preload_cuda_deps("cuda_nvrtc", "libnvrtc.so.*[0-9]")\n')
    distribution(site, "torch", version.partition("+")[0], files=sorted(lib.glob("*.so")))
    return lib


@cache
def _torch_libraries(exports: tuple[str, ...], fatbin: bytes, *, cuda: bool) -> Path:
    """Compile them once for all tests."""
    lib = Path(tempfile.mkdtemp(prefix="audit-tests-"))
    atexit.register(shutil.rmtree, lib, ignore_errors=True)
    c10 = library(lib / "libc10.so", soname="libc10.so", defines=(SHARED_SYMBOL, *exports))
    cpu = library(lib / "libtorch_cpu.so", soname="libtorch_cpu.so", flags=["-Wl,--no-as-needed", str(c10)])
    needs = [cpu]
    if cuda:
        c10_cuda = library(lib / "libc10_cuda.so", soname="libc10_cuda.so", defines=["c10_cuda_here"])
        needs += [c10_cuda, library(lib / "libtorch_cuda.so", soname="libtorch_cuda.so", fatbin=fatbin)]
    links = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", *map(str, needs), str(c10)]
    library(lib / "libtorch_python.so", soname="libtorch_python.so", flags=links)
    library(lib / "libtorch_global_deps.so", soname="libtorch_global_deps.so")
    return lib


def extension(
    site: Path,
    path: str,
    *,
    wants: Sequence[str] = (),
    lib: Path | None = None,
    fatbin: bytes = b"",
    flags: Sequence[str] = (),
) -> Path:
    """Compile an extension that is linked with the toy torch, as setuptools does: without any search path."""
    links = [str(lib / "libc10.so"), str(lib / "libtorch_cpu.so")] if lib else []
    return library(site / path, wants=wants, flags=["-Wl,--no-as-needed", *links, *flags], fatbin=fatbin)


def saved_image(path: Path, layers: Sequence[Mapping[str, bytes | str]], env: Sequence[str] = ()) -> Path:
    """Write what `docker save` writes; a value of text is a link's target."""
    documents: dict[str, bytes] = {"config.json": json.dumps({"config": {"Env": list(env)}}).encode()}
    names = []
    for number, files in enumerate(layers):
        names.append(f"layer{number}/layer.tar")
        documents[names[-1]] = _tar(files)
    documents["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    path.write_bytes(_tar(documents))
    return path


def _tar(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
