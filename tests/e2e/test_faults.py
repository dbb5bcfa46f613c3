"""Each fault ends in its finding, soon, and leaves nothing behind: simulated, in a terminal, without Docker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from blackstack.runtime import proc, state

from .conftest import Said, Shell, free_port

AT_ONCE_S = 30.0  # generous: five seconds on a machine that has nothing else to do; what it took is printed


def simulator(*words: str) -> tuple[str, ...]:
    """Return the words that mean the simulator, on a port of its own."""
    return ("--stack", "simulator", "--python", sys.executable, "--set", f"PORT={free_port()}", *words)


def code_of(said: Said) -> str:
    """Return the code of the cause that `inv up` names."""
    found = re.search(r"cause: .*\[([a-z0-9-]+)\]", said.err)
    return found[1] if found else ""


def leaves_nothing(shell: Shell) -> None:
    """Assert that no process, no port and no lock is left."""
    folder = shell.root / ".blackstack/run/simulator"
    assert shell.processes() == []
    assert not (folder / state.SERVER).exists()
    with state.locked(folder / "up.lock", doing="see that nobody holds it"), socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", int(proc.read(folder / state.UP)["asked_for"]["settings"]["PORT"])))


@pytest.mark.parametrize(
    ("profile", "code", "stage"),
    [
        ("dies-while-loading", "kv-cache-too-small-for-max-len", "kv-cache"),
        ("cuda-oom", "cuda-oom", "weights"),
        ("silent-segfault", "native-segfault", "graph-capture"),
        ("silent-abort", "native-abort", "weights"),
        ("disk-full", "disk-full", "weights"),
        ("exits-0", "exited-without-error", "weights"),
        ("dies-on-first-request", "native-segfault", "first-completion"),
        ("dies-with-last-words", "cuda-illegal-memory-access", "first-completion"),
        ("garbage", "garbage-output", "first-completion"),
        ("error-events", "answers-with-errors", "first-completion"),
    ],
)
def test_a_simulated_fault_ends_in_its_finding(shell: Shell, profile: str, code: str, stage: str) -> None:
    said = shell.inv("up", *simulator("--profile", profile))
    told = time.time()
    event = (shell.root / ".blackstack/run/simulator/server.log").stat().st_mtime  # its last line

    assert said.code == 3, said.all
    assert code_of(said) == code
    noted = json.loads((shell.root / ".blackstack/run/simulator/up.json").read_text())
    assert list(noted["stage_seconds"])[-1] == stage
    print(f"\nFAULT {profile} → {code}: {told - event:.1f} s")  # noqa: T201
    assert told - event < AT_ONCE_S
    leaves_nothing(shell)


@pytest.mark.parametrize(
    ("profile", "code"), [("never-ready", "not-ready-in-time"), ("hangs-behind-200", "hung-behind-health")]
)
def test_a_server_that_does_not_answer_in_time_is_named_and_removed(shell: Shell, profile: str, code: str) -> None:
    said = shell.inv("up", *simulator("--profile", profile), "--timeout", "2")
    kept = shell.inv("diagnose", "--stack", "simulator", "--json")

    assert said.code == 3, said.all
    assert code_of(said) == code
    assert json.loads(kept.out)[0]["code"] == code
    leaves_nothing(shell)


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        ("hangs-later", "hung-behind-health"),
        ("dies-later", "native-segfault"),
        ("garbage-later", "garbage-output"),
    ],
)
def test_a_fault_that_comes_later_is_seen_by_whoever_watches(shell: Shell, profile: str, code: str) -> None:
    up = shell.inv("up", *simulator("--profile", profile))
    assert up.code == 0, up.all

    watch = shell.inv("watch", "--interval", "0.5", "--timeout", "2", "--json")

    assert watch.code == 1, watch.all
    assert json.loads(watch.out)[0]["code"] == code


def test_a_server_that_is_killed_is_seen_while_nobody_asks_it(shell: Shell) -> None:
    assert shell.inv("up", *simulator()).code == 0
    row = shell.status("simulator")
    assert row
    watch = shell.begin("watch", "--interval", "600")
    assert watch.stdout
    assert "ok: first token" in watch.stdout.readline()

    os.kill(int(row["what"].split()[1]), signal.SIGKILL)
    killed = time.time()
    out, _ = watch.communicate(timeout=60)

    print(f"\nFAULT killed while watched → killed-from-outside: {time.time() - killed:.1f} s")  # noqa: T201
    assert watch.returncode == 1
    assert "[killed-from-outside]" in out


def test_once_is_a_health_check(shell: Shell) -> None:
    assert shell.inv("watch", "--once", "--stack", "simulator").code == 1
    assert shell.inv("up", *simulator()).code == 0

    well = shell.inv("watch", "--once", "--json")
    assert (well.code, well.out) == (0, "[]\n")
    row = shell.status("simulator")
    assert row
    by_url = shell.inv("watch", "--once", "--url", row["url"])
    assert by_url.code == 0, by_url.all
    assert shell.inv("watch", "--url", "foo://x").code == 2


def test_up_beside_a_server_that_was_stopped_in_its_tracks_says_that_it_hangs(shell: Shell) -> None:
    words = simulator()
    assert shell.inv("up", *words).code == 0
    row = shell.status("simulator")
    assert row
    pid = int(row["what"].split()[1])
    os.kill(pid, signal.SIGSTOP)
    try:
        again = shell.inv("up", *words, "--timeout", "3")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert again.code == 3, again.all
    assert code_of(again) == "hung-behind-health"
    assert "was left as it is" in again.err
    assert shell.inv("watch", "--once").code == 0


def test_two_ups_in_the_same_moment_are_one_server(shell: Shell) -> None:
    words = simulator()
    both = [shell.begin("up", *words), shell.begin("up", *words)]
    said = [process.communicate(timeout=100) for process in both]

    codes = sorted(process.returncode for process in both)
    told = "".join(out + err for out, err in said)
    assert codes in ([0, 0], [0, 1]), told
    assert "somebody else is at work" in told or "already up" in told
    assert len([line for line in shell.processes() if "serve.py" in line]) == 1


def test_no_wait_looks_at_the_time_of_day() -> None:
    """A jump of the clock, forwards or back, neither ends a wait nor makes one endless."""
    package = Path(__file__).parents[2] / "blackstack"
    waits = [package / f"{name}.py" for name in ("ready", "heartbeat", "progress", "shell", "verbs/proving")]
    waits += [package / "runtime/supervisor.py"]

    assert [path.name for path in waits if re.search(r"\btime\.time\(|\bdatetime\.now\(", path.read_text())] == [
        "proving.py"  # which shows it
    ]
