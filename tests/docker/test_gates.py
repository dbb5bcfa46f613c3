"""The gates of the Dockerfiles for GPUs, with wheels of a few hundred bytes: what is wrong is built to no image.

The Dockerfile, its gates and its audit are the real ones of vllm-pt28-flashinfer. Only the system's packages are left
out (`apt-get` becomes `true`), and the wheels are toys whose libraries are real.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import docker
import pytest

from tests.e2e.conftest import Shell, copy_checkout, read_until
from tests.unit.audit import build

STACK = "vllm-pt28-flashinfer"
PINS = {
    "torch": "2.8.0",
    "torchvision": "0.23.0",
    "torchaudio": "2.8.0",
    "vllm": "0.11.0",
    "flashinfer-python": "0.3.1",
}
BUILD_S = 600.0  # a toy's build takes half a minute, on busy cores several
EXTENSIONS = ("_C.abi3.so", "_moe_C.abi3.so", "vllm_flash_attn/_vllm_fa2_C.abi3.so")

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="makes its libraries with gcc"),
    pytest.mark.timeout(BUILD_S + 60),
]


def wheel(folder: Path, site: Path, name: str) -> None:
    """Pack an installed distribution as a wheel."""
    (info,) = site.glob(f"{name.replace('-', '_')}-*.dist-info")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    package = site / name.replace("-", "_").removesuffix("_python")
    files = [*info.iterdir(), *(path for path in package.rglob("*") if path.is_file())]
    (info / "RECORD").write_text("".join(f"{path.relative_to(site)},,\n" for path in files))
    with zipfile.ZipFile(folder / f"{info.name.removesuffix('.dist-info')}-py3-none-any.whl", "w") as packed:
        for path in files:
            packed.write(path, str(path.relative_to(site)))


def wheels(folder: Path, *, torch: str = "2.8.0+cu128", cuda: str = "12.8", exports: Sequence[str] = ()) -> None:
    """Make the wheels of the stack; vLLM's is bound to a symbol that this torch has only when it exports it."""
    site = folder / "site"
    lib = build.torch(site, torch, cuda, exports=exports)
    build.distribution(site, "torchvision", PINS["torchvision"])
    build.distribution(site, "torchaudio", PINS["torchaudio"])
    build.distribution(site, "flashinfer-python", PINS["flashinfer-python"])
    files = [build.extension(site, f"vllm/{name}", wants=[build.NEW_SYMBOL], lib=lib) for name in EXTENSIONS]
    build.distribution(site, "vllm", PINS["vllm"], files=files)
    for name in PINS:
        wheel(folder, site, name)
    shutil.rmtree(site)


@pytest.fixture
def image(engine: docker.DockerClient) -> Iterator[str]:
    """A name for the image; what was built under it is removed."""
    name = f"blackstack-gates-{uuid4().hex[:8]}:1"
    yield name
    for found in engine.images.list(name.partition(":")[0]):
        engine.images.remove(found.tags[0], force=True)


