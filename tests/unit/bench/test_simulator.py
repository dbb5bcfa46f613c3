"""The simulator does what its profiles say; it is a teacher, so it must not fail by accident."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException

import pytest

from blackstack import catalog
from blackstack.bench import Target, Workload, measure
from simulator import PROFILES, Simulator
from tests.unit.conftest import REPOSITORY

SERVE = REPOSITORY / "dockerfiles/simulator/serve.py"


@pytest.mark.parametrize("profile", [name for name, known in PROFILES.items() if not known.unhealthy])
def test_health_is_fine_whatever_else_is_wrong(profile: str) -> None:
    with Simulator(PROFILES[profile]) as server:
        connection = HTTPConnection(server.host, server.port, timeout=5)
        connection.request("GET", "/health")

        assert connection.getresponse().status == 200
        connection.close()


def test_the_same_request_gets_the_same_answer() -> None:
    answers = []
    for _ in range(2):
        with Simulator() as server:
            measure(Target(url=server.url), Workload(warmup=0, requests=1, output_tokens=4))
            connection = HTTPConnection(server.host, server.port, timeout=5)
            connection.request("POST", "/v1/completions", '{"model": "simulated", "prompt": "x", "max_tokens": 5}')
            answers.append(connection.getresponse().read())
            connection.close()

    assert answers[0] == answers[1]


def start(*arguments: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the simulator as a process and wait until it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVE, "--port", str(port), *arguments], stderr=-3)
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    return process, port


def test_dies_on_first_request_dies_without_a_word() -> None:
    process, port = start("--behaviour", "dies-on-first-request")
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/v1/completions", '{"model": "simulated", "prompt": "x"}')

    with pytest.raises((HTTPException, OSError)):
        connection.getresponse()
    assert process.wait(10) == -signal.SIGSEGV
    connection.close()


def test_sigterm_ends_it_cleanly() -> None:
    process, _ = start()
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0


def test_the_stack_offers_what_the_simulator_can_do() -> None:
    stack = catalog.load(REPOSITORY, "simulator")

    assert stack.x.knobs["BEHAVIOUR"].choices == tuple(PROFILES)
    assert all(profile.set == {"BEHAVIOUR": name} for name, profile in stack.x.profiles.items())


def test_the_lesson_names_each_profile() -> None:
    lesson = (REPOSITORY / "docs/learn-the-failures.md").read_text(encoding="utf-8")

    assert [name for name in catalog.load(REPOSITORY, "simulator").x.profiles if f"`{name}`" not in lesson] == []
