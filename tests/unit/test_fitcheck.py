"""A plan that cannot fit a card is refused, with the knobs that would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blackstack import catalog, fitcheck, plan
from blackstack.host import Engine, Host
from blackstack.plan import Wishes
from blackstack.plan.extra import Extra

GPU, MIB = "NVIDIA GeForce RTX 5090", 32607
STACK = """
name: toy
x-stack:
  title: a toy
  engine: vllm
  engine_version: 0.23.0
  model: served-name
  status: not-verified
  evidence: none
  ready_s: 60
  needs: {memory_gib: 1, disk_gib: 1, vram_gib: 24, compute_capability: "12.0"}
  knobs:
    IMAGE: {type: text, about: image}
    BIND_ADDRESS: {type: address, about: address}
    PORT: {type: port, about: port}
    MODEL: {type: text, about: model}
    MAX_MODEL_LEN: {type: count, about: context}
    SHARE: {type: fraction, about: share of the card}
services:
  server:
    image: ${IMAGE:-toy:1}
    command: ["${MODEL:-openai/gpt-oss-20b}", --served-model-name, served-name,
              --max-model-len, "${MAX_MODEL_LEN:-8192}", --gpu-memory-utilization, "${SHARE:-0.9}"]
    ports: ["${BIND_ADDRESS:-127.0.0.1}:${PORT:-8000}:8000"]
"""


@pytest.fixture
def made(tmp_path: Path) -> Any:  # noqa: ANN401 - a function from overrides to a plan
    (tmp_path / "compose").mkdir()
    (tmp_path / "env").mkdir()
    (tmp_path / "compose" / "toy.yaml").write_text(STACK)
    host = Host(
        engine=Engine(version="28", compose="2", images=frozenset({"toy:1"}), address="unix:///x"),
        no_engine=None,
        cpu="cpu",
        cores=4,
        memory_bytes=64 << 30,
        disk_free_bytes=1 << 40,
        system="linux",
        python="3.13",
    )
    stack = catalog.load(tmp_path, "toy")
    return lambda *overrides: plan.make(stack, host, Wishes(overrides=overrides), shell_env={})


def test_a_plan_that_fits_has_nothing_said_of_it(made: Any) -> None:  # noqa: ANN401
    assert fitcheck.check_fit(made(), GPU, MIB) is None


def test_a_plan_that_cannot_fit_is_refused_with_the_knobs_that_would(made: Any) -> None:  # noqa: ANN401
    finding = fitcheck.check_fit(made("MODEL=Qwen/Qwen3-32B-AWQ", "MAX_MODEL_LEN=40960", "SHARE=0.8"), GPU, MIB)

    assert finding
    assert finding.severity == "error"
    assert "Qwen3-32B-AWQ with 40,960 tokens" in finding.title
    (command,) = finding.fix
    words = dict(word.split("=") for word in command.split() if word.startswith(("MAX_MODEL_LEN=", "SHARE=")))
    again = made("MODEL=Qwen/Qwen3-32B-AWQ", *(f"{key}={value}" for key, value in words.items()))
    assert int(words["MAX_MODEL_LEN"]) < 40960
    assert command.count("MAX_MODEL_LEN=") == 1
    assert fitcheck.check_fit(again, GPU, MIB) is None


def test_a_model_that_no_flag_makes_fit_is_refused_without_a_command(made: Any) -> None:  # noqa: ANN401
    finding = fitcheck.check_fit(made("MODEL=Qwen/Qwen3-32B"), GPU, MIB)

    assert finding
    assert finding.severity == "error"
    assert "smaller model" in finding.fix[0]


def test_what_is_near_the_limit_is_warned_of_and_left_to_the_engine(made: Any) -> None:  # noqa: ANN401
    longest = next(
        int(context)
        for context in range(30_000, 40_960, 64)
        if fitcheck.check_fit(made("MODEL=Qwen/Qwen3-32B-AWQ", f"MAX_MODEL_LEN={context}"), GPU, MIB)
    )

    finding = fitcheck.check_fit(made("MODEL=Qwen/Qwen3-32B-AWQ", f"MAX_MODEL_LEN={longest}"), GPU, MIB)

    assert finding
    assert finding.severity == "warning"


@pytest.mark.parametrize("wish", ["MODEL=some/unknown-model", "MODEL=/no/such/folder"])
def test_what_cannot_be_judged_is_not_refused(made: Any, wish: str) -> None:  # noqa: ANN401
    assert fitcheck.check_fit(made(wish), GPU, MIB) is None
    assert fitcheck.check_fit(made(), "NVIDIA Quadro 999", MIB) is None


def test_an_engine_without_rules_is_not_judged(made: Any) -> None:  # noqa: ANN401
    one = made()
    old = replace(one, stack=replace(one.stack, x=one.stack.x.model_copy(update={"engine_version": "0.1.0"})))

    assert fitcheck.check_fit(old, GPU, MIB) is None


def test_a_flag_is_read_in_both_forms() -> None:
    assert fitcheck.flags_of(["m", "--a", "1", "--b=2"])["--a"] == "1"
    assert fitcheck.flags_of(["m", "--a", "1", "--b=2"])["--b"] == "2"


def test_a_knob_is_known_by_the_flag_that_it_sets(made: Any) -> None:  # noqa: ANN401
    assert fitcheck.knob_of_flag(made().stack)["--max-model-len"] == "MAX_MODEL_LEN"


def test_words_that_no_knob_has_count_too(made: Any) -> None:  # noqa: ANN401
    small = made("MODEL=Qwen/Qwen3-32B-AWQ", "MAX_MODEL_LEN=40960", "SHARE=0.6")
    assert fitcheck.check_fit(small, GPU, MIB)

    more = replace(small, extra=Extra(flags=("--gpu-memory-utilization", "0.95", "--max-model-len=2048")))

    assert fitcheck.check_fit(more, GPU, MIB) is None
    assert fitcheck.flags_of(["--a=1", "--a", "2"])["--a"] == "2"
