"""A checkout of its own, and a shell in it in which `inv` is typed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import COMPOSE, ENV, REPOSITORY

NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams."""
        return self.out + self.err


@dataclass
class Shell:
    """A user's shell in a checkout; what is started in it is noted and ended by the fixture."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: dict(NO_ENGINE))
    prefix: tuple[str, ...] = ()
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def inv(self, *words: str, env: dict[str, str] | None = None, timeout: float = 100) -> Said:
        """Type a command and wait for its end."""
        process = self.begin(*words, env=env)
        out, err = process.communicate(timeout=timeout)
        return Said(process.returncode, out, err)

    def begin(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Type a command and do not wait."""
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "invoke", *words],
            cwd=self.root,
            env={**os.environ, **self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def status(self, stack: str) -> dict[str, Any] | None:
        """Return what `inv status` says of a stack."""
        said = self.inv("status", "--stack", stack, "--json")
        assert said.code == 0, said.all
        rows: list[dict[str, Any]] = json.loads(said.out)
        return rows[0] if rows else None

    def end(self) -> None:
        """End what was started and is still at work, and let go of its streams."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()

    def processes(self) -> list[str]:
        """Return the command lines of all processes that work in this checkout: what a stack left, if any."""
        mine = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                cwd, words = (entry / "cwd").readlink(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if cwd == self.root and words:
                mine.append(words.replace(b"\0", b" ").decode(errors="replace"))
        return mine


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a checkout that also has the toy stack of the unit tests."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    add_toy(root)
    user = Shell(root)
    yield user
    user.end()
    for folder in (root / ".blackstack/run").glob("*"):
        user.inv("down", "--stack", folder.name)
    user.end()


def copy_checkout(root: Path) -> None:
    """Copy what git knows of this repository, and what it does not ignore."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        if (REPOSITORY / name).is_file() and not name.startswith("results/"):  # records of other runs
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)


def add_toy(root: Path) -> None:
    """Add a stack whose server is a few lines of Python."""
    (root / "compose/toy.yaml").write_text(COMPOSE)
    (root / "env/toy.env").write_text(ENV.replace("PORT=8080", f"PORT={free_port()}"))
    (root / "dockerfiles/toy").mkdir()
    (root / "dockerfiles/toy/Dockerfile").write_text("FROM scratch\n")
    (root / "dockerfiles/toy/requirements.txt").write_text("# nothing\n")
    shutil.copy(REPOSITORY / "tests/unit/toy_server.py", root / "dockerfiles/toy/serve.py")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def read_until(process: subprocess.Popen[str], text: str, *, seconds: float = 60) -> str:
    """Read a command's standard error until a text stands in it.

    Raises:
        AssertionError: the command ended, or the time is over, before.
    """
    read = ""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.stderr:
        line = process.stderr.readline()
        read += line
        if text in line:
            return read
        if not line:
            break
    raise AssertionError(f"{text!r} was not said; what was said:\n{read}")
