"""Build, up, bench, logs, down of real containers, and what comes between them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from blackstack import catalog
from blackstack.catalog import template
from tests.e2e.conftest import Shell, add_toy, copy_checkout, read_until
from tests.unit.conftest import REPOSITORY

from .project import containers, own_project

STACK = ("--stack", "llamacpp-cpu")


@pytest.fixture
def shell(tmp_path: Path, image: str, engine: docker.DockerClient) -> Iterator[Shell]:
    """A shell in a checkout whose stack is a compose project of its own, so that nobody's server is touched."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    add_toy(root)
    with own_project(root, "llamacpp-cpu", image, engine) as user:
        yield user


def networks(engine: docker.DockerClient, shell: Shell) -> list[Any]:
    """Return the networks of the shell's project."""
    return engine.networks.list(names=[shell.env["COMPOSE_PROJECT_NAME"]])


def test_up_status_bench_logs_down(shell: Shell, engine: docker.DockerClient) -> None:
    up = shell.inv("up", *STACK)
    assert up.code == 0, up.all
    assert "(docker)" in up.out
    row = shell.status("llamacpp-cpu")
    assert row
    assert (row["state"], row["runtime"]) == ("running", "docker")

    bench = shell.inv("bench", "--requests", "4", "--concurrency", "2", "--output-tokens", "8", "--json")
    assert bench.code == 0, bench.all
    record = json.loads(bench.out)
    assert record["complete"], record["missing"]
    assert record["found_inside"]["image_id"].startswith("sha256:")
    assert record["found_inside"]["packages"]["xllamacpp"] == "2026.10.11549"
    assert record["runs"][0]["requests"] == 4
    assert not sum(record["runs"][0]["failures"].values())

    assert "listening on" in shell.inv("logs", *STACK).out
    down = shell.inv("down")
    assert down.code == 0, down.all
    assert "listening on" in shell.inv("logs", *STACK).out
    assert not containers(engine, shell)
    assert not networks(engine, shell)


def test_the_container_can_do_little_more_than_serve(shell: Shell, engine: docker.DockerClient) -> None:
    assert shell.inv("up", *STACK).code == 0

    (container,) = containers(engine, shell)
    facts = container.attrs
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    assert facts["HostConfig"]["ReadonlyRootfs"]
    assert "no-new-privileges:true" in facts["HostConfig"]["SecurityOpt"]
    assert facts["Config"]["User"] not in {"", "root", "0"}
    binding = facts["HostConfig"]["PortBindings"]["8080/tcp"][0]
    assert binding["HostIp"] == "127.0.0.1"


def test_a_container_killed_from_outside_is_seen(shell: Shell, engine: docker.DockerClient) -> None:
    assert shell.inv("up", *STACK).code == 0
    (container,) = containers(engine, shell)

    container.kill()
    row = shell.status("llamacpp-cpu")

    assert row
    assert row["state"] == "exited"
    assert "SIGKILL" in row["what"]
    again = shell.inv("up", *STACK)
    assert again.code == 0, again.all


def test_a_server_started_by_hand_is_measured_without_a_claim_of_what_was_asked(shell: Shell) -> None:
    by_hand = ["docker", "compose", "--file", str(shell.root / "compose/llamacpp-cpu.yaml"), "up", "--detach", "--wait"]
    subprocess.run(by_hand, env={**os.environ, **shell.env, "CTX_SIZE": "1024"}, capture_output=True, check=True)

    assert shell.inv("up", *STACK).code == 0
    said = shell.inv("bench", "--requests", "2", "--concurrency", "1", "--output-tokens", "4", "--json")

    assert said.code == 0, said.all
    assert "not known" in json.loads(said.out)["asked_for"]["settings"]


def test_a_container_that_was_started_elsewhere_is_not_taken_for_the_process_that_is_asked_for(
    shell: Shell, engine: docker.DockerClient
) -> None:
    assert shell.inv("up", *STACK).code == 0
    (shell.root / ".blackstack/run/llamacpp-cpu/up.json").unlink()  # as another checkout sees it

    other = shell.inv("up", *STACK, "--runtime", "process")

    assert (other.code, "already up with --runtime docker" in other.all) == (1, True), other.all
    assert containers(engine, shell)
    assert "(docker)" in shell.inv("up", *STACK).out


