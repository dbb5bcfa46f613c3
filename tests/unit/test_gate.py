"""The gate that stands after each pip step of a build: what it stops, and that it says everything at once."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.audit import build

from .conftest import REPOSITORY

ASKED = ("--torch", "2.8.0", "--cuda", "12.8", "--version", "vllm=0.11.0", "--file", "vllm/_C.*.so")
PINS = {"torch": "2.8.0", "vllm": "0.11.0", "numpy": "2.2.6"}


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The gate, in front of an environment that is what was asked for."""
    spec = importlib.util.spec_from_file_location("gate", REPOSITORY / "dockerfiles/vllm-pt28-flashinfer/gate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    site = tmp_path / "site"
    install(site, PINS)
    (site / "torch").mkdir()
    (site / "torch/version.py").write_text("__version__ = '2.8.0+cu128'\ncuda: Optional[str] = '12.8'\n")
    (site / "vllm").mkdir()
    (site / "vllm/_C.abi3.so").touch()
    monkeypatch.setattr(module, "SITE", site)
    return module


def install(site: Path, packages: dict[str, str]) -> None:
    """Put distributions without files into a folder."""
    for name, version in packages.items():
        build.distribution(site, name, version)


def faults(gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], *asked: str) -> list[str]:
    """Run the check, and return what stopped the build."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in PINS.items()))
    code = gate.main(["check", *(asked or ASKED), "--constraints", str(constraints)])
    said = [line.removeprefix("gate stopped the build: ") for line in capsys.readouterr().err.splitlines()]
    assert code == int(bool(said))
    return said


def test_what_was_asked_for_passes(gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert faults(gate, tmp_path, capsys) == []


def test_a_tag_that_calls_itself_the_next_version_is_stopped(
    gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (gate.SITE / "vllm-0.11.0.dist-info/METADATA").write_text("Name: vllm\nVersion: 0.11.1.dev0+g1234\n\n")

    assert faults(gate, tmp_path, capsys) == [
        "vllm is 0.11.1.dev0+g1234, 0.11.0 was asked for",
        "vllm is 0.11.1.dev0+g1234, the constraints say 0.11.0",
    ]


def test_a_torch_that_moved_is_stopped(gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gate.SITE / "torch-2.8.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.9.1\n\n")

    assert "torch is 2.9.1, 2.8.0 was asked for" in faults(gate, tmp_path, capsys)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("__version__ = '2.9.1+cu128'\ncuda = '12.8'\n", "torch says of itself that it is 2.9.1+cu128"),
        ("__version__ = '2.8.0+cpu'\ncuda: Optional[str] = None\n", "torch 2.8.0+cpu is built for CUDA none, not 12.8"),
        ("", "torch says of itself that it is nothing, 2.8.0 was asked for"),
    ],
)
def test_torch_is_believed_from_its_own_file(
    gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], written: str, said: str
) -> None:
    (gate.SITE / "torch/version.py").write_text(written)

    assert [fault for fault in faults(gate, tmp_path, capsys) if said in fault]


def test_a_package_that_slipped_in_is_stopped(
    gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(gate.SITE, {"pynvml": "13.0.1"})

    assert faults(gate, tmp_path, capsys) == ["pynvml 13.0.1 is in no line of the constraints"]


def test_everything_is_said_at_once(gate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gate.SITE / "vllm/_C.abi3.so").unlink()
    (gate.SITE / "numpy-2.2.6.dist-info/METADATA").write_text("Name: numpy\nVersion: 2.3.0\n\n")

    said = faults(gate, tmp_path, capsys)

    assert len(said) == 2
    assert "without its compiled part" in said[0]
    assert said[1] == "numpy is 2.3.0, the constraints say 2.2.6"
