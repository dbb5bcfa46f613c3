"""A real registry on this machine, and small real images to put into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.conftest import REQUIRED
from tests.e2e.conftest import free_port

CONFIG = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}"}}
"""
ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class LocalRegistry:
    """A registry that runs, and the folder of what it holds."""

    host: str
    folder: Path
    process: subprocess.Popen[bytes]

    def push(self, image: str, repository: str, tag: str) -> str:
        """Push an image under a name and return its digest."""
        name = f"{self.host}/{repository}:{tag}"
        docker("tag", image, name)
        docker("push", "--quiet", name)
        found = requests.head(
            f"http://{self.host}/v2/{repository}/manifests/{tag}", headers={"Accept": ACCEPT}, timeout=10
        )
        return found.headers["Docker-Content-Digest"]

    def delete(self, repository: str, digest: str) -> None:
        """Remove an image and the tags that stand for it, as a registry's keeper does."""
        answer = requests.delete(f"http://{self.host}/v2/{repository}/manifests/{digest}", timeout=10)
        assert answer.status_code == requests.codes.accepted, answer.text

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


@contextmanager
def local_registry(folder: Path) -> Iterator[LocalRegistry]:
    """Run Debian's docker-registry on a free port; skip, or fail where Docker is demanded, without it."""
    program = shutil.which("docker-registry") or ""
    reason = "" if program else "there is no docker-registry program (Debian: apt-get install docker-registry)"
    if reason and REQUIRED:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    host = f"127.0.0.1:{free_port()}"
    config = folder / "registry.yml"
    config.write_text(CONFIG.format(root=folder / "data", host=host))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not answers(host):
            assert process.poll() is None, (folder / "registry.log").read_text()
            assert time.monotonic() < deadline, "the registry did not answer within 30 s"
            time.sleep(0.05)
        yield LocalRegistry(host, folder / "data", process)
    finally:
        process.terminate()
        process.wait(30)


def answers(host: str) -> bool:
    """Tell whether it answers."""
    try:
        return requests.get(f"http://{host}/v2/", timeout=5).ok
    except requests.ConnectionError:
        return False


def docker(*words: str) -> str:
    """Run a docker command and return what it prints."""
    ran = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def image_id(name: str) -> str:
    """Return the id of an image; empty when the engine has none of this name."""
    asked = ["docker", "image", "inspect", "--format", "{{.Id}}", name]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def make_image(folder: Path, content: str, *, platform: str = "linux/amd64") -> str:
    """Build an image of one small file and return its id; the content makes it another one each time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "content").write_text(f"{content} {os.getpid()} {time.time_ns()}")
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY content /content\nCMD ["/content"]\n')
    words = ("--provenance=false", "--quiet", "--load", "--platform", platform)
    return docker("buildx", "build", *words, str(folder))