def test_a_value_that_compose_cannot_read_does_not_stand_in_the_way_of_down(
    shell: Shell, engine: docker.DockerClient
) -> None:
    assert shell.inv("up", *STACK).code == 0

    said = shell.inv("down", *STACK, env={"PORT": "abc"})

    assert said.code == 0, said.all
    assert not containers(engine, shell)


def test_a_port_that_a_container_holds_is_said(shell: Shell) -> None:
    assert shell.inv("up", *STACK).code == 0

    said = shell.inv("up", "--stack", "toy", "--runtime", "process")

    assert said.code == 1
    assert f"port {shell.env['PORT']} is taken by" in said.err
    assert "--set PORT=" in said.err


def test_a_server_that_fails_leaves_no_container(shell: Shell, engine: docker.DockerClient) -> None:
    said = shell.inv("up", *STACK, "--set", "MODEL_FILE=/nowhere.gguf")

    assert said.code == 3, said.all
    assert "cannot read the model file /nowhere.gguf" in said.err
    assert not containers(engine, shell)
    assert "cannot read the model file" in shell.inv("logs", *STACK).out


def test_ctrl_c_while_it_starts_leaves_no_container(shell: Shell, engine: docker.DockerClient) -> None:
    up = shell.begin("up", *STACK)
    read_until(up, "· import")

    os.killpg(up.pid, signal.SIGINT)
    _, err = up.communicate(timeout=60)

    assert up.returncode == 130, err
    assert "the server was stopped and removed" in err
    assert not containers(engine, shell)


def test_an_image_that_cannot_be_pulled_is_said_with_the_ways_around(shell: Shell) -> None:
    compose = shell.root / "compose/toy.yaml"
    text = re.sub(r"  build: .*\n", "", compose.read_text())
    compose.write_text(re.sub(r"    BASE_IMAGE: .*\n", "", text))
    (shell.root / "env/toy.env").write_text("")

    said = shell.inv("up", "--stack", "toy", "--runtime", "docker", env={"IMAGE": "127.0.0.1:1/no/image:1"})

    assert said.code == 1, said.all
    assert "an image cannot be pulled" in said.err
    assert "--runtime process" in said.err


def test_a_base_image_that_cannot_be_pulled_is_said_with_the_ways_around(shell: Shell) -> None:
    said = shell.inv("build", *STACK, "--set", "BASE_IMAGE=127.0.0.1:1/no/base:1", "--set", "IMAGE=not-built:1")

    assert said.code == 1, said.all
    assert "could not be built" in said.err
    assert "--set BASE_IMAGE=" in said.err
    assert "--runtime process" in said.err


def test_ctrl_c_while_an_image_is_built_leaves_no_image(
    shell: Shell, engine: docker.DockerClient, base_image: str
) -> None:
    dockerfile = shell.root / "dockerfiles/llamacpp-cpu/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + f"\nUSER root\nRUN echo slowly {time.time()}; sleep 300\n")
    never = f"never-built-{time.time_ns()}"
    words = ("--set", f"BASE_IMAGE={base_image}", "--set", f"IMAGE={never}:1")
    build = shell.begin("build", *STACK, "--runtime", "docker", *words)
    read_until(build, "+ docker buildx build")
    time.sleep(1)  # somewhere in the middle; where, does not matter

    os.killpg(build.pid, signal.SIGINT)
    _, err = build.communicate(timeout=60)

    assert build.returncode == 130, err
    assert "was not built" in err
    assert not engine.images.list(never)


def test_a_build_keeps_nothing_of_the_network_it_was_made_in(image: str, engine: docker.DockerClient) -> None:
    history = json.dumps(engine.images.get(image).history())
    environment = engine.images.get(image).attrs["Config"]["Env"]
    found = engine.containers.run(
        image,
        ["-c", "import os; print(os.path.exists('/run/secrets'), os.path.exists('/wheels'))"],
        entrypoint="python3",
        remove=True,
    )

    assert not [name for name in environment if name.startswith(("PIP_", "HTTP", "SSL_"))]
    assert "CERTIFICATE" not in history
    assert found.decode().split() == ["False", "False"]


