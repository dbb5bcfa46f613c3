"""Commands are lists, are shown as a person would type them, and fail alike."""

from __future__ import annotations

import sys
import time

import pytest

from blackstack import shell
from blackstack.errors import BlockedError
from blackstack.runtime import proc


def test_a_command_is_shown_as_a_person_would_type_it() -> None:
    assert shell.typed(["docker", "run", "a b"], {"PORT": "80 80"}) == "PORT='80 80' docker run 'a b'"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (1, "exit code 1"),
        (-9, "signal 9 (SIGKILL)"),
        (139, "signal 11 (SIGSEGV)"),
        (255, "exit code 255"),
    ],
)
def test_an_exit_code_is_said_in_words(code: int, words: str) -> None:
    assert shell.ending(code) == words


def test_a_command_that_fails_says_what_it_printed() -> None:
    with pytest.raises(shell.CommandFailedError) as caught:
        shell.capture([sys.executable, "-c", "import sys; sys.exit('it is broken')"], check=True)

    assert "it is broken" in str(caught.value)
    assert "exit code 1" in str(caught.value)


def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(BlockedError, match="cannot start 'no-such-program'"):
        shell.capture(["no-such-program"])


def test_a_command_that_does_not_end_in_time_has_the_exit_code_of_timeout() -> None:
    assert shell.capture([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2).code == 124


def test_lines_arrive_while_the_command_works_and_progress_bars_are_lines() -> None:
    lines: list[str] = []

    done = shell.follow(
        [sys.executable, "-c", r"print('one\rtwo'); import sys; sys.stderr.write('three\n'); sys.exit(3)"],
        on_line=lines.append,
    )

    assert (sorted(lines), done.code) == (["one", "three", "two"], 3)


def test_an_interrupted_command_is_ended_with_its_children() -> None:
    child = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    seen: list[str] = []

    def interrupt(line: str) -> None:
        seen.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell.follow([sys.executable, "-c", parent], on_line=interrupt)

    deadline = time.monotonic() + 5  # a kill is delivered a moment after it was sent
    while proc.birth(int(seen[0])) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proc.birth(int(seen[0])) == ""
