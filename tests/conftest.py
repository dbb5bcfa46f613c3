"""What tests of several folders share: the container engine, or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest
from docker.errors import DockerException

REQUIRED = os.environ.get("BLACKSTACK_REQUIRE_DOCKER") == "1"


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine that answers here; without one the test is skipped, or fails where Docker has to be there."""
    try:
        client = docker.from_env(timeout=60)
    except DockerException as error:
        reason = f"no container engine answers: {error}"
        if REQUIRED:
            pytest.fail(f"BLACKSTACK_REQUIRE_DOCKER=1, but {reason}")
        pytest.skip(reason)
    try:
        client.ping()
        yield client
    finally:
        client.close()
