"""What is asked of the server: exact lengths, files, traces, and beginnings that no cache knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.arrivals import offsets, stretch
from blackstack.bench.sources import read_file, usual_requests, usual_tokens
from blackstack.bench.synthetic import Vocabulary, single
from blackstack.errors import UsageError
from simulator import Behaviour, Simulator

QUICK: dict[str, Any] = {"warmup": 0, "output_tokens": 4, "requests": 6}


def sent(behaviour: Behaviour, **workload: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - the fields of Workload
    """Return the bodies that a workload sends."""
    with Simulator(behaviour) as server:
        measure(Target(url=server.url), Workload(**{**QUICK, **workload}))
        return [dict(served.body) for served in server.served]


def lines(path: Path, *rows: object) -> str:
    """Write JSON lines."""
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(path)


def test_synthetic_prompts_have_exactly_the_tokens_asked_for() -> None:
    with Simulator() as server:
        told = measure(Target(url=server.url), Workload(**QUICK, input_tokens=37)).as_dict()

        assert {len(served.body["prompt"].split()) for served in server.served} == {37}
    assert told["runs"][0]["input_tokens"] == 6 * 37
    assert told["found"]["input_tokens_exact"]


def test_without_a_tokenizer_lengths_are_said_to_be_inexact() -> None:
    with Simulator(Behaviour(tokenizer=False)) as server:
        told = measure(Target(url=server.url), Workload(**QUICK, input_tokens=37)).as_dict()

    assert not told["found"]["input_tokens_exact"]


def test_words_of_several_tokens_are_left_out() -> None:
    async def count(text: str) -> int:
        return sum(2 if "long" in word else 1 for word in text.split())

    words = ["a", "b", "longest", "c", "d", "longer", "e"]

    assert asyncio.run(single(count, 1, words)) == ["a", "b", "c", "d", "e"]


def test_a_prompt_that_is_too_short_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        next(Vocabulary(words=("a",), base=9, exact=True).prompts(4, seed=""))


def test_synthetic_prompts_differ_from_their_beginning() -> None:
    beginnings = {" ".join(body["prompt"].split()[:6]) for body in sent(Behaviour(), input_tokens=37, requests=40)}

    assert len(beginnings) == 40


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"prompt": "Hi"}, "Hi"),
        ({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}, "Hi"),
        ({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}, "Hi"),
    ],
    ids=["prompt", "messages", "sharegpt"],
)
def test_files_are_read(tmp_path: Path, row: object, text: str) -> None:
    prompts = read_file(Path(lines(tmp_path / "p.jsonl", row)))

    assert [prompt.text for prompt in prompts] == [text]


def test_a_conversation_is_sent_as_one(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    path = lines(tmp_path / "p.jsonl", {"messages": [*turns, {"role": "user", "content": "Why?"}]})

    bodies = sent(Behaviour(), prompts=path, endpoint="chat", salt=False)

    assert [message["content"] for message in bodies[0]["messages"]] == ["Hi", "Yes?", "Why?"]


def test_a_file_gives_the_length_of_its_answers(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"prompt": "a", "output_length": 3}, {"prompt": "b", "max_tokens": 5})

    assert [body["max_tokens"] for body in sent(Behaviour(), prompts=path, output_tokens=None)] == [3, 5] * 3


@pytest.mark.parametrize("content", ["", "[]", "{}", "{oops", '{"text": 1}'])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(UsageError):
        read_file(path)


def test_a_shared_prefix_comes_before_the_salt() -> None:
    prompts = [body["prompt"].split() for body in sent(Behaviour(), shared_prefix=30)]

    assert len({tuple(prompt[:30]) for prompt in prompts}) == 1
    assert len({prompt[30] for prompt in prompts}) == 6


def beginnings(bodies: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the salts, and what stands behind them."""
    parts = [body["prompt"].partition(" ") for body in bodies]
    return [salt for salt, _, _ in parts], [text for _, _, text in parts]


def test_a_second_measurement_asks_the_same_with_other_beginnings() -> None:
    with Simulator() as server:
        records = [measure(Target(url=server.url), Workload(**QUICK)).as_dict() for _ in range(2)]
        bodies = [dict(served.body) for served in server.served]

    first, second = (beginnings(each) for each in (bodies[:6], bodies[6:]))
    assert first[1] == second[1]
    assert not set(first[0]) & set(second[0])
    assert records[0]["found"]["salt"] != records[1]["found"]["salt"]


def test_a_second_measurement_of_synthetic_prompts_shares_no_beginning_either() -> None:
    with Simulator() as server:
        for _ in range(2):
            measure(Target(url=server.url), Workload(**QUICK, input_tokens=20))
        prompts = [str(served.body["prompt"]).split() for served in server.served]

    assert {len(prompt) for prompt in prompts} == {20}
    assert len({tuple(prompt[:6]) for prompt in prompts}) == 12


def test_without_salt_two_measurements_are_the_same_to_the_letter() -> None:
    one, other = (sent(Behaviour(), salt=False, input_tokens=20) for _ in range(2))

    assert one == other


