"""A small repository of its own for each test, with one stack whose engine is a few lines of Python."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from blackstack.host import Engine, Host
from blackstack.registry import Registry

from .fake_registry import FakeRegistry, serving

REPOSITORY = Path(__file__).resolve().parents[2]

COMPOSE = """\
name: toy
x-stack:
  title: a toy
  engine: llamacpp
  model: &model toy-model
  status: verified
  evidence: this test
  needs: {memory_gib: 0.1, disk_gib: 0.1}
  ready_s: 20
  build: {dockerfile: dockerfiles/toy/Dockerfile, args: [BASE_IMAGE]}
  process:
    requirements: dockerfiles/toy/requirements.txt
    pip: [--no-index]
    argv: ["{python}", "{root}/dockerfiles/toy/serve.py", --host, "{BIND_ADDRESS}", --port, "{PORT}"]
  knobs:
    IMAGE: {type: text, about: the image}
    BASE_IMAGE: {type: text, about: what it is built on}
    BIND_ADDRESS: {type: address, about: where to listen}
    PORT: {type: port, about: where to listen}
    API_KEY: {type: secret, about: what clients must send}
    MODE: {type: choice, choices: [sane, garbage, hang, die, die-on-first, slow], about: how it behaves}
    SLOTS: {type: count, about: how many at once}
  profiles:
    wide: {about: many at once, set: {SLOTS: 16}}
services:
  server:
    image: ${IMAGE:-toy:1}
    command: [--mode, "${MODE:-sane}", --slots, "${SLOTS:-4}", --model, *model]
    environment:
      TOY_KEY: ${API_KEY:-}
    ports: ["${BIND_ADDRESS:-127.0.0.1}:${PORT:-8080}:8000"]
"""

ENV = "IMAGE=toy:1\nBASE_IMAGE=python:3.12-slim\nPORT=8080\nMODE=sane\nSLOTS=4\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one stack, `toy`."""
    root = tmp_path / "repository"
    for folder in ("compose", "env", "dockerfiles/toy"):
        (root / folder).mkdir(parents=True)
    (root / "compose/toy.yaml").write_text(COMPOSE)
    (root / "env/toy.env").write_text(ENV)
    (root / "env/common.env").write_text("BIND_ADDRESS=127.0.0.1\n")
    (root / "dockerfiles/toy/Dockerfile").write_text("FROM scratch\n")
    (root / "dockerfiles/toy/requirements.txt").write_text("# nothing\n")
    shutil.copy(Path(__file__).with_name("toy_server.py"), root / "dockerfiles/toy/serve.py")
    return root


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration, empty at first: nobody is logged in anywhere."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    path = folder / "config.json"
    path.write_text("{}")
    return path


@pytest.fixture
def there(docker_config: Path) -> Iterator[FakeRegistry]:
    """A registry on this machine, of which docker knows no credentials."""
    assert docker_config.is_file()
    with serving(FakeRegistry()) as registry:
        yield registry


@pytest.fixture
def asking() -> Iterator[Registry]:
    """Somebody who asks registries."""
    with Registry() as registry:
        yield registry


@pytest.fixture
def host() -> Host:
    """A machine without Docker."""
    return Host(
        engine=None,
        no_engine=None,
        cpu="a processor",
        cores=2,
        memory_bytes=8 << 30,
        disk_free_bytes=50 << 30,
        system="Linux",
        python="3.12.0",
    )


@pytest.fixture
def engine() -> Engine:
    """An engine that holds no image."""
    return Engine(version="28.0", compose="2.30", images=frozenset(), address="unix:///var/run/docker.sock")
