"""Each compose file and each export, alone in an empty folder with an empty environment, is a deployment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from blackstack import catalog
from blackstack.bench.garbage import degenerate
from blackstack.heartbeat import PROMPT
from tests.conftest import REQUIRED
from tests.e2e.conftest import free_port
from tests.unit.conftest import REPOSITORY

NAMES = catalog.names(REPOSITORY)
KINDS = ("file", "export")
START_S = 600  # two cores that others use too


@pytest.fixture(autouse=True)
def _needs_the_engine(engine: docker.DockerClient) -> None:
    """Every test of this folder needs an engine; without one it says so."""


@pytest.fixture
def alone(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """An empty folder, and in it what a server gets of a stack."""
    name, kind = request.param
    folder = tmp_path / "server"
    if kind == "file":
        folder.mkdir()
        shutil.copy(REPOSITORY / f"compose/{name}.yaml", folder / "compose.yaml")
        return folder
    exported = subprocess.run(
        [sys.executable, "-m", "invoke", "export", "--stack", name, "--out", str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert exported.returncode == 0, exported.stderr
    return folder


def bare(**more: str) -> dict[str, str]:
    """Return an environment with what the shell itself needs, and nothing of ours."""
    return {**{name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}, **more}


def typed(folder: Path, *words: str, env: dict[str, str], timeout: float = 60) -> str:
    """Type a command in the folder and return what it prints."""
    ran = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def both(names: tuple[str, ...]) -> list[Any]:
    """Return each stack as its file and as its export."""
    return [pytest.param((name, kind), id=f"{name}-{kind}") for name in names for kind in KINDS]


@pytest.mark.parametrize("alone", both(NAMES), indirect=True)
def test_compose_reads_it_with_an_empty_environment(alone: Path) -> None:
    typed(alone, "docker", "compose", "config", "--quiet", env=bare())
    if (alone / "SHA256SUMS").exists():
        typed(alone, "sha256sum", "--check", "--strict", "SHA256SUMS", env=bare())


@pytest.fixture
def served(alone: Path, request: pytest.FixtureRequest, engine: docker.DockerClient) -> Iterator[tuple[str, str]]:
    """The server that came up from the folder: its URL and its model."""
    stack = catalog.load(REPOSITORY, request.node.callspec.params["alone"][0])
    image = stack.defaults["IMAGE"]
    if not engine.images.list(image):
        reason = f"the engine has no {image}: inv build --stack {stack.name}"
        pytest.fail(reason) if REQUIRED else pytest.skip(reason)
    project, port = f"test-alone-{os.getpid()}-{free_port()}", str(free_port())
    env = bare(PORT=port, COMPOSE_PROJECT_NAME=project)
    try:
        typed(alone, "docker", "compose", "up", "--detach", "--wait", "--pull", "never", env=env, timeout=START_S)
        yield f"http://127.0.0.1:{port}", stack.x.model
    finally:
        typed(alone, "docker", "compose", "down", "--volumes", "--timeout", "5", env=env, timeout=120)
        label = f"com.docker.compose.project={project}"
        assert not engine.containers.list(all=True, filters={"label": label})


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "alone",
    both(tuple(name for name in NAMES if catalog.load(REPOSITORY, name).x.needs.vram_gib is None)),
    indirect=True,
)
def test_it_comes_up_answers_and_goes_down(served: tuple[str, str]) -> None:
    url, model = served

    answer = requests.post(
        f"{url}/v1/completions",
        json={"model": model, "prompt": PROMPT, "max_tokens": 24, "temperature": 0},
        timeout=120,
    )

    assert answer.status_code == requests.codes.ok, answer.text
    text = answer.json()["choices"][0]["text"]
    assert text.strip()
    assert not degenerate(text, 1)
