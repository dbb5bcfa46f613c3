"""Fat binaries, cubins and the rule of what runs where."""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import lz4.block  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from blackstack.audit.arch import Arch, cuda_of_driver, cuda_of_ptx, gpu_version
from blackstack.audit.binary import UnreadableError, View, mapped
from blackstack.audit.coverage import cover, cover_cubin
from blackstack.audit.elf import read_elf
from blackstack.audit.fatbin import Image, containers, read_units
from blackstack.audit.kernels import kernel_names, lz4_head
from blackstack.audit.model import Runs
from tests.unit.audit import build

if TYPE_CHECKING:
    from pathlib import Path

CONSUMER, HOPPER = (12, 0), (9, 0)

#: Tried on an H200 (9.0, driver 580): what ran, and what answered «no kernel image is available».
RAN = ["90", "90a"]
DID_NOT_RUN = ["80", "89", "100", "100a", "100f", "103a", "120", "120a", "120f"]
JIT_RAN = ["80", "89", "90", "90a"]
JIT_DID_NOT = ["100", "100f", "120", "120f"]


def arch(text: str) -> Arch:
    return Arch.of(int(text.rstrip("af")), text.lstrip("0123456789"))


def only(data: bytes) -> Image:
    (image,) = next(iter(containers(View(data), 0, len(data))))
    return image


@pytest.mark.parametrize("target", [*RAN, *DID_NOT_RUN])
def test_the_cubin_rule_is_what_an_h200_did(target: str) -> None:
    assert (target in RAN) == arch(target).cubin_runs_on(HOPPER)


@pytest.mark.parametrize("target", [*JIT_RAN, *JIT_DID_NOT])
def test_the_ptx_rule_is_what_an_h200_did(target: str) -> None:
    assert (target in JIT_RAN) == arch(target).ptx_runs_on(HOPPER)


@pytest.mark.parametrize(
    ("target", "gpu", "runs"),
    [("120", (12, 1), True), ("120a", (12, 1), False), ("120f", (12, 1), True), ("121", (12, 0), False),
     ("101", (11, 0), True), ("100f", (10, 3), True), ("86", (8, 9), True), ("89", (8, 6), False)],
)  # fmt: skip
def test_minor_versions_exact_chips_and_families(target: str, gpu: tuple[int, int], *, runs: bool) -> None:
    assert runs == arch(target).cubin_runs_on(gpu)


def test_ptx_newer_than_the_driver_does_not_run() -> None:
    ptx = only(build.container(build.image(80, build.PTX, isa=(9, 0))))

    assert cuda_of_ptx((9, 0)) == (13, 0)
    assert ptx.way(CONSUMER, cuda_of_driver("570.133")) == "none"
    assert ptx.way(CONSUMER, cuda_of_driver("580.95")) == "ptx"
    assert ptx.way(CONSUMER, None) == "ptx"


def test_a_gpu_is_known_by_name_by_capability_and_by_target() -> None:
    assert {(12, 0)} == {gpu_version(text) for text in ("rtx-5090", "RTX 5090", "12.0", "120", "sm_120a")}
    with pytest.raises(ValueError, match="rtx-5090"):
        gpu_version("rtx-9999")


def test_units_are_counted_and_those_for_other_chips_are_told_apart(tmp_path: Path) -> None:
    code = (
        build.container(build.image(80), build.image(120))
        + build.container(build.image(80), build.image(80, build.PTX))
        + build.container(build.image(90, flags=build.EXACT))
        + build.container(build.image(80), build.image(89))
    )
    path = build.library(tmp_path / "x.so", fatbin=code)

    with mapped(path) as view:
        found = cover(read_elf(view), CONSUMER, None)

    assert found is not None
    assert Runs(native=1, ptx=1, none=2, other_chips=1) == found.runs
    assert found.archs == ("compute_80", "sm_120", "sm_80", "sm_89", "sm_90a")


