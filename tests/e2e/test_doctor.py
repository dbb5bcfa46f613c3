"""The doctor, as it is typed: on a machine without an engine, with a port that is held, beside a server that is up."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from blackstack.facts import gpus
from tests.unit.conftest import REPOSITORY

from .conftest import Shell, free_port

TOY = ("--stack", "toy", "--runtime", "process")


def told(shell: Shell, *words: str, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what the doctor says to machines."""
    said = shell.inv("doctor", *words, "--json", env=env)
    assert said.code == code, said.all
    answer: dict[str, Any] = json.loads(said.out)
    assert list(answer) == ["host", "findings"]
    return answer


def test_a_machine_without_an_engine_is_told_with_the_stacks_that_fit_it(shell: Shell) -> None:
    answer = told(shell)

    assert [finding["code"] for finding in answer["findings"] if "docker" in finding["code"]] == ["docker-unusable"]
    assert {row["stack"]: (row["fits"], row["how"]) for row in answer["host"]["stacks"]}["toy"] == (True, "process")
    assert answer["host"]["engine"] is None
    assert set(answer["host"]) >= {"gpus", "driver", "toolkit", "limits", "places", "network", "cores", "system"}


def test_people_get_a_screen_with_the_worst_first(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        said = shell.inv(
            "doctor", *TOY, "--set", f"PORT={port}", env={"http_proxy": "http://192.0.2.1:1", "no_proxy": ""}
        )

    assert said.code == 1, said.all
    words = [line.split(":")[0] for line in said.out.splitlines() if line.split(":")[0] in {"error", "warning", "info"}]
    assert words == sorted(words, key=("error", "warning", "info").index)
    assert words[:2] == ["error", "warning"]
    assert f"error: port {port} is taken by " in said.out
    assert "\nfine: " in said.out


def test_the_command_that_mends_a_taken_port_is_one_that_can_be_typed(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = told(shell, *TOY, "--set", f"PORT={taken.getsockname()[1]}", code=1)
        (finding,) = [finding for finding in answer["findings"] if finding["severity"] == "error"]
        assert finding["code"] == "port-taken"

        _, verb, *words = finding["fix"][0].split()
        said = shell.inv(verb, *words)

    assert said.code == 0, said.all


def test_a_stack_that_is_up_is_no_obstacle_to_itself(shell: Shell) -> None:
    assert shell.inv("up", *TOY).code == 0

    assert "port-taken" not in [finding["code"] for finding in told(shell, *TOY)["findings"]]
    assert {row["stack"]: row["fits"] for row in told(shell)["host"]["stacks"]}["toy"]


@pytest.mark.skipif(bool(gpus.look().cards), reason="there is a GPU here")
def test_a_stack_for_a_gpu_is_blocked_before_anything_starts_where_there_is_none(shell: Shell) -> None:
    compose = shell.root / "compose/toy.yaml"
    needs = 'needs: {vram_gib: 24, compute_capability: "12.0", '
    compose.write_text(compose.read_text().replace("needs: {", needs))

    answer = told(shell, *TOY, code=1)

    assert [one["code"] for one in answer["findings"] if one["severity"] == "error"] == ["gpu-none"]
    (row,) = [row for row in told(shell)["host"]["stacks"] if row["stack"] == "toy"]
    assert not row["fits"]
    assert row["codes"] == ["gpu-none"]
    assert row["why_not"] == ["toy needs an NVIDIA GPU, and there is none here"]
    blocked = shell.inv("up", *TOY)
    assert blocked.code == 1, blocked.all
    assert "toy needs an NVIDIA GPU, and there is none here" in blocked.err
    assert not list((shell.root / ".blackstack").glob("venvs/toy-*"))


@pytest.mark.skipif(bool(gpus.look().cards), reason="there is a GPU here, and NVML is asked first")
def test_where_only_nvidia_smi_answers_its_word_counts(shell: Shell, tmp_path: Path) -> None:
    seen = YAML(typ="safe").load(REPOSITORY / "tests/unit/facts/seen.yaml")
    answers = {"--query-gpu": seen["rtx-5090-and-4090"]["text"], "--query-compute": seen["holders"]["text"]}
    cases = "\n".join(f"{flag}*) cat <<'END'\n{text}END\n;;" for flag, text in answers.items())
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncase \"$1\" in\n{cases}\n*) echo 'CUDA Version: 13.0' ;;\nesac\n")
    program.chmod(0o755)
    compose = shell.root / "compose/toy.yaml"
    compose.write_text(compose.read_text().replace("needs: {", 'needs: {vram_gib: 48, compute_capability: "12.0", '))

    answer = told(shell, *TOY, code=1, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    found = answer["host"]["gpus"]
    assert (found["source"], found["driver"], found["cuda"]) == ("nvidia-smi", "580.82.09", "13.0")
    assert [card["name"] for card in found["cards"]] == ["NVIDIA GeForce RTX 5090", "NVIDIA GeForce RTX 4090"]
    errors = [one["title"] for one in answer["findings"] if one["severity"] == "error"]
    assert errors == ["toy needs 48 GiB of GPU memory; NVIDIA GeForce RTX 5090 has 31.8 GiB"]


def test_wishes_without_a_stack_are_a_mistake(shell: Shell) -> None:
    said = shell.inv("doctor", "--set", f"PORT={free_port()}")

    assert said.code == 2, said.all
    assert "next: inv doctor --stack NAME" in said.err


def test_secrets_are_not_told(shell: Shell) -> None:
    env = {"HF_TOKEN": "hf_secret", "https_proxy": "http://me:hf_secret@192.0.2.1:1", "no_proxy": "127.0.0.1"}

    said = shell.inv("doctor", "--json", env=env)

    assert "hf_secret" not in said.all
    assert json.loads(said.out)["host"]["places"]["token"] == "HF_TOKEN"  # noqa: S105 - its name
