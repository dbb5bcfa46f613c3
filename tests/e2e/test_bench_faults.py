"""A server that dies or hangs while it is measured: the silence is told, and the end is the server's, not a riddle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import Behaviour, Simulator

from .conftest import Shell
from .test_faults import code_of, simulator


@pytest.mark.parametrize(
    ("profile", "headline", "code"),
    [
        ("dies-later", "simulator died while it was measured", "native-segfault"),
        ("hangs-later", "simulator hangs", "hung-behind-health"),
        ("error-events-later", "simulator: requests failed", "answers-with-errors"),
    ],
)
def test_what_happens_to_a_stack_under_load_ends_in_its_finding(
    shell: Shell, profile: str, headline: str, code: str
) -> None:
    behaviour = ("--set", "BEHAVIOUR=unreliable") if profile == "error-events-later" else ("--profile", profile)
    assert shell.inv("up", *simulator(*behaviour)).code == 0

    said = shell.inv("bench", "--stack", "simulator", "--timeout", "2", "--requests", "30", "--out", "record.json")

    assert said.code == 3, said.all
    assert headline in said.err
    assert code_of(said) == code, said.err
    assert "Traceback" not in said.err
    assert (shell.root / "record.json").exists()
    assert "lower --concurrency" not in said.err


def test_a_server_that_is_stopped_in_its_tracks_is_named_while_it_is_measured(shell: Shell) -> None:
    assert shell.inv("up", *simulator()).code == 0
    status = shell.status("simulator")
    assert status is not None

    bench = shell.begin("bench", "--stack", "simulator", "--timeout", "8", "--requests", "1000", "--warmup", "0")
    log = shell.root / ".blackstack/run/simulator/server.log"
    while log.read_text().count("POST /v1/completions") < 3:  # the first was that of `inv up`
        assert bench.poll() is None
    pid = int(status["what"].removeprefix("process "))
    os.kill(pid, signal.SIGSTOP)
    try:
        _, err = bench.communicate(timeout=90)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert bench.returncode == 3
    assert "no token has arrived for 5 s" in err
    assert "simulator hangs" in err


def test_a_server_elsewhere_that_dies_is_said_to_be_gone(shell: Shell) -> None:
    with Simulator(Behaviour(die_at=30)) as server:
        said = shell.inv("bench", "--url", server.url, "--requests", "1000", "--out", "record.json")

    assert said.code == 3, said.all
    assert f"the server at {server.url} is gone" in said.err
    assert "connection refused" in said.err
    assert "answered: 27" in said.err
    assert "model simulated" in said.out


def test_the_client_alone_says_it_too(tmp_path: Path) -> None:
    with Simulator(Behaviour(die_at=30)) as server:
        words = ["--url", server.url, "--requests", "1000", "--out", str(tmp_path / "record.json")]
        command = [sys.executable, "-m", "blackstack.bench", *words]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert said.returncode == 1
    assert "given up: connection refused" in said.stderr
    assert "GIVEN UP" in said.stdout