@pytest.fixture
def shell(tmp_path: Path, base_image: str, image: str) -> Iterator[Shell]:
    """A checkout that builds the stack from the wheels beside it, without any network."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    folder = root / "dockerfiles" / STACK
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("apt-get ", "true "))
    (folder / "constraints.txt").write_text("".join(f"{name}=={version}\n" for name, version in PINS.items()))
    packed = tmp_path / "wheels"
    packed.mkdir()
    knobs = {"BASE_IMAGE": base_image, "IMAGE": image, "TORCH_INDEX": "file:///wheels/no-index"}
    user = Shell(root, env={**knobs, "PIP_FIND_LINKS": str(packed), "PIP_INDEX_URL": "file:///wheels/no-index"})
    yield user
    user.end()


def has(engine: docker.DockerClient, image: str) -> bool:
    """Whether there is an image of this name."""
    return bool(engine.images.list(image))


def test_what_was_asked_for_is_built_audited_sealed_and_recorded(
    shell: Shell, engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    wheels(tmp_path / "wheels", exports=[build.NEW_SYMBOL])

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S)

    assert said.code == 0, said.all
    (path,) = (shell.root / "results/builds").glob(f"{STACK}-*.json")
    record = json.loads(path.read_text())
    assert record["complete"], record["missing"]
    assert record["kind"] == "build"
    assert record["seconds"] > 0
    inside = record["found_inside"]
    assert inside["image_id"] == engine.images.get(image).id
    assert inside["size_bytes"] >= sum(layer["bytes"] for layer in inside["layers"]) > 0
    assert inside["user"] == "10001:10001"
    seal = inside["seal"]
    assert seal["packages"] == PINS
    assert seal["torch"]["version"] == "2.8.0+cu128"
    assert seal["asked"]["vllm"] == "0.11.0"
    assert seal["audit"]["verdict"] == "passed"
    assert seal["audit"]["packages"]["vllm"]["loads"] == "risk"  # a toy that says of no torch that it was its own


def test_a_pair_that_cannot_load_is_built_to_no_image(
    shell: Shell, engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    wheels(tmp_path / "wheels", exports=[build.OLD_SYMBOL])  # as torch 2.9.1 has it, under a vLLM for 2.8

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S)

    assert said.code == 1, said.all
    assert "it would not be what was asked for" in said.err
    assert "audit: " in said.err
    assert not has(engine, image)
    assert not list((shell.root / "results").glob("builds/*"))


def test_a_bare_build_without_the_audit_says_so(
    shell: Shell, engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    wheels(tmp_path / "wheels", exports=[build.OLD_SYMBOL])
    words = ("--build-context", f"wheels={tmp_path / 'wheels'}", "--tag", image, "--progress", "plain")
    args = ("--build-arg", f"BASE_IMAGE={shell.env['BASE_IMAGE']}", "--build-arg", "TORCH_INDEX=file:///wheels/none")
    offline = tmp_path / "build.env"
    offline.write_text("PIP_NO_INDEX=1\n")

    bare = subprocess.run(
        ["docker", "buildx", "build", *words, *args, "--secret", f"id=build_env,src={offline}", "--load", "."],
        cwd=shell.root / "dockerfiles" / STACK,
        capture_output=True,
        text=True,
        check=False,
    )

    assert bare.returncode == 0, bare.stderr[-2000:]
    assert "gate: audit not run: the build was given no `audit` context" in bare.stderr
    assert has(engine, image)


@pytest.mark.parametrize(
    ("torch", "cuda"),
    [("2.8.0+cu126", "12.6"), ("2.8.0+cpu", "")],
)
def test_an_index_that_serves_another_torch_is_stopped(
    shell: Shell, engine: docker.DockerClient, tmp_path: Path, torch: str, cuda: str
) -> None:
    wheels(tmp_path / "wheels", torch=torch, cuda=cuda)

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S)

    assert said.code == 1, said.all
    assert f"torch {torch} is built for CUDA {cuda or 'none'}, not 12.8" in said.err
    assert not has(engine, shell.env["IMAGE"])


def test_versions_that_contradict_the_constraints_are_refused(
    shell: Shell, engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    wheels(tmp_path / "wheels")
    dockerfile = shell.root / "dockerfiles" / STACK / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("ARG TORCH_VERSION=2.8.0", "ARG TORCH_VERSION=2.7.1"))

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S)

    assert said.code == 1, said.all
    assert "pip finds no versions that fit together" in said.err
    assert "constraints.txt" in said.err
    assert not has(engine, image)


def test_a_network_that_is_cut_in_a_pip_step_is_said(
    shell: Shell, engine: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    wheels(tmp_path / "wheels")
    next((tmp_path / "wheels").glob("vllm-*.whl")).unlink()

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S, env={"PIP_INDEX_URL": "http://127.0.0.1:9/simple"})

    assert said.code == 1, said.all
    assert "the package index was not reached" in said.err
    assert "again" in said.err
    assert not has(engine, image)


def test_a_base_image_with_a_digest_that_is_nowhere_is_said(
    shell: Shell, engine: docker.DockerClient, image: str
) -> None:
    wrong = f"127.0.0.1:9/python@sha256:{'0' * 64}"

    said = shell.inv("build", "--stack", STACK, timeout=BUILD_S, env={"BASE_IMAGE": wrong})

    assert said.code == 1, said.all
    assert "an image cannot be pulled" in said.err
    assert not has(engine, image)


def test_of_two_builds_at_once_the_second_says_that_somebody_is_at_work(shell: Shell) -> None:
    dockerfile = shell.root / "dockerfiles" / STACK / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("RUN useradd", f"RUN echo {uuid4()}; sleep 300; useradd"))
    first = shell.begin("build", "--stack", STACK)
    read_until(first, "docker buildx build")

    second = shell.inv("build", "--stack", STACK, timeout=BUILD_S)

    assert second.code == 1, second.all
    assert "somebody else is at work on it" in second.err
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(60) == 130