def cubin(*kernels: str, flags: int = 120 << 8, abi: int = 8) -> bytes:
    """Return a cubin as nvcc lays it out: the header, then the names of the sections."""
    head = b"\x7fELF\x02\x01\x01\x33" + bytes([abi]) + bytes(7)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 0, flags, 64, 56, 0, 64, 0, 0)
    return head + b"\0" + b"".join(f".text.{name}\0.nv.info.{name}\0".encode() for name in kernels) + bytes(4096)


@pytest.mark.parametrize("packing", ["", "lz4", "zstd"])
def test_kernels_are_named_from_plain_lz4_and_zstd_images(packing: str) -> None:
    raw = cubin("_Z8hadacoreILi2EEvPf", "_Z7allspark")
    packed, flags = {
        "": (raw, 0),
        "lz4": (lz4.block.compress(raw, store_size=False), build.LZ4),
        "zstd": (zstandard.compress(raw), build.ZSTD),
    }[packing]
    data = build.container(build.image(89, flags=flags, data=packed, raw=len(raw)))

    assert kernel_names(View(data), only(data)) == ("_Z7allspark", "_Z8hadacoreILi2EEvPf")


def test_ptx_entries_are_named() -> None:
    data = build.container(build.image(80, build.PTX, data=b".visible .entry _Z1kPf(\n.param .u64 x"))

    assert kernel_names(View(data), only(data)) == ("_Z1kPf",)


@settings(deadline=None)
@given(st.lists(st.sampled_from([b"abc", b"\0" * 40, b"xyzw" * 9, b"."]), max_size=60).map(b"".join))
def test_lz4_is_what_lz4_says(data: bytes) -> None:
    assert data == lz4_head(lz4.block.compress(data, store_size=False), len(data))


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 1 << 20))
def test_any_lz4_gives_bytes_within_bounds_or_a_clean_error(data: bytes, size: int) -> None:
    with contextlib.suppress(UnreadableError):
        assert len(lz4_head(data, size)) <= size


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8), st.integers(0, 300))
def test_any_fat_binary_gives_images_or_a_clean_error(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(build.container(build.image(90), build.image(120, build.PTX)) + build.container(build.image(80)))
    for at, value in changes:
        data[at % len(data)] = value
    del data[cut + 16 :]
    view = View(bytes(data))

    with contextlib.suppress(UnreadableError):
        for images in containers(view, 0, view.size):
            for image in images:
                kernel_names(view, image)


@pytest.mark.parametrize(("flags", "abi", "runs"), [(120 << 8, 8, True), (100 << 8, 8, False), (90, 7, False)])
def test_a_loose_cubin_says_its_gpu_in_its_flags(tmp_path: Path, flags: int, abi: int, *, runs: bool) -> None:
    path = tmp_path / "kernel.cubin"
    path.write_bytes(cubin("_Z1k", flags=flags, abi=abi))

    assert runs == bool(cover_cubin(path, CONSUMER).runs.native)


def test_a_loose_cubin_says_its_exact_chip_in_its_name_only(tmp_path: Path) -> None:
    path = tmp_path / "fmha_sm100a.cubin"
    path.write_bytes(cubin("_Z1k", flags=100 << 8))

    assert not cover_cubin(path, (10, 3)).runs.native
    assert cover_cubin(path, (10, 0)).runs.native


NVCC = shutil.which("nvcc")


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
def test_the_suffixes_that_nvcc_was_given_are_read_back(tmp_path: Path) -> None:
    targets = ["90a", "100f", "120", "120a"]
    source = tmp_path / "k.cu"
    source.write_text("__global__ void kernel(float* x) { x[0] = 1; }")
    path = tmp_path / "k.so"
    chosen = [word for target in targets for word in ("-gencode", f"arch=compute_{target},code=sm_{target}")]
    subprocess.run(["nvcc", "-shared", "-Xcompiler", "-fPIC", *chosen, "-o", path, source], check=True)

    with mapped(path) as view:
        units = read_units(read_elf(view))

    assert set(targets) <= {str(image.arch) for unit in units for image in unit.images}
