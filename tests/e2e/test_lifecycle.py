"""Up, status, logs, down, and everything that can come between them, with a server of a few lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

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
    read_until(up, "· import")

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
    read_until(up, "· import")
    os.killpg(up.pid, signal.SIGKILL)
    up.wait()

    row = shell.status("toy")
    assert row
    assert row["state"] == "half-started"
    assert "was killed" in row["next"]

    assert shell.inv("down").code == 0
    assert shell.processes() == []


def test_ctrl_c_at_the_very_start_of_the_server_leaves_nothing_behind(shell: Shell) -> None:
    for pause in (0.0, 0.02, 0.05, 0.1):
        up = shell.begin("up", *TOY)
        read_until(up, "serve.py")  # the command is printed; the supervisor is being started
        time.sleep(pause)

        code, said = interrupt(up)

        assert code in {0, 130}, said
        if code:
            deadline = time.monotonic() + 10
            while shell.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert shell.processes() == []
        shell.inv("down", "--stack", "toy")


def test_a_key_in_the_local_file_works_in_the_curl_that_is_printed(shell: Shell) -> None:
    (shell.root / "env/local.env").write_text("API_KEY=hush-hush\n")

    said = shell.inv("up", *TOY)

    assert said.code == 0, said.all
    assert "hush-hush" not in said.all
    command = next(line for line in said.out.splitlines() if "curl" in line)
    answer = subprocess.run(
        ["sh", "-c", f"{command} --silent"], cwd=shell.root, capture_output=True, text=True, check=True
    )
    assert "Tokyo" in answer.stdout
    kept = [path for path in (shell.root / ".blackstack").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"hush-hush" in path.read_bytes()]


def test_a_broken_file_of_another_stack_stands_in_nobodys_way(shell: Shell) -> None:
    shell.inv("up", *TOY)
    (shell.root / "compose/broken.yaml").write_text("name: [")

    status = shell.inv("status", "--json")
    down = shell.inv("down")

    assert json.loads(status.out)[0]["stack"] == "toy"
    assert "broken is left out" in status.err
    assert (down.code, down.out) == (0, "toy is down\n")


def test_a_new_environment_leaves_the_one_that_is_in_use(shell: Shell) -> None:
    assert shell.inv("up", "--stack", "toy", "--runtime", "process").code == 0
    (shell.root / "dockerfiles/toy/requirements.txt").write_text("# something else\n")

    assert shell.inv("build", "--stack", "toy", "--runtime", "process").code == 0

    assert len(list((shell.root / ".blackstack/venvs").glob("toy-*"))) == 2
    assert shell.status("toy")


def test_a_plan_that_cannot_work_has_exit_code_1_and_one_that_is_up_has_none(shell: Shell) -> None:
    shell.inv("up", *TOY)
    row = shell.status("toy")
    assert row
    compose = shell.root / "compose"
    (compose / "other.yaml").write_text((compose / "toy.yaml").read_text().replace("name: toy", "name: other"))
    port = row["url"].rpartition(":")[2]

    assert shell.inv("plan", *TOY).code == 0
    other = shell.inv("plan", "--stack", "other", *TOY[2:], "--set", f"PORT={port}")
    assert other.code == 1
    assert "is taken by" in other.out


def test_the_log_of_the_last_one_is_shown_when_none_is_up(shell: Shell) -> None:
    shell.inv("up", *TOY)
    shell.inv("down")

    assert "loading the toy" in shell.inv("logs").out
    assert "loading the toy" in shell.inv("logs", env={"STACK": "toy"}).out
    assert shell.inv("logs", "--lines", "0").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("bench", "--requests", "many"),
        ("logs", "--lines", "x"),
        ("bench", "--concurrency", "0"),
        ("up", "--timeout", "x"),
    ],
)
def test_a_flag_that_is_no_number_is_said_in_a_sentence(shell: Shell, words: tuple[str, ...]) -> None:
    said = shell.inv(*words)

    assert said.code == 2
    assert f"{words[1]} takes" in said.err
    assert "Traceback" not in said.err


def test_two_at_once_are_one_server_and_one_refusal(shell: Shell) -> None:
    one = shell.begin("up", *TOY, "--set", "MODE=slow")
    read_until(one, "· import")

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
