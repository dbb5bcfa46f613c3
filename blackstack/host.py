"""What this machine has: the Docker engine and what lies in it, processors, memory, disk. Looked at, never changed."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from blackstack import shell
from blackstack.errors import BlockedError

if TYPE_CHECKING:
    import docker

ANSWER_S = 5.0  # an engine on this machine answers in milliseconds


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A Docker engine that answers.

    Attributes:
        version: of the engine.
        compose: version of the compose plugin, or empty where there is none.
        images: the name of every image that the engine holds, by tag and by digest.
        address: how it is reached, as DOCKER_HOST writes it.
    """

    version: str
    compose: str
    images: frozenset[str]
    address: str


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine as it is now.

    Attributes:
        engine: the Docker engine, or None, and then ``no_engine`` says why.
        cpu: the processor's name.
        cores: the processors that we may use.
        memory_bytes: main memory.
        disk_free_bytes: of the disk that the repository lies on.
        system: kernel and distribution.
        python: the version that we run on.
        revision: the repository's commit, with ``-dirty`` where files differ from it; empty without git.
    """

    engine: Engine | None
    no_engine: BlockedError | None
    cpu: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    system: str
    python: str
    revision: str = ""

    def as_record(self) -> dict[str, object]:
        """Return what a record says of the machine that it was made on."""
        engine = {"docker": self.engine.version, "compose": self.engine.compose} if self.engine else {}
        return {
            "cpu": self.cpu,
            "cores": self.cores,
            "memory_bytes": self.memory_bytes,
            "system": self.system,
            "blackstack_revision": self.revision,
            **engine,
        }


def look(root: Path) -> Host:
    """Look at this machine."""
    engine, no_engine = None, None
    try:
        engine = _look_at_engine()
    except BlockedError as error:
        no_engine = error
    return Host(
        engine=engine,
        no_engine=no_engine,
        cpu=_cpu_name(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        disk_free_bytes=shutil.disk_usage(root).free,
        system=f"{platform.system()} {platform.release()}, {_distribution()}",
        python=platform.python_version(),
        revision=_revision(root),
    )


@functools.cache
def client() -> docker.DockerClient:
    """Return a client of the engine that the ``docker`` command would talk to.

    Raises:
        BlockedError: no engine, one that does not answer, or one that we may not use.
    """
    address = engine_address()
    _refuse_dead_socket(address)
    import docker  # noqa: PLC0415 - a quarter of a second that only Docker's users should pay
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        found = docker.DockerClient.from_env(
            version="auto", timeout=60, environment={**os.environ, "DOCKER_HOST": address}
        )
        found.ping()
    except DockerException as error:
        raise no_engine(f"{address}: {error}") from error
    return found


@functools.cache
def engine_address() -> str:
    """Return where the ``docker`` command would look for its engine: DOCKER_HOST, or the current context."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    if shutil.which("docker") is None:
        raise no_engine("there is no `docker` command on PATH")
    asked = shell.capture(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout=ANSWER_S)
    return asked.out.strip() or "unix:///var/run/docker.sock"


def no_engine(why: str) -> BlockedError:
    """Make the error for a machine without a usable engine."""
    return BlockedError(
        "no Docker engine answers",
        why=why,
        fix=["sudo systemctl start docker", "or, where the stack can run without Docker: --runtime process"],
    )


def _refuse_dead_socket(address: str) -> None:
    """Say why a socket cannot be used, in a sentence that the client library does not have."""
    parts = urlsplit(address)
    if parts.scheme != "unix":
        return
    if not os.path.exists(parts.path):  # noqa: PTH110 - Path.exists raises where the folder is closed to us
        raise no_engine(f"there is no socket {parts.path}: the engine is not running, or not installed")
    if not os.access(parts.path, os.R_OK | os.W_OK):
        raise BlockedError(
            "the Docker engine may not be used by this user",
            why=f"no permission for {parts.path}",
            fix=[
                "sudo usermod --append --groups docker $USER   # then log in anew; the group is as good as root",
                "or, where the stack can run without Docker: --runtime process",
            ],
        )
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(parts.path)
        except OSError as error:
            raise no_engine(f"{parts.path}: {error.strerror}; the engine that made this socket is gone") from error


def _look_at_engine() -> Engine:
    asked = client()
    version = str(asked.version().get("Version", "unknown"))
    compose = shell.capture(["docker", "compose", "version", "--short"], timeout=ANSWER_S)
    images: list[Mapping[str, Any]] = asked.api.images()  # one request; the object layer asks once more for each
    return Engine(
        version=version,
        compose=compose.out.strip() if compose.code == 0 else "",
        images=frozenset(
            name for image in images for key in ("RepoTags", "RepoDigests") for name in image.get(key) or ()
        ),
        address=engine_address(),
    )


def _revision(root: Path) -> str:
    if shutil.which("git") is None:
        return ""
    described = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return shell.capture(described, timeout=ANSWER_S).out.strip()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return platform.platform(terse=True)
