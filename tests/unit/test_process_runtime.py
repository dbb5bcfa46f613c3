"""A real server of a few lines, really started, supervised and ended, without Docker."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blackstack import catalog, plan, ready
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError, BlockedError
from blackstack.host import Host
from blackstack.plan import Plan, Wishes
from blackstack.progress import StageClock
from blackstack.runtime import proc, state
from blackstack.runtime.process import ProcessRuntime
from blackstack.runtime.supervisor import RotatingLog


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture
def runtime(repository: Path) -> Iterator[ProcessRuntime]:
    """The runtime; what a test started is ended."""
    runtime = ProcessRuntime(repository)
    yield runtime
    runtime.stop(catalog.load(repository, "toy"), StageClock())


def planned(repository: Path, host: Host, port: int, mode: str = "sane") -> Plan:
    """Plan the toy, with the interpreter that runs this test."""
    wishes = Wishes(runtime="process", overrides=(f"PORT={port}", f"MODE={mode}"), python=sys.executable)
    return plan.make(catalog.load(repository, "toy"), host, wishes, shell_env={})


def wait_for(runtime: ProcessRuntime, made: Plan, timeout: float = 20) -> ready.Ready:
    """Wait for the toy as `up` does."""
    return ready.until_ready(
        ready.Wait(
            url=made.url,
            model=made.stack.x.model,
            engine=ENGINES["llamacpp"],
            timeout=timeout,
            observe=lambda: runtime.observe(made.stack),
            tail=lambda count: runtime.tail(made.stack, count),
            again="inv up",
        ),
        StageClock(),
    )


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def server_of(repository: Path) -> dict[str, object]:
    """Return the note of the toy's process."""
    return proc.read(state.folder(repository, "toy") / state.SERVER)


def test_a_server_is_started_and_answers(repository: Path, host: Host, port: int, runtime: ProcessRuntime) -> None:
    made = planned(repository, host, port)

    running = runtime.start(made, StageClock())
    answer = wait_for(runtime, made)

    assert running.state == "running"
    assert "Tokyo" in answer.answer
    assert list(answer.seconds) == ["import", "first-completion"]
    assert runtime.tail(made.stack, 100)[0] == "loading the toy"


def test_nothing_of_it_is_left_after_stop(repository: Path, host: Host, port: int, runtime: ProcessRuntime) -> None:
    made = planned(repository, host, port)
    runtime.start(made, StageClock())
    wait_for(runtime, made)
    note = server_of(repository)

    runtime.stop(made.stack, StageClock())

    assert runtime.observe(made.stack) is None
    assert not proc.lives(note["pid"], note["born"])
    assert not proc.lives(note["supervisor"], note["supervisor_born"])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_a_server_is_asked_to_end_before_it_is_made_to(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port)
    runtime.start(made, StageClock())
    wait_for(runtime, made)

    runtime.stop(made.stack, StageClock())

    assert runtime.tail(made.stack, 1) == ["asked to end"]


def test_the_server_has_a_session_of_its_own(repository: Path, host: Host, port: int, runtime: ProcessRuntime) -> None:
    runtime.start(planned(repository, host, port), StageClock())
    pid = server_of(repository)["pid"]
    assert isinstance(pid, int)

    assert os.getsid(pid) == pid
    assert os.getpgid(pid) == pid


def test_a_server_that_exits_ends_the_wait_with_its_last_lines_and_its_exit_code(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port, "die")
    runtime.start(made, StageClock())

    with pytest.raises(ready.ServerExitedError) as caught:
        wait_for(runtime, made)

    assert "exit code 1" in str(caught.value)
    assert "RuntimeError: the toy is broken" in str(caught.value)


def test_a_server_that_dies_on_its_first_request_is_not_called_ready(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port, "die-on-first")
    runtime.start(made, StageClock())

    with pytest.raises(ready.ServerExitedError) as caught:
        wait_for(runtime, made)

    assert "«first-completion»" in str(caught.value)
    assert "SIGABRT" in str(caught.value)


def test_a_server_that_never_answers_is_not_called_ready(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port, "hang")
    runtime.start(made, StageClock())

    with pytest.raises(ready.NotReadyError, match="has not answered the first prompt"):
        wait_for(runtime, made, timeout=3)


