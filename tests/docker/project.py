"""A shell in a checkout one of whose stacks is a compose project of its own, so that nobody's server is touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from tests.e2e.conftest import Shell, free_port


@contextmanager
def own_project(root: Path, stack: str, image: str, engine: docker.DockerClient) -> Iterator[Shell]:
    """Rename the project, and take it down in the end; nothing of it may be left."""
    project = f"test-{os.getpid()}-{free_port()}"
    compose = root / f"compose/{stack}.yaml"
    compose.write_text(compose.read_text().replace(f"name: blackstack-{stack}", f"name: {project}"))
    user = Shell(root, env={"IMAGE": image, "PORT": str(free_port()), "COMPOSE_PROJECT_NAME": project})
    yield user
    user.end()
    down = ["docker", "compose", "--file", str(compose), "--project-name", project, "down", "--timeout", "1"]
    subprocess.run(down, check=True, capture_output=True)
    assert not containers(engine, user)


def containers(engine: docker.DockerClient, shell: Shell) -> list[Any]:
    """Return the containers of the shell's project, dead ones too."""
    label = f"com.docker.compose.project={shell.env['COMPOSE_PROJECT_NAME']}"
    return engine.containers.list(all=True, filters={"label": label})
