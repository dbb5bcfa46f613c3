"""Backends, ladder, verdict and tune, typed as a user types them, against the simulator and against a real model."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Said, Shell, free_port, read_until

SIMULATED = """\
name: {name}
x-stack:
  title: the simulator
  engine: vllm
  engine_version: 0.32.0
  model: &model simulated
  status: verified
  evidence: this test
  needs: {{memory_gib: 0.1, disk_gib: 0.1}}
  ready_s: 20
  process:
    requirements: dockerfiles/toy/requirements.txt
    pip: [--no-index]
    argv: ["{{python}}", "{{root}}/dockerfiles/simulator/serve.py", --host, "{{BIND_ADDRESS}}", --port, "{{PORT}}"]
  knobs:
    IMAGE: {{type: text, about: the image}}
    BIND_ADDRESS: {{type: address, about: where to listen}}
    PORT: {{type: port, about: where to listen}}
    MODE: {{type: text, about: how it behaves, tune: [healthy, dies-on-first-request]}}
    ITL_MS: {{type: count, about: milliseconds a token, tune: [4, 40]}}
    TTFT_MS: {{type: count, about: milliseconds to the first token}}
  profiles:
    safe: {{about: slow, set: {{ITL_MS: 40}}}}
    fast: {{about: too much, set: {{ITL_MS: 4, MODE: dies-on-first-request, TTFT_MS: 10}}}}
services:
  server:
    image: ${{IMAGE:-simulator:1}}
    command:
      [--behaviour, "${{MODE:-healthy}}", --itl-ms, "${{ITL_MS:-{itl}}}",
       --ttft-ms, "${{TTFT_MS:-20}}", --model, *model]
    ports: ["${{BIND_ADDRESS:-127.0.0.1}}:${{PORT:-{port}}}:8000"]
