"""Which share of its bound a measurement reached."""

from __future__ import annotations

from typing import Any

import pytest

from blackstack import fit
from blackstack.fit import measured


def record(**changes: object) -> dict[str, Any]:
    """The seeds' own figure as a record: 262.9 tokens a second on a 5090."""
    run = {"concurrency": 1, "ok": 1, "input_tokens": 0, "output_tokens": 2, "output_tokens_per_s": 262.9}
    asked = {"stack": "vllm-nightly", "engine": "vllm", "model": "gpt-oss-20b", "settings": "not known"}
    return {"asked_for": {**asked, **changes}, "found_inside": {"engine": {"version": "0.11.1rc2"}}, "runs": [run]}


def test_the_seeds_speed_is_55_percent_of_a_5090() -> None:
    told = measured.shares(record(), fit.card("rtx-5090"))

    assert told
    assert told["runs"][0]["share"] == pytest.approx(0.56, abs=0.01)
    assert next(measured.lines(told)).startswith("of what rtx-5090 could do at most (1,792 GB/s): 56% at 1")


def test_with_the_4090_s_bandwidth_the_seeds_speed_would_be_almost_all_of_it() -> None:
    told = measured.shares(record(), fit.card("rtx-4090"))

    assert told
    assert told["runs"][0]["share"] > 0.97


def test_the_knob_s_model_counts_more_than_the_served_name() -> None:
    told = measured.shares(record(settings={"MODEL": "Qwen/Qwen3-8B"}, model="mine"), fit.card("rtx-5090"))

    assert told
    assert told["model"] == "Qwen3-8B"


def test_a_model_that_is_not_known_has_no_share() -> None:
    assert measured.shares(record(model="mine"), fit.card("rtx-5090")) is None
    assert measured.shares(record(engine=None), fit.card("rtx-5090")) is None


def test_a_request_has_its_prompt_and_half_of_its_answer_behind_it() -> None:
    long = record()
    long["runs"][0] |= {"ok": 2, "input_tokens": 2000, "output_tokens": 1000}

    told = measured.shares(long, fit.card("rtx-5090"))

    assert told
    assert told["runs"][0]["context"] == 1250


def test_a_batch_is_held_against_the_bound_of_a_batch() -> None:
    both = record()
    both["runs"].append({**both["runs"][0], "concurrency": 8, "ok": 8, "output_tokens_per_s": 1000.0})

    told = measured.shares(both, fit.card("rtx-5090"))

    assert told
    assert told["runs"][1]["tokens_per_s"] > told["runs"][0]["tokens_per_s"]
