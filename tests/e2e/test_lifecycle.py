"""Up, status, logs, down, and everything that can come between them, with a server of a few lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from .conftest import Shell, read_until

TOY = ("--stack", "toy", "--python", sys.executable)  # its interpreter needs no environment


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Press Ctrl-C: every process of the terminal's foreground gets it."""
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out + err


def test_up_twice_is_one_server(shell: Shell) -> None:
    first = shell.inv("up", *TOY)
    again = shell.inv("up", *TOY)

    assert (first.code, again.code) == (0, 0), first.all + again.all
    assert "toy is already up" in again.all
    assert len([line for line in shell.processes() if "serve.py" in line]) == 1


def test_what_is_printed_is_a_curl_that_works(shell: Shell) -> None:
    said = shell.inv("up", *TOY)

    command = next(line for line in said.out.splitlines() if "curl" in line)
    answer = subprocess.run(["sh", "-c", f"{command} --silent"], capture_output=True, text=True, check=True)
    assert "Tokyo" in answer.stdout


def test_another_wish_for_a_stack_that_is_up_is_a_question(shell: Shell) -> None:
    shell.inv("up", *TOY)

    said = shell.inv("up", *TOY, "--set", "SLOTS=9")

    assert said.code == 1
    assert "SLOTS: 4 → 9" in said.err
    assert "inv down --stack toy" in said.err


def test_down_of_what_is_not_up_says_so_and_is_no_error(shell: Shell) -> None:
    said = shell.inv("down", "--stack", "toy")

    assert (said.code, said.out) == (0, "toy was not up\n")


def test_bench_without_a_stack_asks_for_one_when_none_is_up(shell: Shell) -> None:
    said = shell.inv("bench")

    assert said.code == 2
    assert "none is up" in said.err


def test_the_log_can_be_read_after_the_end(shell: Shell) -> None:
    shell.inv("up", *TOY)
    shell.inv("down", "--stack", "toy")

    said = shell.inv("logs", "--stack", "toy")

    assert "loading the toy" in said.out


def test_a_followed_log_ends_with_its_server(shell: Shell) -> None:
    shell.inv("up", *TOY)
    following = shell.begin("logs", "--stack", "toy", "--follow")
    assert following.stdout
    assert "loading the toy" in following.stdout.readline()

    shell.inv("down", "--stack", "toy")
    following.communicate(timeout=20)

    assert following.returncode == 0


def test_a_server_killed_from_outside_is_seen(shell: Shell) -> None:
    shell.inv("up", *TOY)
    before = shell.status("toy")
    assert before
    os.kill(int(before["what"].split()[1]), signal.SIGKILL)

    after = shell.status("toy")

    assert after
    assert after["state"] == "exited"
    assert "SIGKILL" in after["what"]
    assert shell.inv("down").code == 0
    assert shell.status("toy") is None


@pytest.mark.parametrize("mode", ["die", "die-on-first", "garbage"])
def test_a_server_that_fails_leaves_nothing_behind(shell: Shell, mode: str) -> None:
    said = shell.inv("up", *TOY, "--set", f"MODE={mode}")

    assert said.code == 3, said.all
    assert "nothing is left running" in said.err
    assert shell.processes() == []
    assert shell.status("toy") is None


def test_ctrl_c_while_it_loads_leaves_nothing_behind(shell: Shell) -> None:
    up = shell.begin("up", *TOY, "--set", "MODE=slow")
    read_until(up, "· loading")

    code, said = interrupt(up)

    assert code == 130
    assert "the server was stopped and removed" in said
    assert "Traceback" not in said
    assert shell.processes() == []
    assert shell.status("toy") is None


def test_ctrl_c_while_the_environment_is_made_leaves_nothing_half_made(shell: Shell) -> None:
    up = shell.begin("up", "--stack", "toy", "--runtime", "process")
    read_until(up, "· environment")

    code, said = interrupt(up)

    assert code == 130
    assert "nothing had been started" in said
    assert not list((shell.root / ".blackstack/venvs").glob("toy-*"))


def test_a_killed_inv_leaves_a_state_that_the_next_one_understands(shell: Shell) -> None:
    up = shell.begin("up", *TOY, "--set", "MODE=slow")
    read_until(up, "· loading")
    os.killpg(up.pid, signal.SIGKILL)
    up.wait()

    row = shell.status("toy")
    assert row
    assert row["state"] == "half-started"
    assert "was killed" in row["next"]

    assert shell.inv("down").code == 0
    assert shell.processes() == []


def test_two_at_once_are_one_server_and_one_refusal(shell: Shell) -> None:
    one = shell.begin("up", *TOY, "--set", "MODE=slow")
    read_until(one, "· loading")

    other = shell.inv("up", *TOY, "--set", "MODE=slow")

    assert other.code == 1
    assert "somebody else is at work" in other.err
    interrupt(one)


def test_a_port_that_is_taken_is_said_with_its_holder_and_the_next_free_one(shell: Shell) -> None:
    shell.inv("up", *TOY)
    row = shell.status("toy")
    assert row
    port = row["url"].rpartition(":")[2]
    compose = shell.root / "compose"
    (compose / "other.yaml").write_text((compose / "toy.yaml").read_text().replace("name: toy", "name: other"))

    said = shell.inv("up", "--stack", "other", *TOY[2:], "--set", f"PORT={port}")

    assert said.code == 1
    assert f"port {port} is taken by python" in said.err
    assert "--set PORT=" in said.err


def test_without_a_terminal_the_json_is_alone_on_standard_output(shell: Shell) -> None:
    said = shell.inv("plan", "--stack", "toy", "--json")

    assert said.code == 0
    assert said.out.startswith("{")
    assert said.out.rstrip().endswith("}")
