"""What tests of several folders share: the container engine, or the reason why there is none."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import docker
import pytest

# A job in the background ignores Ctrl-C, and so does all that it starts: CI, or a shell with `&`.
signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRED = os.environ.get("BLACKSTACK_REQUIRE_DOCKER") == "1"


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine that answers here; without one the test is skipped, or fails where Docker has to be there."""
    reason = why_no_engine()
    if reason and REQUIRED:
        pytest.fail(f"BLACKSTACK_REQUIRE_DOCKER=1, but {reason}")
    if reason:
        pytest.skip(reason)
    client = docker.from_env(timeout=60)
    yield client
    client.close()


def why_no_engine() -> str:
    """Say why no engine answers, or nothing. Asked with the command: the SDK leaks a socket when nobody answers."""
    try:
        asked = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return "there is no docker command"
    return f"no container engine answers: {asked.stderr.strip()}" if asked.returncode else ""