@pytest.mark.parametrize("name", catalog.names(REPOSITORY))
def test_we_read_a_compose_file_as_compose_does(name: str) -> None:
    stack = catalog.load(REPOSITORY, name)
    bare = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PORT": "9999"}
    command = ["docker", "compose", "--file", str(stack.path), "config", "--format", "json"]
    config = json.loads(subprocess.run(command, env=bare, capture_output=True, check=True).stdout)
    theirs = config["services"][stack.x.service]

    ours = template.filled(stack.service, {**stack.defaults, "PORT": "9999"})

    assert ours["image"] == theirs["image"]
    assert [str(word) for word in ours["command"]] == theirs["command"]
    assert ours["environment"] == {key: value or "" for key, value in theirs["environment"].items()}
    assert str(theirs["ports"][0]["published"]) == "9999"
    assert theirs["ports"][0]["target"] == stack.container_port


@pytest.fixture
def network() -> Iterator[tuple[str, ...]]:
    """A network namespace: a second engine in ours would take the first one's bridge down."""
    name = f"blackstack-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-netns", name, "link", "set", "lo", "up"], check=True)
    yield ("nsenter", f"--net=/run/netns/{name}")  # not `ip netns exec`: it hides the cgroups
    subprocess.run(["ip", "netns", "delete", name], check=True)


@dataclass
class OwnEngine:
    """An engine of a test's own, which may be stopped and started again."""

    network: tuple[str, ...]
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """What leads a client to it."""
        return {"DOCKER_HOST": f"unix://{self.folder}/s"}

    def start(self) -> None:
        """Start it and wait until it answers."""
        # Short names: a socket's path has at most 104 characters.
        places = [f"--{flag}={self.folder}/{flag[:4]}" for flag in ("data-root", "exec-root", "pidfile")]
        with (self.folder / "log").open("ab") as log:
            argv = [*self.network, "dockerd", *places, "--host", self.env["DOCKER_HOST"]]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["docker", "info"], env={**os.environ, **self.env}, capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop it; its containers stop with it."""
        if self.process:
            self.process.terminate()
            self.process.wait(60)
        self.process = None


@pytest.fixture
def own_engine(network: tuple[str, ...], image: str, tmp_path: Path) -> Iterator[OwnEngine]:
    """An engine of this test's own that holds the image."""
    engine = OwnEngine(network, tmp_path)
    try:
        engine.start()
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "load"], stdin=saved.stdout, env={**os.environ, **engine.env}, check=True)
        yield engine
    finally:
        engine.stop()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="an engine of one's own needs root")
def test_an_engine_that_stops_in_the_middle_and_comes_back_is_said(
    shell: Shell, network: tuple[str, ...], own_engine: OwnEngine
) -> None:
    shell.prefix, own = network, own_engine.env
    up = shell.inv("up", *STACK, env=own)
    assert up.code == 0, up.all

    own_engine.stop()

    row = json.loads(shell.inv("status", "--json", env=own).out)[0]
    assert row["state"] == "unreachable"
    again = shell.inv("up", *STACK, env=own)
    assert again.code == 1
    assert "no engine answers now" in again.err
    down = shell.inv("down", env=own)
    assert down.code == 1
    assert "no Docker engine answers" in down.err
    watch = shell.inv("watch", "--stack", "llamacpp-cpu", "--once", "--json", env=own)
    assert watch.code == 1, watch.all
    assert json.loads(watch.out)[-1]["code"] == "server-gone"

    own_engine.start()

    row = json.loads(shell.inv("status", "--json", env=own).out)[0]
    assert row["state"] in {"exited", "running"}  # the engine ended the container, and may have started it again
    assert shell.inv("down", env=own).code == 0
    assert json.loads(shell.inv("status", "--json", env=own).out) == []


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="an engine of one's own needs root")
def test_an_engine_that_stops_while_a_server_loads_ends_in_a_sentence(
    shell: Shell, network: tuple[str, ...], own_engine: OwnEngine
) -> None:
    shell.prefix = network
    up = shell.begin("up", *STACK, env=own_engine.env)
    read_until(up, "· create")

    own_engine.stop()
    _, err = up.communicate(timeout=60)

    assert up.returncode in {1, 3}, err
    assert "Traceback" not in err
    assert "may still run" in err
