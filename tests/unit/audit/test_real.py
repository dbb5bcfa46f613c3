"""Real wheels and NVIDIA's own tool: slow, and skipped where there is no such wheel or tool."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from blackstack.audit import main
from blackstack.audit.binary import mapped
from blackstack.audit.elf import read_elf
from blackstack.audit.fatbin import read_units

pytestmark = pytest.mark.slow


def cuobjdump() -> str | None:
    """Find the tool on PATH, or in NVIDIA's wheel of it."""
    found = shutil.which("cuobjdump")
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or []) if spec and not found else []:
        found = next((str(path) for path in Path(place).glob("cu*/bin/cuobjdump")), None)
    return found


def test_torchvision_beside_a_torch_without_cuda_does_not_load(capsys: pytest.CaptureFixture[str]) -> None:
    """All pins hold; `import torchvision` says «operator torchvision::nms does not exist»."""
    code = main(["--wheels", "torch==2.13.0+cpu torchvision==0.28.0", "--json"])
    said = capsys.readouterr()
    if code == 2:
        pytest.skip(said.err)

    data = json.loads(said.out)
    files = data["packages"]["torchvision"]["files"]
    assert code == 1
    assert data["torch"] == {"version": "2.13.0+cpu", "cuda": "", "loads": "ok"}
    assert files["torchvision/_C.so"]["reasons"][0] == "libc10_cuda.so: not found (wanted by _C.so)"
    assert [f["code"] for f in data["findings"] if f["severity"] == "error"] == ["torch-without-cuda"]


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip without NVIDIA's programs; fail where they have to be there (`nox -s audit-oracle`)."""
    have = {"cuobjdump": cuobjdump(), "nvcc": shutil.which("nvcc")}
    missing = [program for program in programs if not have[program]]
    required = os.environ.get("BLACKSTACK_REQUIRE_CUOBJDUMP") == "1"
    return pytest.mark.skipif(bool(missing) and not required, reason=f"needs {', '.join(missing)}: nox -s audit-oracle")


@needs("cuobjdump")
def test_cuobjdump_lists_the_same_machine_code_of_a_real_package(tmp_path: Path) -> None:
    """Torchvision 0.28.0, as PyPI has it: 8 MB, built by CUDA 13."""
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*download, "--dest", tmp_path, "torchvision==0.28.0"], capture_output=True, check=False)
    wheels = list(tmp_path.glob("*.whl"))
    if not wheels:
        pytest.skip(f"no wheel of torchvision 0.28.0 here: {done.stderr.decode()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as packed:
        path = Path(packed.extract("torchvision/_C.so", tmp_path))

    listed = subprocess.run([str(cuobjdump()), "-lelf", "-lptx", path], capture_output=True, text=True, check=True)
    with mapped(path) as view:
        images = [image for unit in read_units(read_elf(view)) for image in unit.images]

    cubins = sorted(re.findall(r"\.sm_(\w+)\.cubin", listed.stdout))
    assert len(set(cubins)) > 3
    assert sorted(str(image.arch) for image in images if image.kind == "cubin") == cubins
    assert len(re.findall(r"\.ptx$", listed.stdout, re.MULTILINE)) == sum(image.kind == "ptx" for image in images)


@needs("cuobjdump", "nvcc")
def test_cuobjdump_lists_the_same_machine_code(tmp_path: Path) -> None:
    source, path = tmp_path / "k.cu", tmp_path / "k.so"
    source.write_text("__global__ void kernel(float* x) { x[0] = 1; }")
    chosen = [word for n in (80, 90, 120) for word in ("-gencode", f"arch=compute_{n},code=[sm_{n},compute_{n}]")]
    subprocess.run(["nvcc", "-shared", "-Xcompiler", "-fPIC", *chosen, "-o", path, source], check=True)

    listed = subprocess.run([str(cuobjdump()), "-lelf", "-lptx", path], capture_output=True, text=True, check=True)
    with mapped(path) as view:
        images = [image for unit in read_units(read_elf(view)) for image in unit.images]

    cubins = sorted(re.findall(r"\.sm_(\w+)\.cubin", listed.stdout))
    assert sorted(str(image.arch) for image in images if image.kind == "cubin") == cubins
    assert len(re.findall(r"\.ptx$", listed.stdout, re.MULTILINE)) == sum(image.kind == "ptx" for image in images)