def test_a_server_that_answers_garbage_is_not_called_ready(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port, "garbage")
    runtime.start(made, StageClock())

    with pytest.raises(ready.NotReadyError, match="one character over and over"):
        wait_for(runtime, made)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_server_that_is_killed_is_known_by_its_signal(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime, number: signal.Signals
) -> None:
    made = planned(repository, host, port)
    runtime.start(made, StageClock())
    wait_for(runtime, made)
    pid = server_of(repository)["pid"]
    assert isinstance(pid, int)

    os.kill(pid, number)

    def ended() -> bool:
        running = runtime.observe(made.stack)
        return running is not None and running.state == "exited"

    assert eventually(ended)
    running = runtime.observe(made.stack)
    assert running is not None
    assert running.exit_code == -number
    assert number.name in running.ended


def test_a_number_that_another_process_has_now_is_not_taken_for_the_server(
    repository: Path, runtime: ProcessRuntime
) -> None:
    note = {"pid": os.getpid(), "born": "an-older-boot:1", "url": "http://127.0.0.1:1", "supervisor": 1}
    proc.write(state.folder(repository, "toy") / state.SERVER, note)
    stack = catalog.load(repository, "toy")

    running = runtime.observe(stack)

    assert running is not None
    assert running.state == "gone"
    runtime.stop(stack, StageClock())  # must not end this very test


def test_a_server_whose_supervisor_was_killed_can_still_be_stopped(
    repository: Path, host: Host, port: int, runtime: ProcessRuntime
) -> None:
    made = planned(repository, host, port)
    runtime.start(made, StageClock())
    wait_for(runtime, made)
    note = server_of(repository)
    assert isinstance(note["supervisor"], int)

    os.kill(note["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not proc.lives(note["supervisor"], note["supervisor_born"]))
    runtime.stop(made.stack, StageClock())

    assert not proc.lives(note["pid"], note["born"])


def test_an_environment_is_made_once(repository: Path, host: Host, runtime: ProcessRuntime) -> None:
    stack = catalog.load(repository, "toy")
    made = plan.make(stack, host, Wishes(runtime="process"), shell_env={})

    runtime.prepare(made, StageClock())
    again = plan.make(stack, host, Wishes(runtime="process"), shell_env={})

    assert [step.kind for step in again.steps] == ["start"]
    assert made.python
    assert Path(made.python).exists()


def test_an_environment_that_cannot_be_made_leaves_nothing_half_made(
    repository: Path, host: Host, runtime: ProcessRuntime
) -> None:
    (repository / "dockerfiles/toy/requirements.txt").write_text("there-is-no-such-package==1\n")
    made = plan.make(catalog.load(repository, "toy"), host, Wishes(runtime="process"), shell_env={})

    with pytest.raises(BlockedError, match="no package of the pinned version"):
        runtime.prepare(made, StageClock())

    assert made.environment
    assert not made.environment.exists()


def test_a_program_that_cannot_be_started_is_said(repository: Path, host: Host, runtime: ProcessRuntime) -> None:
    not_a_program = repository / "not-a-program"
    not_a_program.write_text("no")
    not_a_program.chmod(0o755)
    wishes = Wishes(runtime="process", python=str(not_a_program))
    made = plan.make(catalog.load(repository, "toy"), host, wishes, shell_env={})

    with pytest.raises(BlackstackError, match="could not be started"):
        runtime.start(made, StageClock())


def test_a_log_turns_when_it_is_full_and_cuts_no_line(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log", limit=100, count=2)

    for number in range(40):
        log.write(f"line {number:04}\n".encode())
    log.file.close()

    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["log", "log.1", "log.2"]
    assert all(len(line) == 9 for path in files for line in path.read_text().splitlines())
    assert (tmp_path / "log").read_text().splitlines()[-1] == "line 0039"


def test_two_cannot_hold_a_lock_at_once(tmp_path: Path) -> None:
    with (
        state.locked(tmp_path / "lock", doing="bring toy up"),
        pytest.raises(BlockedError, match="somebody else is at work") as caught,
        state.locked(tmp_path / "lock", doing="take toy down"),
    ):
        pass

    assert f"process {os.getpid()}, to bring toy up" in str(caught.value)
