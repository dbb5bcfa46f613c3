"""Real containers: a base image to build on, and the image of the default stack, built once a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STACK = "llamacpp-cpu"
IMAGE = "blackstack/llamacpp-cpu:test"

# In this order: what somebody asked for, what `.ci/base-image` makes where no registry is reached, the default.
BASES = (os.environ.get("BLACKSTACK_TEST_BASE_IMAGE", ""), "python:3.13-local", "python:3.12-slim")


@pytest.fixture(autouse=True)
def _needs_the_engine(engine: docker.DockerClient) -> None:
    """Every test of this folder needs an engine; without one it says so."""


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    """An image with Python that is here already, so that a build pulls nothing; else the default one."""
    here = {tag for image in engine.images.list() for tag in image.tags}
    return next((name for name in BASES if name in here), BASES[-1])


@pytest.fixture(scope="session")
def image(base_image: str) -> str:
    """The default stack's image, built with `inv build` under a tag of its own; the build's cache makes it quick."""
    knobs = ("--set", f"BASE_IMAGE={base_image}", "--set", f"IMAGE={IMAGE}")
    built = subprocess.run(
        [sys.executable, "-m", "invoke", "build", "--stack", STACK, "--runtime", "docker", *knobs],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return IMAGE
