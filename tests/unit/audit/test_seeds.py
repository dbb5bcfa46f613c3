"""The failures that cost one team weeks, each named by one audit with its fix."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from blackstack.audit import audit, of_root, of_site
from blackstack.audit.report import render
from tests.unit.audit import build

if TYPE_CHECKING:
    from pathlib import Path

    from blackstack.audit import Finding, Report

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="makes its libraries with gcc")

SM_90, SM_120 = build.container(build.image(90)), build.container(build.image(120))


def one(report: Report, code: str) -> Finding:
    found = [finding for finding in report.findings if finding.code == code]
    assert len(found) == 1, render(report)
    return found[0]


def vllm(site: Path, lib: Path, wants: str, pin: str = "2.8.0") -> None:
    file = build.extension(site, "vllm/_C.abi3.so", wants=[wants], lib=lib)
    build.distribution(site, "vllm", "0.11.0", [f"torch=={pin}"], [file])


def test_an_undefined_symbol_is_named_beside_what_torch_has(tmp_path: Path) -> None:
    """Seeds 000, 001, 002, 004: «undefined symbol: _ZN3c10…»."""
    lib = build.torch(tmp_path, "2.10.0+cu128", exports=[build.OLD_SYMBOL])
    vllm(tmp_path, lib, build.NEW_SYMBOL)

    report = audit(of_site(tmp_path))

    finding = one(report, "abi-undefined-symbol")
    title = "vllm 0.11.0 does not load with torch 2.10.0+cu128: undefined symbol; it was built with torch 2.8.0"
    assert title == finding.title
    assert finding.evidence[0].startswith("wants c10::cuda::SetDevice(signed char, bool)")
    assert finding.evidence[1] == "torch has c10::cuda::SetDevice(signed char)"
    assert finding.fix[0] == "pip install torch==2.8.0"


def test_a_silent_crash_is_named_although_every_symbol_resolves(tmp_path: Path) -> None:
    """Seeds 000 and 003: the engine dies without a Python traceback."""
    lib = build.torch(tmp_path, "2.9.1+cu128")
    vllm(tmp_path, lib, build.SHARED_SYMBOL)

    finding = one(audit(of_site(tmp_path)), "abi-layout")

    assert finding.title == (
        "vllm 0.11.0 aborts inside dlopen with torch 2.9.1+cu128, with no traceback; it was built with torch 2.8.0"
    )
    assert finding.fix[0] == "pip install torch==2.8.0"


def test_a_missing_libnuma_is_named_with_its_package(tmp_path: Path) -> None:
    """Seeds 002 and 004: «ImportError: libnuma.so.1: cannot open shared object file»."""
    numa = build.library(tmp_path / "elsewhere" / "libnuma.so.1", soname="libnuma.so.1", defines=["numa_here"])
    site = tmp_path / "root/usr/lib/python3.12/site-packages"
    lib = build.torch(site, "2.8.0+cu128")
    file = build.extension(site, "sgl_kernel/common_ops.abi3.so", lib=lib, flags=[str(numa)])
    build.distribution(site, "sgl-kernel", "0.3.9.post2", files=[file])

    finding = one(audit(of_root(tmp_path / "root")), "missing-library")

    assert finding.title == "sgl-kernel 0.3.9.post2 does not load: libnuma.so.1 is missing"
    assert finding.fix == ("apt-get install --yes --no-install-recommends libnuma1",)

    there = tmp_path / "root/usr/lib/x86_64-linux-gnu/libnuma.so.1"
    there.parent.mkdir(parents=True)
    shutil.copy(numa, there)
    assert not audit(of_root(tmp_path / "root")).blocked


def test_a_torch_without_code_for_sm_120_is_named(tmp_path: Path) -> None:
    """Seed 004: «no kernel image is available for execution on the device»."""
    build.torch(tmp_path, "2.7.1+cu126", cuda="12.6", fatbin=SM_90)

    finding = one(audit(of_site(tmp_path)), "no-kernel-image")

    assert finding.title == (
        "torch 2.7.1+cu126 has no code for compute capability 12.0: "
        "«no kernel image is available for execution on the device»"
    )
    assert finding.evidence == ("it has sm_90",)
    assert finding.fix[0].startswith("pip install torch==2.7.1+cu128")


def test_a_torch_that_pip_swapped_is_named_with_who_did_it(tmp_path: Path) -> None:
    """Seed 002: a nightly torch was installed, then `pip install sglang[all]` put 2.8.0 in its place."""
    lib = build.torch(tmp_path, "2.8.0+cu128")
    file = build.extension(tmp_path, "torchvision/_C.so", wants=[build.SHARED_SYMBOL], lib=lib)
    build.distribution(tmp_path, "torchvision", "0.25.0", ["torch==2.10.0"], [file])
    build.distribution(tmp_path, "sglang", "0.5.2", ["torch==2.8.0"])

    finding = one(audit(of_site(tmp_path)), "torch-swapped")

    assert finding.title == (
        "torch 2.8.0+cu128 is not the one that torchvision 0.25.0 was installed for (torch 2.10.0): "
        "pip swapped it silently"
    )
    assert "sglang 0.5.2 pins torch==2.8.0" in finding.evidence
    assert "--constraint" in finding.fix[1]


def test_attention_that_falls_back_is_named_with_the_sentence_of_the_engine(tmp_path: Path) -> None:
    """Seeds 000 and 003: «Sinks are only supported in FlashAttention 3», and Triton in its place."""
    lib = build.torch(tmp_path, "2.8.0+cu128")
    only_hopper = build.container(build.image(90, flags=build.EXACT))
    by_ptx = build.container(build.image(80), build.image(80, build.PTX))
    fa2 = build.extension(tmp_path, "vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so", lib=lib, fatbin=by_ptx)
    fa3 = build.extension(tmp_path, "vllm/vllm_flash_attn/_vllm_fa3_C.abi3.so", lib=lib, fatbin=only_hopper)
    build.distribution(tmp_path, "vllm", "0.11.0", ["torch==2.8.0"], [fa2, fa3])

    report = audit(of_site(tmp_path))

    states = {feature.name: feature.state for feature in report.features}
    assert states["vllm · attention: FlashAttention 2"] == "jit"
    assert states["vllm · attention: FlashAttention 3"] == "fallback"
    assert states["sampling: FlashInfer"] == "fallback"
    assert "«Sinks are only supported in FlashAttention 3»" in render(report)
    assert "FlashInfer is not installed: PyTorch-native sampling" in render(report)
    assert not report.blocked


def test_an_environment_that_fits_gives_no_alarm(tmp_path: Path) -> None:
    lib = build.torch(tmp_path, "2.8.0+cu128", exports=[build.NEW_SYMBOL], fatbin=SM_120)
    vllm(tmp_path, lib, build.NEW_SYMBOL)

    report = audit(of_site(tmp_path))

    assert [finding for finding in report.findings if finding.severity != "info"] == []
    assert "nothing found that would fail" in render(report)
