"""A small model that loops is told from a broken server: by how it begins, how often, and by asking again alone."""

from __future__ import annotations

from typing import Any

import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.garbage import degenerate, one_token
from blackstack.bench.table import notes
from simulator import Behaviour, Simulator

QUICK: dict[str, Any] = {"warmup": 0, "output_tokens": 64, "concurrency": (4,), "timeout_s": 5.0, "look_around": False}
FAST: dict[str, Any] = {"ttft_ms": 1, "itl_ms": 0}

# What SmolLM2-135M-Instruct (Q4_1) answered here, on a llama.cpp that is well, in pieces of a token: 3 of 224 answers.
OF_A_MODEL = (
    [" [", "1", *["0"] * 62],
    ["\n", "\n", *["A", ":", " [", "1", "0", "0", "]", "\n", "\n"] * 7],
    ["\n", *["A", ":", " "] * 21],
)
OF_A_BROKEN_SERVER = (
    ["!"] * 64,
    ["!!!!"] * 16,
    [" the"] * 64,
    ["Sure", *["!"] * 63],  # its prefill is right and its decoding is not
    ["\n"] * 64,
    ["ly", *["�"] * 63],
)


def run(behaviour: Behaviour, **workload: Any) -> tuple[dict[str, Any], int]:  # noqa: ANN401 - the fields of Workload
    """Measure once; return the run, and how many requests the server saw."""
    with Simulator(behaviour) as server:
        (told,) = measure(Target(url=server.url), Workload(**{**QUICK, **workload})).as_dict()["runs"]
        return told, len(server.served)


@pytest.mark.parametrize("pieces", OF_A_BROKEN_SERVER)
def test_one_token_for_ever_from_the_first_or_the_second_on_is_beyond_doubt(pieces: list[str]) -> None:
    assert degenerate("".join(pieces), len(pieces))
    assert one_token([piece.encode() for piece in pieces])


@pytest.mark.parametrize("pieces", OF_A_MODEL)
def test_what_a_small_model_answers_is_doubtful(pieces: list[str]) -> None:
    assert degenerate("".join(pieces), len(pieces))
    assert not one_token([piece.encode() for piece in pieces])


def test_a_model_that_loops_on_some_questions_is_noted_and_fails_nothing() -> None:
    told, served = run(Behaviour(**FAST, loops=6), requests=96)

    assert 5 < told["looping_replies"] < 48
    assert told["failures"]["garbage"] == 0
    assert told["ok"] == told["requests"] == told["ttft_ms"]["n"] == 96
    assert told["output_tokens"] == 96 * 64
    assert 96 < served <= 96 + 8
    assert any("come to a loop" in note and "alone" in note for note in notes(told))


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_that_are_spoiled_under_load_and_right_when_asked_alone_are_failures(workers: int) -> None:
    told, _ = run(Behaviour(**FAST, faults={"phrase": 5}), requests=48, workers=workers)

    assert told["failures"]["garbage"] == 9
    assert told["ok"] == 39
    assert told["looping_replies"] == 0


def test_where_half_of_all_answers_loop_no_question_is_to_blame() -> None:
    told, served = run(Behaviour(**FAST, loops=1), requests=24)

    assert told["failures"]["garbage"] == served == 24


def test_exclamation_marks_are_failures_however_few_they_are() -> None:
    told, served = run(Behaviour(**FAST, faults={"garbage": 12}), requests=24)

    assert told["failures"]["garbage"] == 2
    assert served == 24


def test_acquitted_answers_count_as_if_nobody_had_doubted_them() -> None:
    told, _ = run(Behaviour(ttft_ms=5, itl_ms=1, loops=4), requests=64)
    plain, _ = run(Behaviour(ttft_ms=5, itl_ms=1), requests=64)

    assert told["looping_replies"] > 0
    assert told["failure_examples"] == {}
    assert len(told["samples"]["ttft_ms"]) == 64
    assert told["output_tokens_per_s"] > 0.5 * plain["output_tokens_per_s"]
    assert told["cooldown"]["excluded_tokens"] >= 0