"""
PYTHON = ("--python", sys.executable)
SHORT = ("--requests", "4", "--concurrency", "2", "--output-tokens", "8")


def add_simulator(shell: Shell, name: str = "sim", *, itl: int = 40) -> None:
    """Add a stack whose server is the simulator."""
    (shell.root / f"compose/{name}.yaml").write_text(SIMULATED.format(name=name, itl=itl, port=free_port()))


def record(shell: Shell, verb: str) -> dict[str, Any]:
    """Return the one record of a verb, which has a page beside it."""
    (path,) = (shell.root / "results" / verb).glob("*.json")
    assert path.with_suffix(".md").read_text().count("\n|") > 1
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def outcomes(data: dict[str, Any]) -> dict[str, str]:
    """Return what came of each trial."""
    return {trial["label"]: trial["outcome"] for trial in data["trials"]}


def interrupted(shell: Shell, after: str, *words: str) -> Said:
    """Type a command, and press Ctrl-C when it has said something."""
    process = shell.begin(*words)
    read_until(process, after)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return Said(process.returncode, out, err)


def test_backends_that_a_server_refuses_are_a_table_and_not_the_end(shell: Shell) -> None:
    add_simulator(shell)

    said = shell.inv("backends", "--stack", "sim", *PYTHON, *SHORT, "--only", "CPU_ATTN,FLASH_ATTN")

    assert said.code == 0, said.all
    assert outcomes(record(shell, "backends")) == {
        "default": "works",
        "attention=CPU_ATTN": "refused",
        "attention=FLASH_ATTN": "refused",
    }
    assert "cli-unrecognized-argument" in said.out
    assert "0 of 2 work as asked" in said.out
    assert shell.processes() == []


def test_ctrl_c_leaves_nothing_running_and_the_same_command_goes_on(shell: Shell) -> None:
    add_simulator(shell)
    words = ("backends", "--stack", "sim", *PYTHON, *SHORT, "--only", "CPU_ATTN")

    first = interrupted(shell, "2/2 attention=CPU_ATTN", *words)

    assert first.code == 130, first.all
    assert "1 trial is kept, and the same command goes on there" in first.err
    assert shell.processes() == []
    assert shell.status("sim") is None
    again = shell.inv(*words)
    assert again.code == 0, again.all
    assert "default: works" in again.err
    assert "kept from before" in again.err
    assert "1/2 default" not in again.err
    fresh = shell.inv(*words, "--fresh", "--out", str(shell.root / "fresh.json"))
    assert "1/2 default" in fresh.err


def test_a_stack_that_is_up_is_in_the_way(shell: Shell) -> None:
    add_simulator(shell)
    assert shell.inv("up", "--stack", "sim", *PYTHON).code == 0

    said = shell.inv("backends", "--stack", "sim", *PYTHON)

    assert said.code == 1
    assert "inv down --stack sim" in said.err


def test_a_ladder_keeps_what_works_and_its_profile_can_be_brought_up(shell: Shell) -> None:
    add_simulator(shell)

    said = shell.inv("ladder", "--stack", "sim", *PYTHON, *SHORT)

    assert said.code == 0, said.all
    assert "keep   ITL_MS=4: works" in said.out
    assert "revert MODE=dies-on-first-request" in said.out
    assert "keep   TTFT_MS=10: works" in said.out
    assert record(shell, "ladder")["profile"]["set"] == {"ITL_MS": "4", "TTFT_MS": "10"}
    assert "inv up --stack sim --profile ladder" in said.out
    up = shell.inv("up", "--stack", "sim", *PYTHON, "--profile", "ladder")
    assert up.code == 0, up.all
    assert "--itl-ms 4 --ttft-ms 10" in up.err


@pytest.mark.timeout(300)
def test_a_gain_that_is_there_is_found_shown_and_kept(shell: Shell) -> None:
    add_simulator(shell)

    said = shell.inv("tune", "--stack", "sim", *PYTHON, *SHORT, "--axis", "none", "--budget", "5m", timeout=280)

    assert said.code == 0, said.all
    data = record(shell, "tune")
    assert data["gain_shown"]
    assert data["gain"]["low"] > 1
    assert data["best"] == {"MODE": "healthy", "ITL_MS": "4"}
    assert (data["tried"], data["choices"]) == (4, 4)
    assert shell.inv("up", "--stack", "sim", *PYTHON, "--profile", "tuned-throughput").code == 0


def test_where_the_stack_is_best_as_it_is_no_gain_is_claimed(shell: Shell) -> None:
    add_simulator(shell, itl=4)

    said = shell.inv("tune", "--stack", "sim", *PYTHON, *SHORT, "--axis", "none", "--budget", "5m", "--goal", "latency")

    assert said.code == 0, said.all
    assert "no gain shown" in said.out
    assert not record(shell, "tune")["gain_shown"]
    assert not (shell.root / "env/profiles").exists()


def test_a_budget_without_time_for_a_second_choice_says_which_one_would_do(shell: Shell) -> None:
    add_simulator(shell)

    said = shell.inv("tune", "--stack", "sim", *PYTHON, *SHORT, "--axis", "none", "--budget", "1s")

    assert said.code == 0, said.all
    assert re.search(r"no gain shown: time for the stack's own values only; .* need --budget \d+m; 1 of 4", said.out)


@pytest.mark.timeout(300)
def test_a_rematch_that_the_budget_cuts_short_says_how_many_rounds_there_were_and_goes_on_later(shell: Shell) -> None:
    add_simulator(shell)
    words = ("tune", "--stack", "sim", *PYTHON, *SHORT, "--axis", "none", "--set", "MODE=healthy", "--budget")
    assert shell.inv(*words, "20m", timeout=200).code == 0
    kept = {
        json.loads(path.read_text())["label"]: path for path in shell.root.glob(".blackstack/trials/tune-*/*-*.json")
    }
    for label, path in kept.items():
        if re.search("round [2-4]", label):
            path.unlink()
        else:  # as if loads took long, and that of the second choice longer than the first made one expect
            seconds = 100.0 if label == "the stack's own values" else 300.0
            path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": seconds}))

    none, one = shell.inv(*words, "450s"), shell.inv(*words, "900s")

    assert "no gain shown: ITL_MS=4 did best, but there was no time for the rematch, which needs" in none.out
    assert re.search(
        r"no gain shown: ITL_MS=4 gave .* \(one round: no interval\) .*; all 4 rounds need --budget \d+m", one.out
    )
    again = shell.inv(*words, "60m", timeout=200)
    assert "rematch best round 4" in again.err
    assert "rematch best round 1: ITL_MS=4: works" in again.err, again.err
    assert "all 4 rounds" not in again.out


@pytest.mark.timeout(300)
def test_a_verdict_names_the_faster_one_and_what_was_not_tried(shell: Shell) -> None:
    add_simulator(shell, "slow", itl=40)
    add_simulator(shell, "quick", itl=4)
    add_simulator(shell, "card")
    card = shell.root / "compose/card.yaml"
    card.write_text(card.read_text().replace("disk_gib: 0.1", "disk_gib: 0.1, vram_gib: 24"))

    said = shell.inv(
        *("verdict", "--candidates", "slow,quick,card,llamacpp-cpu", "--model", "simulated"),
        *("--runtime", "process", "--rounds", "3", *SHORT),
        timeout=280,  # it makes two environments
    )

    assert said.code == 0, said.all
    (line,) = (line for line in said.out.splitlines() if line.startswith("verdict: "))
    assert line.startswith("verdict: quick: ")
    assert "card (card needs an NVIDIA GPU, and there is none here)" in line
    assert "llamacpp-cpu (serves SmolLM2-135M-Instruct)" in line
    data = record(shell, "verdict")
    assert list(outcomes(data)) == [f"{name} round {number}" for number in (1, 2, 3) for name in ("slow", "quick")]
    assert data["verdict"]["over"]["slow"]["low"] > 1


@pytest.mark.parametrize(
    "words",
    [
        ("backends", "--stack", "sim", "--only", "CPU_ATTN", *PYTHON),
        ("tune", "--stack", "sim", "--axis", "none", "--budget", "1s", *PYTHON),
        ("verdict", "--candidates", "sim", "--model", "simulated", "--runtime", "process"),
    ],
)
def test_where_nothing_works_the_record_is_written_and_the_command_fails(shell: Shell, words: tuple[str, ...]) -> None:
    add_simulator(shell)
    stack = shell.root / "compose/sim.yaml"
    text = stack.read_text().replace("[healthy, dies-on", "[dies-on")
    stack.write_text(text.replace("healthy", "dies-while-loading"))

    said = shell.inv(*words, *SHORT)

    assert said.code == 3, said.all
    assert set(outcomes(record(shell, words[0])).values()) <= {"crashed", "refused"}
    last = said.err[said.err.index(f"inv {words[0]}: nothing that was tried works") :]
    assert "crashed, " in last
    assert re.search(r"next: inv up --stack sim .*--runtime process|next: inv up --stack sim --python", last), last
    assert shell.processes() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("backends", "--stack", "toy", "--axis", "atention"), "did you mean 'attention'"),
        (("ladder", "--stack", "toy"), "no pair of profiles"),
        (("tune", "--stack", "toy", "--goal", "speed"), "no goal called 'speed'"),
        (("tune", "--stack", "toy", "--budget", "soon"), "--budget takes a time"),
        (("tune", "--stack", "toy", "--axis", "none"), "toy has nothing to tune"),
        (("verdict", "--candidates", "toyy", "--model", "m"), "did you mean 'toy'"),
        (("verdict", "--candidates", "toy", "--model", "m", "--set", "SLOT=1"), "did you mean 'SLOTS'"),
        (("up", "--stack", "toy", "--extra=quick"), "neither a variable nor a flag"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(shell: Shell, words: tuple[str, ...], said: str) -> None:
    told = shell.inv(*words)

    assert told.code == 2, told.all
    assert said in told.err
    assert "Traceback" not in told.err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_attention_of_a_real_model_is_switched_and_seen_in_its_log(shell: Shell) -> None:
    said = shell.inv(
        *("backends", "--stack", "llamacpp-cpu", "--runtime", "process", "--set", f"PORT={free_port()}"),
        *("--only", "on,off", "--repeats", "1", *SHORT),
        timeout=280,
    )

    assert said.code == 0, said.all
    data = record(shell, "backends")
    assert {trial["label"]: (trial["outcome"], trial["used"]) for trial in data["trials"][1:]} == {
        "attention=on": ("works", "on"),
        "attention=off": ("works", "off"),
    }
    assert data["complete"]
    assert str(shell.root) not in json.dumps(data)
    assert all(trial["seen"]["rates"] for trial in data["trials"])


def test_json_is_the_record_and_alone_on_standard_output(shell: Shell, tmp_path: Path) -> None:
    add_simulator(shell)
    out = tmp_path / "elsewhere" / "x.json"

    said = shell.inv("backends", "--stack", "sim", *PYTHON, *SHORT, "--only", "CPU_ATTN", "--out", str(out), "--json")

    assert said.code == 0, said.all
    assert json.loads(said.out)["trials"] == json.loads(out.read_text())["trials"]
