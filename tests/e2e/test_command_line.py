"""What is mistyped ends with a sentence, an example and exit code 2; Ctrl-C with a line and 130."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.conftest import REPOSITORY

from .conftest import NO_ENGINE


def begin(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Type a command in this checkout: nothing here is started or written."""
    return subprocess.Popen(
        [sys.executable, "-m", "invoke", *words],
        cwd=REPOSITORY,
        env={**os.environ, **NO_ENGINE, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("up", "--stak", "toy"), ["inv up has no flag --stak", "did you mean --stack?", "inv up --help"]),
        (("up", "-s", "vllm-cpu"), ["inv up has no flag -s", "flags are spelled out"]),
        (("up", "vllm-cpu"), ["only behind a flag", "next: inv up --stack vllm-cpu"]),
        (("plan", "PORT=1"), ["only behind a flag", "next: inv plan --set PORT=1"]),
        (("lint", "compose/vllm-cpu.yaml"), ["next: inv lint --file compose/vllm-cpu.yaml"]),
        (("lint", "missing.yml"), ["next: inv lint --file missing.yml"]),
        (("lint", "--file", "missing.yml"), ["cannot read missing.yml", "next: inv lint --file PATH"]),
        (
            ("backends", "--stack", "llamacpp-cpu", "--axis", "atention"),
            ["did you mean 'attention'?", "inv backends --stack llamacpp-cpu --axis attention"],
        ),
        (("pu",), ["no verb called 'pu'", "did you mean 'up'?", "inv --list"]),
        (("--stak", "toy"), ["inv itself has no flag --stak"]),
        (
            ("bench", "--output-tokens"),
            ["inv bench --output-tokens needs a value", "tokens that each request asks for"],
        ),
        (("up", "--set"), ["inv up --set needs a value"]),
        (("plan", "--extra", "--stack", "vllm-cpu"), ["inv plan --extra needs a value"]),
        (("plan", "--set", "PORT=1", "--set"), ["inv plan --set needs a value"]),
        (("bench", "--url", ""), ["inv bench --url needs a value"]),
        (("diagnose", "--log="), ["inv diagnose --log needs a value"]),
        (("bench", "--out", "results"), ["results is a folder", "next: --out results/NAME.json"]),
        (("bench", "--concurrency", "8,8"), ["names one twice", "--repeats"]),
        (("bench", "--url", "http://me:hush@127.0.0.1:1"), ["would stand in the result", "--api-key-env"]),
        (("compare",), ["next: inv compare "]),
        (("compare", "vllm-cpu"), ["next: inv compare "]),
        (("verdict",), ["not given: --candidates, --model", "next: inv verdict --candidates llamacpp-cpu,"]),
        (("verdict", "--candidates", "vllm-cpu"), ["not given: --model", "next: inv verdict --candidates"]),
        (("restore",), ["give one of --archive FILE, --stack NAME", "next: "]),
        (("export",), ["needs a folder", "next: inv export --stack NAME --out DIR"]),
        (("audit",), ["give one of --stack", "next: inv --help audit"]),
    ],
)
def test_what_is_mistyped_is_said_with_a_way_out_and_exit_code_2(words: tuple[str, ...], says: list[str]) -> None:
    process = begin(*words)
    out, err = process.communicate(timeout=100)

    assert (process.returncode, out) == (2, ""), err
    assert [text for text in says if text not in err] == [], err


@pytest.mark.parametrize("verb", ["up", "plan", "doctor", "build", "lint", "bench", "tune", "pin", "export"])
def test_a_stack_that_does_not_exist_gets_the_nearest_one_and_exit_code_2(verb: str) -> None:
    process = begin(verb, "--stack", "vlm-cpu", *(["--out", "x"] if verb == "export" else []))
    _, err = process.communicate(timeout=100)

    assert process.returncode == 2, err
    assert "no stack called 'vlm-cpu'" in err
    assert "did you mean 'vllm-cpu'?" in err


@pytest.fixture
def silent_engine() -> Iterator[socket.socket]:
    """An engine that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


@pytest.mark.parametrize("words", [("plan",), ("doctor",), ("stacks", "--fits"), ("audit", "--image", "a:b")])
def test_ctrl_c_while_the_engine_is_asked_is_a_line_and_130(
    words: tuple[str, ...], silent_engine: socket.socket
) -> None:
    process = begin(*words, env={"DOCKER_HOST": f"tcp://127.0.0.1:{silent_engine.getsockname()[1]}"})
    with silent_engine.accept()[0]:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")


def test_ctrl_c_while_a_file_is_read_is_a_line_and_130(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = begin("lint", "--file", str(pipe))
    with pipe.open("wb"):  # waits until the command has opened the other end
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")
