"""A server that hangs or dies under load is told from one that is slow, soon and in words."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from blackstack.bench import Measurement, Target, Workload, measure
from blackstack.bench.pulse import Meter, Standing
from blackstack.bench.table import notes
from simulator import Behaviour, Simulator

QUICK: dict[str, Any] = {"warmup": 0, "output_tokens": 8, "timeout_s": 1.0, "look_around": False}


def asked(behaviour: Behaviour, **workload: Any) -> tuple[Measurement, list[str], list[str]]:  # noqa: ANN401 - Workload's
    """Measure, and return what was measured, the lines that were drawn over each other, and the sentences."""
    lines: list[str] = []
    said: list[str] = []
    with Simulator(behaviour) as server:
        load = Workload(**{**QUICK, **workload})
        return measure(Target(url=server.url), load, pulse=lines.append, warn=said.append), lines, said


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("hang_at", [1, 5])
def test_that_nothing_comes_is_said_long_before_the_time_out(
    monkeypatch: pytest.MonkeyPatch, workers: int, hang_at: int
) -> None:
    monkeypatch.setattr("blackstack.bench.pulse.QUIET_S", 0.5)
    monkeypatch.setattr("blackstack.bench.pulse.SILENT_S", 0.5)

    told, lines, said = asked(
        Behaviour(hang_at=hang_at), requests=8, concurrency=(2,), warmup=2, timeout_s=1.5, workers=workers
    )

    assert any("NO TOKEN for 1 s (time-out 1.5 s)" in line for line in lines)
    assert said[0].startswith("warm-up: no token has arrived for" if hang_at == 1 else "no token has arrived for")
    assert "--timeout" in said[0]
    assert told.runs[-1].tally.given_up


def test_a_worker_that_has_ended_does_not_hide_that_another_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blackstack.bench.pulse.SILENT_S", 1.0)

    # Both processes wait when they are first asked how far they are; then the second has no request left.
    told, _, said = asked(Behaviour(hang_at=3, ttft_ms=700), requests=3, concurrency=(2,), timeout_s=2.0, workers=2)

    assert told.as_dict()["runs"][0]["ok"] == 2
    assert any("1 in flight, 2 of 3 done" in line for line in said)


def test_a_server_that_hangs_costs_two_time_outs_and_not_one_a_request() -> None:
    told = asked(Behaviour(hang_at=3), requests=1000, concurrency=(1, 2), repeats=2)[0].as_dict()

    (run,) = told["runs"]
    assert run["ok"] == 2
    assert run["failures"]["timeout"] in {2, 3}
    assert "within 2 time-outs of 1 s" in run["given_up"]["why"]
    assert run["given_up"]["not_sent"] == 1000 - run["requests"]
    assert any("requests were not sent" in note for note in notes(run))


def test_a_slow_server_is_not_given_up() -> None:
    told, _, said = asked(Behaviour(ttft_ms=900), requests=3, output_tokens=1, timeout_s=1.0)

    assert told.as_dict()["runs"][0]["ok"] == 3
    assert told.as_dict()["runs"][0]["given_up"] is None
    assert said == []


def test_a_pause_between_two_arrivals_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blackstack.bench.pulse.SILENT_S", 0.5)

    _, _, said = asked(Behaviour(), requests=3, rate=1.0)

    assert said == []


@pytest.mark.parametrize("warmup", [0, 2])
@pytest.mark.parametrize("die_at", [1, 2, 35, 65])
def test_a_server_that_dies_ends_the_measurement_and_what_came_before_is_kept(die_at: int, warmup: int) -> None:
    # Thirty requests a run: a server that is slow to die lets go of some before it refuses ten in a row.
    told, _, _ = asked(Behaviour(die_at=die_at), requests=30, concurrency=(1, 2, 4, 8), warmup=warmup, quality=True)

    *whole, last = told.as_dict()["runs"]
    assert len(whole) == max(0, die_at - 1) // (30 + warmup)
    assert sum(run["ok"] for run in told.as_dict()["runs"]) <= max(0, die_at - 1 - warmup)
    assert not any(run["given_up"] for run in whole)
    assert last["given_up"]
    assert last["failures"]["connect"] >= 1
    assert "quality" not in told.found


def test_an_open_loop_ends_when_nobody_is_there_any_more() -> None:
    told = asked(Behaviour(die_at=3), duration_s=600.0, rate=50.0)[0].as_dict()["runs"][0]

    assert "connection refused" in told["given_up"]["why"]
    assert told["given_up"]["not_sent"] is None


def test_a_long_silence_is_told_again_only_when_it_has_doubled() -> None:
    meter = Meter(8, timeout_s=120)

    said = [meter.warning(Standing(in_flight=1, quiet_s=seconds)) for seconds in range(60)]

    assert [index for index, line in enumerate(said) if line] == [5, 10, 20, 40]
    assert meter.warning(Standing(in_flight=1)) == ""
    assert meter.warning(Standing(in_flight=1, quiet_s=5)) != ""


def test_tokens_show_before_an_answer_has_ended() -> None:
    _, lines, _ = asked(Behaviour(itl_ms=20), requests=1, output_tokens=100, timeout_s=30)

    rates = [float(line.split(" tokens/s")[0].split()[-1]) for line in lines]
    assert sum(rate > 0 for rate in itertools.islice(rates, 3)) >= 2


def test_processes_that_wait_are_silent_together() -> None:
    idle, heard, silent = Standing(quiet_s=0), Standing(in_flight=1, quiet_s=1), Standing(in_flight=2, quiet_s=9)

    assert (idle + silent).quiet_s == 9
    assert (heard + silent).quiet_s == 1
    assert (heard + silent).in_flight == 3


def test_a_refused_connection_is_told_in_words() -> None:
    told = asked(Behaviour(die_at=3), requests=1000, concurrency=(4,))[0].as_dict()["runs"][0]

    assert told["given_up"]["why"] == "connection refused, 10 times in a row"
    assert "connection refused" in told["failure_examples"]["connect"]
    assert told["client"]["bound_reasons"] == [] or "in flight" not in str(told["client"]["bound_reasons"])
