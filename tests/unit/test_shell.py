"""Commands are lists, are shown as a person would type them, and fail alike."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


def test_bytes_are_handed_on_in_pieces_and_a_failure_is_not_mistaken_for_the_end() -> None:
    script = "import os; os.write(1, bytes(range(256)) * 8); os.write(2, b'half of it'); os._exit(3)"
    read = b""

    with pytest.raises(shell.CommandFailedError, match="exit code 3") as caught:
        for piece in shell.produce([sys.executable, "-c", script], piece=100):
            assert len(piece) <= 100
            read += piece

    assert read == bytes(range(256)) * 8
    assert "half of it" in str(caught.value)


def test_who_stops_reading_stops_the_command(tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\nwhile True: os.write(1, bytes(65536))"
    pieces = shell.produce([sys.executable, "-c", script, str(tmp_path / "pid")])
    next(iter(pieces))

    pieces.close()

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_command_is_fed_and_its_words_are_kept() -> None:
    script = "import sys; print(len(sys.stdin.buffer.read())); print('so much', file=sys.stderr)"

    done = shell.consume([sys.executable, "-c", script], [b"a" * 1000, b"b" * 500])

    assert (done.code, sorted(done.out.split("\n"))) == (0, ["", "1500", "so much"])
    assert shell.consume(["false"], [bytes(1 << 20)] * 4).code == 1  # it reads nothing: no broken pipe is raised


def test_a_command_that_is_no_longer_fed_is_stopped(tmp_path: Path) -> None:
    script = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); sys.stdin.buffer.read(); print('whole')"
    place = tmp_path / "pid"

    def pieces() -> Iterator[bytes]:
        while not place.exists() or not place.read_text():
            yield b"a"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell.consume([sys.executable, "-c", script, str(place)], pieces())

    with pytest.raises(ProcessLookupError):
        os.kill(int(place.read_text()), 0)