def test_an_open_loop_sends_everything_and_says_its_rate() -> None:
    with Simulator() as server:
        told = measure(Target(url=server.url), Workload(**{**QUICK, "requests": 30}, rate=500, arrival="poisson"))
    run = told.as_dict()["runs"][0]

    assert run["ok"] == 30
    assert run["rate"] == 500
    assert run["queue_ms"]["min"] >= 0


def test_an_open_loop_does_not_wait_for_answers() -> None:
    with Simulator(Behaviour(ttft_ms=300)) as server:
        told = measure(Target(url=server.url), Workload(**{**QUICK, "requests": 24}, rate=1000)).as_dict()["runs"][0]

    assert told["client"]["peak_concurrency"] == 24


def test_an_open_loop_sends_again_what_a_server_had_let_go_of() -> None:
    with Simulator(Behaviour(let_go=True)) as server:
        workload = Workload(**{**QUICK, "requests": 40}, rate=200)
        told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

    assert told["ok"] == 40


def test_a_trace_is_replayed(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", *({"prompt": "a", "timestamp": 1000 + 20 * i} for i in range(5)))
    with Simulator() as server:
        workload = Workload(**{**QUICK, "requests": 99}, prompts=path, arrival="replay")
        told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

    assert told["requests"] == 5


def test_what_is_no_trace_is_not_replayed(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", {"prompt": "a"})

    with Simulator() as server, pytest.raises(UsageError, match="no trace"):
        measure(Target(url=server.url), Workload(**QUICK, prompts=path, arrival="replay"))


def test_a_duration_ends_the_sending() -> None:
    with Simulator() as server:
        told = measure(Target(url=server.url), Workload(warmup=0, output_tokens=2, duration_s=0.2)).as_dict()["runs"][0]

    assert told["ok"] == told["requests"] > 1


def test_goodput_counts_failures_as_promises_not_kept() -> None:
    with Simulator(Behaviour(faults={"cut": 2})) as server:
        workload = Workload(warmup=0, output_tokens=4, requests=10, slo_ttft_ms=10_000, slo_e2e_ms=20_000)
        told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

    assert told["goodput"]["share"] == 0.5


def gaps(moments: Sequence[float]) -> list[float]:
    """Return the differences."""
    return [later - earlier for earlier, later in pairwise(moments)]


def test_constant_arrivals_are_even() -> None:
    moments = list(islice(offsets("constant", 50, seed=""), 100))

    assert gaps(moments) == pytest.approx([0.02] * 99)


@pytest.mark.parametrize(("arrival", "shape"), [("poisson", 1.0), ("gamma", 0.25), ("gamma", 4.0)])
def test_random_arrivals_have_their_rate_and_their_spread(arrival: str, shape: float) -> None:
    spaces = gaps(list(islice(offsets(arrival, 50, seed="1", burstiness=shape), 20_000)))

    assert fmean(spaces) == pytest.approx(0.02, rel=0.05)
    assert pstdev(spaces) / fmean(spaces) == pytest.approx(shape**-0.5, rel=0.05)


def test_the_same_seed_gives_the_same_moments() -> None:
    first, second = (list(islice(offsets("poisson", 5, seed="7"), 50)) for _ in range(2))

    assert first == second


def test_a_ramp_begins_slowly_and_then_keeps_the_rate() -> None:
    moments = [stretch(i / 100, 2.0) for i in range(400)]
    spaces = gaps(moments)

    assert sum(moment < 2 for moment in moments) == 100
    assert spaces[0] > spaces[50] > spaces[99]
    assert spaces[200:] == pytest.approx([0.01] * 199)


def test_a_trace_is_replayed_whole_with_the_lengths_that_it_names(tmp_path: Path) -> None:
    rows = [{"timestamp": 20 * i, "prompt": f"question {i}", "output_length": 3 + i} for i in range(20)]
    trace = tmp_path / "trace.jsonl"
    trace.write_text("\n".join(json.dumps(row) for row in rows))
    requests = usual_requests("replay", str(trace), otherwise=12)

    with Simulator() as server:
        load = Workload(
            arrival="replay", prompts=str(trace), requests=requests, output_tokens=usual_tokens(str(trace)), warmup=0
        )
        (told,) = measure(Target(url=server.url), load).as_dict()["runs"]

    assert told["requests"] == 20
    assert told["output_tokens"] == sum(row["output_length"] for row in rows if isinstance(row["output_length"], int))
    assert (told["arrival"], told["rate"]) == ("replay", 50.0)


@pytest.mark.parametrize(("prompts", "tokens"), [("chat", 64), ("code", 150), ("long", 200), ("x.jsonl", None)])
def test_answers_are_as_long_as_the_prompts_say_where_nobody_else_does(prompts: str, tokens: int | None) -> None:
    assert usual_tokens(prompts) == tokens
    assert usual_requests("constant", prompts, otherwise=12) == 12
