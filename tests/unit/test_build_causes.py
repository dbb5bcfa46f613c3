"""What docker and pip print when an image cannot be built, and the cause that is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.host import Engine, Host
from blackstack.plan import Wishes
from blackstack.runtime.docker import _explained
from blackstack.shell import Done


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        ("#15 61.2 ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk"),
        ("ERROR: failed to copy: write /var/lib/docker/tmp/x: no space left on device", "the disk is full"),
        ("#15 9.1 gate stopped the build: torch is 2.9.1, 2.8.0 was asked for", "would not be what was asked for"),
        ("#15 9.1 gate stopped the build: audit: vllm will not load", "would not be what was asked for"),
        ("#7 0.291 exec /bin/sh: exec format error", "another processor's architecture"),
        ("#9 3.1 urllib3: Failed to establish a new connection: [Errno 111] Connection refused", "was not reached"),
        ("#9 8.0 http.client.IncompleteRead: IncompleteRead(1203 bytes read, 9000 more expected)", "was cut"),
        ("#9 8.0 ERROR: ResolutionImpossible: for help visit https://pip.pypa.io", "no versions that fit together"),
        ("#9 8.0 ERROR: No matching distribution found for vllm==0.11.0", "no versions that fit together"),
        ("ERROR: python@sha256:00: failed to resolve source metadata for docker.io/python", "cannot be pulled"),
    ],
)
def test_a_build_that_fails_names_its_cause(
    repository: Path, host: Host, engine: Engine, printed: str, cause: str
) -> None:
    made = plan.make(catalog.load(repository, "toy"), replace(host, engine=engine), Wishes(), shell_env={})

    said = str(_explained(Done(argv=("docker", "buildx", "build"), code=1, out=printed), made))

    assert "toy could not be built: " in said
    assert cause in said
    assert printed[:100] in said
