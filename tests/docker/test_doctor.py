"""What the doctor asks of a real engine: the variables of an image, what an earlier start left, how it is built."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from blackstack import host
from blackstack.facts import Facts, containers, image
from tests.e2e.conftest import Shell, add_toy, copy_checkout, free_port

from .registry import docker as docker_typed
from .registry import local_registry

CUDA = {"CUDA_VERSION": "12.6.3", "NVIDIA_REQUIRE_CUDA": "cuda>=12.6 brand=tesla,driver>=535,driver<536"}
NEEDS = 'needs: {vram_gib: 24, compute_capability: "12.0", '


@pytest.fixture
def cuda_image(engine: docker.DockerClient, base_image: str) -> Iterator[str]:
    """An image that says what NVIDIA's say of themselves, and nothing more."""
    name = f"blackstack/doctor-test:{uuid.uuid4().hex[:8]}"
    container = engine.containers.create(base_image, ["true"], environment=CUDA)
    container.commit(*name.split(":"))
    container.remove()
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a checkout with the toy, whose compose project is its own."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    add_toy(root)
    compose = root / "compose/toy.yaml"
    compose.write_text(compose.read_text().replace("name: toy", f"name: test-{os.getpid()}-{free_port()}"))
    return Shell(root, env={})


def test_an_image_that_is_here_is_asked_for_its_cuda(cuda_image: str) -> None:
    machine = host.look(Path.cwd())

    told = Facts(Path.cwd(), machine).image(cuda_image)

    assert (told.source, told.cuda) == ("engine", "12.6.3")
    assert told.require == CUDA["NVIDIA_REQUIRE_CUDA"]
    assert image.of_engine(cuda_image) == told


def test_a_real_registry_tells_of_an_image_what_the_engine_does(cuda_image: str, tmp_path: Path) -> None:
    with local_registry(tmp_path) as registry:
        name = f"{registry.host}/nvidia/cuda:12.6.3"
        registry.push(cuda_image, "nvidia/cuda", "12.6.3")
        docker_typed("image", "rm", name)

        told = image.of_registry(name)
        gone = image.of_registry(f"{registry.host}/nvidia/cuda:0.0.1")

    here = image.of_engine(cuda_image)
    assert (told.source, told.cuda, told.require, told.unknown) == ("registry", here.cuda, here.require, "")
    assert abs(told.clock_off_s or 3600) < 60
    assert gone.problem == "missing"


def test_the_engine_tells_where_it_keeps_images_and_which_runtimes_it_has() -> None:
    told = containers.look_at_engine(host.engine_address())

    assert told.here
    assert told.data_root
    assert "runc" in told.runtimes
    assert told.cgroup_version in {"1", "2"}


def test_a_container_that_an_earlier_start_left_is_told_with_how_it_ended(
    shell: Shell, engine: docker.DockerClient, base_image: str, cuda_image: str
) -> None:
    project = (shell.root / "compose/toy.yaml").read_text().split()[1]
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.project.working_dir": str(shell.root / "compose"),
    }
    left = engine.containers.run(base_image, ["sh", "-c", "exit 139"], labels=labels, detach=True)
    try:
        left.wait()
        said = shell.inv("doctor", "--stack", "toy", "--set", f"IMAGE={cuda_image}", "--json")
        findings = {finding["code"]: finding for finding in json.loads(said.out)["findings"]}
    finally:
        left.remove(force=True)

    assert said.code == 0, said.all
    assert "Exited (139)" in findings["earlier-containers"]["evidence"][0]


def test_a_stack_for_a_gpu_is_refused_before_its_container_is_made(
    shell: Shell, engine: docker.DockerClient, cuda_image: str
) -> None:
    if Facts(shell.root, host.look(shell.root)).gpus.cards:
        pytest.skip("there is a GPU here")
    compose = shell.root / "compose/toy.yaml"
    compose.write_text(compose.read_text().replace("needs: {", NEEDS))

    said = shell.inv("up", "--stack", "toy", "--runtime", "docker", "--set", f"IMAGE={cuda_image}")

    assert said.code == 1, said.all
    assert "toy needs an NVIDIA GPU, and there is none here" in said.err
    project = compose.read_text().split()[1]
    assert not engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={project}"})
