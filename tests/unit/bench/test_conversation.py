"""Turns of a conversation carry the server's own answers; tokens are counted twice; a load shows its pulse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.pulse import Meter, Standing, spark
from blackstack.errors import UsageError
from simulator import Behaviour, Simulator

QUICK: dict[str, Any] = {"warmup": 0, "output_tokens": 4, "look_around": False}


def talk(behaviour: Behaviour, **workload: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:  # noqa: ANN401 - the fields of Workload
    """Measure once; return the run and the bodies that the server saw."""
    with Simulator(behaviour) as server:
        told = measure(Target(url=server.url), Workload(**{**QUICK, **workload})).as_dict()["runs"][0]
        return told, [dict(served.body) for served in server.served]


def test_each_turn_holds_what_was_asked_and_what_the_server_answered() -> None:
    told, bodies = talk(Behaviour(), turns=3, requests=3, endpoint="chat")

    assert told["ok"] == 3
    roles = [[message["role"] for message in body["messages"]] for body in bodies]
    assert roles == [["user"], ["user", "assistant", "user"], ["user", "assistant"] * 2 + ["user"]]
    assert bodies[1]["messages"][0] == bodies[0]["messages"][0]
    assert bodies[2]["messages"][:3] == bodies[1]["messages"]
    assert len(bodies[1]["messages"][1]["content"].split()) == 4


def test_without_messages_a_conversation_is_one_text_that_grows() -> None:
    _, bodies = talk(Behaviour(), turns=2, requests=2)

    assert bodies[1]["prompt"].startswith(bodies[0]["prompt"])
    assert len(bodies[1]["prompt"].splitlines()) == 3


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(let_go=True), Behaviour(close=True)])
@pytest.mark.parametrize("workers", [1, 2])
def test_conversations_run_side_by_side_to_their_end(behaviour: Behaviour, workers: int) -> None:
    told, bodies = talk(behaviour, turns=4, requests=24, concurrency=(3,), endpoint="chat", workers=workers)

    assert told["ok"] == told["requests"] == 24
    assert [len(body["messages"]) for body in bodies].count(7) == 6
    assert [(turn["turn"], turn["ttft_ms"]["n"]) for turn in told["by_turn"]] == [(n, 6) for n in (1, 2, 3, 4)]


def test_a_failed_answer_ends_its_conversation() -> None:
    told, _ = talk(Behaviour(faults={"cut": 2}), turns=5, requests=10, endpoint="chat")

    assert told["ok"] == 2
    assert told["failures"]["cut"] == 2


def test_the_end_of_the_time_ends_conversations() -> None:
    told, _ = talk(Behaviour(ttft_ms=20), turns=1000, duration_s=0.3, endpoint="chat")

    assert 1 < told["ok"] < 100


def test_a_file_gives_what_the_user_says_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    said = [{"from": who, "value": f"{who} {n}"} for n in range(3) for who in ("human", "gpt")]
    path.write_text(json.dumps([{"conversations": said}]), encoding="utf-8")

    _, bodies = talk(Behaviour(), turns=3, requests=3, endpoint="chat", prompts=str(path), salt=False)

    assert [message["content"] for message in bodies[2]["messages"][::2]] == ["human 0", "human 1", "human 2"]
    assert "gpt" not in bodies[2]["messages"][1]["content"]


def test_turns_at_a_rate_are_refused() -> None:
    with pytest.raises(UsageError, match="closed loop"):
        Workload(turns=2, rate=5)


def test_tokens_are_counted_again_by_the_servers_tokenizer() -> None:
    told, _ = talk(Behaviour(), requests=6, check_tokens=True)

    check = told["token_check"]
    assert (check["answers"], check["differing"]) == (6, 0)
    assert check["tokens_said"] == check["tokens_counted"] == 24


def test_without_a_tokenizer_the_check_says_so() -> None:
    told, _ = talk(Behaviour(tokenizer=False), requests=2, check_tokens=True)

    assert not told["token_check"]["available"]


def test_a_load_shows_its_pulse() -> None:
    lines: list[str] = []
    with Simulator(Behaviour(ttft_ms=150, itl_ms=1)) as server:
        measure(Target(url=server.url), Workload(**QUICK, requests=8), pulse=lines.append)

    assert lines
    assert all("tokens/s" in line and "of 8 done" in line for line in lines)


def test_a_pulse_names_failures_and_scales_its_bars() -> None:
    meter = Meter(10, timeout_s=120)
    meter.line(Standing(done=1, tokens=100, in_flight=4))
    line = meter.line(Standing(done=2, failed=1, tokens=150, in_flight=3))

    assert line == "█▅ 100 tokens/s  2 of 10 done, 3 in flight, 1 FAILED"
    assert spark([]) == ""
    assert spark([0, 0]) == "▁▁"
