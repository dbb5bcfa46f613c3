"""What goes wrong on a user's machine: no network, no room, no such server. Each ends in a sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .conftest import Shell, free_port, read_until

LLAMA = ("--stack", "llamacpp-cpu", "--runtime", "process")
NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
QUICK = {"PIP_RETRIES": "1", "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull}


def environments(shell: Shell) -> list[str]:
    """Return what of environments is there, whole or not."""
    return [path.name for path in (shell.root / ".blackstack/venvs").glob("*-*") if path.is_dir()]


def test_no_network_while_the_environment_is_made(shell: Shell) -> None:
    said = shell.inv("up", *LLAMA, env={**NOWHERE, **QUICK})

    assert said.code == 1, said.all
    assert "the package index cannot be reached" in said.err
    assert "PIP_INDEX_URL" in said.err
    assert environments(shell) == []


@pytest.fixture
def tiny_disk(shell: Shell) -> Iterator[None]:
    """Four megabytes for everything that the checkout keeps."""
    place = shell.root / ".blackstack"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=True)
    yield
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.usefixtures("tiny_disk")
@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root")
def test_a_disk_that_fills_up_while_the_environment_is_made(shell: Shell) -> None:
    said = shell.inv("up", *LLAMA)

    assert said.code == 1, said.all
    assert "the disk is full" in said.err
    assert environments(shell) == []


def test_a_url_where_nobody_listens(shell: Shell) -> None:
    said = shell.inv("bench", "--url", f"http://127.0.0.1:{free_port()}")

    assert said.code == 1, said.all
    assert "Traceback" not in said.err
    assert not list((shell.root / "results").glob("url-*.json"))


def test_a_url_that_is_no_openai_compatible_server(shell: Shell) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr
            said = shell.inv("bench", "--url", f"http://127.0.0.1:{port}", "--model", "x")
        finally:
            server.terminate()

    assert said.code != 0, said.all
    assert "OpenAI" in said.err
    assert "Traceback" not in said.err


def test_ctrl_c_while_it_measures_writes_nothing_and_leaves_the_server_up(shell: Shell) -> None:
    up = shell.inv("up", *LLAMA, "--set", f"PORT={free_port()}")
    assert up.code == 0, up.all
    bench = shell.begin("bench", "--requests", "500", "--output-tokens", "200")
    read_until(bench, "· bench")

    os.killpg(bench.pid, signal.SIGINT)
    _, err = bench.communicate(timeout=30)

    assert bench.returncode == 130, err
    assert "nothing was written; llamacpp-cpu is still up" in err
    assert not list((shell.root / "results").glob("llamacpp-cpu-*.json"))
    row = shell.status("llamacpp-cpu")
    assert row
    assert row["state"] == "running"


def test_a_model_file_that_is_cut_off_is_said(shell: Shell) -> None:
    cut = shell.root / "cut.gguf"
    cut.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64))

    said = shell.inv("up", *LLAMA, "--set", f"MODEL_FILE={cut}", "--set", f"PORT={free_port()}")

    assert said.code == 3, said.all
    assert "llama.cpp could not serve" in said.err
    assert shell.processes() == []


def test_the_cause_of_a_failed_start_is_named_and_can_be_asked_for_later(shell: Shell) -> None:
    up = shell.inv("up", *LLAMA, "--set", "MODEL_FILE=/nowhere.gguf", "--set", f"PORT={free_port()}")
    asked = shell.inv("diagnose", "--stack", "llamacpp-cpu", "--json")

    assert "[model-file-missing]" in up.err
    assert asked.code == 1
    assert json.loads(asked.out)[0]["code"] == "model-file-missing"


def test_a_silent_death_still_ends_in_a_verdict(shell: Shell) -> None:
    said = shell.inv("up", "--stack", "toy", "--python", sys.executable, "--set", "MODE=die-on-first")

    assert said.code == 3
    assert "SIGABRT" in said.err
    assert "cause: " in said.err
    assert "[native-abort]" in said.err
