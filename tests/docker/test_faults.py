"""Each fault of a container ends in its finding, soon, and leaves nothing behind: real signals, limits, networks."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import Said, Shell, copy_checkout
from tests.unit.conftest import REPOSITORY

from .project import containers, own_project

STACK = ("--stack", "simulator", "--runtime", "docker")
AT_ONCE_S = 30.0  # generous: five seconds on a machine that has nothing else to do; what it took is printed


@pytest.fixture(scope="module")
def simulator_image(base_image: str) -> str:
    """The simulator's image, under a tag of its own."""
    name = "blackstack/simulator:test"
    built = subprocess.run(
        [
            "docker",
            "build",
            "--quiet",
            "--tag",
            name,
            "--build-arg",
            f"BASE_IMAGE={base_image}",
            "dockerfiles/simulator",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return name


@pytest.fixture
def shell(tmp_path: Path, simulator_image: str, engine: docker.DockerClient) -> Iterator[Shell]:
    """A shell in a checkout whose simulator is a compose project of its own."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    with own_project(root, "simulator", simulator_image, engine) as user:
        yield user


def code_of(said: Said) -> str:
    """Return the code of the cause that `inv up` names."""
    found = re.search(r"cause: .*\[([a-z0-9-]+)\]", said.err)
    return found[1] if found else ""


def died_at(engine: docker.DockerClient, shell: Shell, since: float) -> float:
    """Return when the engine saw the shell's container die."""
    label = f"com.docker.compose.project={shell.env['COMPOSE_PROJECT_NAME']}"
    told = engine.events(
        since=int(since), until=int(time.time()) + 1, filters={"label": label, "event": "die"}, decode=True
    )
    return max(int(event["timeNano"]) / 1e9 for event in told)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGSEGV, "native-segfault", "die (exit code 139)"),
        (signal.SIGABRT, "native-abort", "die (exit code 134)"),
        (signal.SIGKILL, "killed-from-outside", "kill (SIGKILL)"),
        (signal.SIGTERM, "stopped-from-outside", "kill (SIGTERM)"),
    ],
)
def test_a_container_that_is_killed_is_explained_to_whoever_watches(
    shell: Shell, engine: docker.DockerClient, number: signal.Signals, code: str, word: str
) -> None:
    up = shell.inv("up", *STACK)
    assert up.code == 0, up.all
    watch = shell.begin("watch", "--stack", "simulator", "--interval", "600", "--timeout", "10")
    assert watch.stdout
    assert "ok: first token" in watch.stdout.readline()
    (container,) = containers(engine, shell)

    killed = time.time()
    if number in {signal.SIGSEGV, signal.SIGABRT}:  # its init does not pass them on: https://github.com/krallin/tini
        child = "int(open('/proc/1/task/1/children').read().split()[0])"
        container.exec_run(["python3", "-c", f"import os; os.kill({child}, {int(number)})"])
    else:
        container.kill(signal=number.name)
    out, err = watch.communicate(timeout=60)
    seconds = time.time() - killed

    assert watch.returncode == 1, err
    assert f"[{code}]" in out
    print(f"\nFAULT container killed by {number.name} → {code}: {seconds:.1f} s")  # noqa: T201
    assert seconds < AT_ONCE_S
    asked = json.loads(shell.inv("diagnose", "--stack", "simulator", "--json").out)
    assert asked[0]["code"] == code
    assert word in " ".join(asked[0]["evidence"])
    assert shell.inv("down", "--stack", "simulator").code == 0
    assert not containers(engine, shell)


@pytest.mark.parametrize(
    ("profile", "code", "evidence"),
    [
        ("oom", "host-oom-killed", "oom"),  # the memory limit of its compose file
        ("disk-full", "disk-full", "No space left on device"),  # a tmpfs of 8 MB
        ("cache-not-writable", "cache-dir-not-writable", "Read-only file system"),
    ],
)
def test_a_limit_of_the_container_ends_in_its_finding(
    shell: Shell, engine: docker.DockerClient, profile: str, code: str, evidence: str
) -> None:
    began = time.time()

    said = shell.inv("up", *STACK, "--profile", profile)
    told = time.time()

    assert said.code == 3, said.all
    assert code_of(said) == code
    seconds = told - died_at(engine, shell, began)
    print(f"\nFAULT {profile} in a container → {code}: {seconds:.1f} s")  # noqa: T201
    assert seconds < AT_ONCE_S
    kept = json.loads(shell.inv("diagnose", "--stack", "simulator", "--json").out)
    assert kept[0]["code"] == code
    assert evidence in " ".join(kept[0]["evidence"])
    assert not containers(engine, shell)


class CutRegistry(BaseHTTPRequestHandler):
    """A registry that greets, and whose line goes dead when an image is asked for."""

    def do_GET(self) -> None:
        """Answer the greeting, and drop everything else."""
        if self.path == "/v2/":
            self.send_response(200)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
        else:
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_a_network_that_is_cut_while_an_image_is_pulled_is_said(shell: Shell, engine: docker.DockerClient) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), CutRegistry) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        image = f"127.0.0.1:{registry.server_port}/no/image:1"

        said = shell.inv("up", *STACK, env={"IMAGE": image})
        registry.shutdown()

    assert said.code == 1, said.all
    assert "an image cannot be pulled" in said.err
    assert "--runtime process" in said.err
    assert not containers(engine, shell)


def test_a_stopped_container_is_hung_and_not_gone(shell: Shell, engine: docker.DockerClient) -> None:
    up = shell.inv("up", *STACK)
    assert up.code == 0, up.all
    (container,) = containers(engine, shell)
    container.pause()
    try:
        watch = shell.inv("watch", "--stack", "simulator", "--once", "--timeout", "2", "--json")
    finally:
        container.unpause()

    assert watch.code == 1, watch.all
    assert json.loads(watch.out)[-1]["code"] == "hung-behind-health"


def test_the_compose_file_s_own_limits_hold_what_the_lesson_promises(shell: Shell, engine: docker.DockerClient) -> None:
    assert shell.inv("up", *STACK).code == 0
    (container,) = containers(engine, shell)

    settings = container.attrs["HostConfig"]

    assert settings["Memory"] == settings["MemorySwap"] == 96 << 20
    assert settings["ReadonlyRootfs"]
    assert settings["RestartPolicy"]["Name"] in {"", "no"}
