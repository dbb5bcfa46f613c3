"""FlashInfer's kernels: as cubins, compiled ahead, from nvcc, or not at all, and each way of failing has its name."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from blackstack.audit import Question, audit, of_root
from blackstack.audit.flashinfer import FEATURE
from blackstack.audit.model import Report
from tests.unit.audit import build

SITE = "usr/lib/python3.12/site-packages"
CONSUMER, DATACENTER = (12, 0), (10, 0)


def root(tmp_path: Path, version: str = "", *, cuda: str = "12.8", programs: tuple[str, ...] = ()) -> Path:
    """Make a root with vLLM, a torch and, where a version is given, FlashInfer."""
    site = tmp_path / SITE
    build.torch(site, f"2.8.0+cu{cuda.replace('.', '')}", cuda=cuda)
    build.distribution(site, "vllm", "0.11.0")
    if version:
        build.distribution(site, "flashinfer-python", version)
    for program in programs:
        path = tmp_path / "usr/local/cuda/bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def cubins(place: Path, version: str, capability: int) -> None:
    """Install flashinfer-cubin with one kernel (ELF machine 190, the target in bits 8 to 15 of the flags)."""
    site = place / SITE
    path = site / f"flashinfer_cubin/cubins/k_sm{capability}.cubin"
    path.parent.mkdir(parents=True)
    head = b"\x7fELF" + bytes([2, 1, 1, 65, 8]) + bytes(7)
    path.write_bytes(head + struct.pack("<HHIQQQIHHHHHH", 2, 190, 1, 0, 0, 0, capability << 8, 64, 0, 0, 0, 0, 0))
    build.distribution(site, "flashinfer-cubin", version, files=[path])


def said(place: Path, gpu: tuple[int, int] = CONSUMER) -> tuple[str, str, Report]:
    """Return the feature's state, the code of FlashInfer's finding, and the report."""
    report = audit(of_root(place), Question(gpu))
    (state,) = (feature.state for feature in report.features if feature.name == FEATURE)
    codes = [f.code for f in report.findings if f.code.startswith("flashinfer") or FEATURE in f.title]
    return state, codes[0] if codes else "", report


def test_without_it_sampling_is_slower_and_that_is_no_fault(tmp_path: Path) -> None:
    state, code, report = said(root(tmp_path))

    assert (state, code) == ("fallback", "feature-fallback")
    assert not report.blocked


def test_without_nvcc_and_without_cubins_it_cannot_compile(tmp_path: Path) -> None:
    state, code, report = said(root(tmp_path, "0.6.4"))

    assert (state, code) == ("absent", "flashinfer-jit-nvcc-missing")
    assert "there is no nvcc, no ninja" in next(f.title for f in report.findings if f.code == code)


def test_with_nvcc_it_compiles_at_the_first_request(tmp_path: Path) -> None:
    state, code, _ = said(root(tmp_path, "0.6.6", programs=("nvcc", "ninja")))

    assert (state, code) == ("jit", "")


@pytest.mark.parametrize(
    ("version", "cuda", "gpu", "state"),
    [
        ("0.6.7", "12.8", CONSUMER, "absent"),  # the first with the gate
        ("0.6.6", "12.8", CONSUMER, "jit"),
        ("0.6.7", "12.9", CONSUMER, "jit"),
        ("0.6.7", "12.8", DATACENTER, "jit"),
    ],
)
def test_the_gate_for_sm12x_opens_with_cuda_12_9(
    tmp_path: Path, version: str, cuda: str, gpu: tuple[int, int], state: str
) -> None:
    found, code, _ = said(root(tmp_path, version, cuda=cuda, programs=("nvcc", "ninja")), gpu)

    assert found == state
    assert code == ("flashinfer-sm12x-needs-cuda129" if state == "absent" else "")


def test_cubins_for_other_chips_do_nothing_for_this_one(tmp_path: Path) -> None:
    """flashinfer-cubin 0.6.13: 15,970 cubins, all for sm_100 and sm_103."""
    place = root(tmp_path, "0.6.13", cuda="12.9")
    cubins(place, "0.6.13", 100)

    assert said(place)[:2] == ("absent", "flashinfer-jit-nvcc-missing")
    assert said(place, DATACENTER)[:2] == ("native", "")


def test_packages_of_two_versions_refuse_to_start(tmp_path: Path) -> None:
    place = root(tmp_path, "0.7.2.post1", cuda="13.0", programs=("nvcc", "ninja"))
    cubins(place, "0.6.13", 120)

    state, code, report = said(place)

    assert (state, code) == ("absent", "flashinfer-package-version-mismatch")
    assert report.blocked
    finding = next(f for f in report.findings if f.code == code)
    assert finding.fix[0].startswith("pip install flashinfer-cubin==0.7.2.post1")
