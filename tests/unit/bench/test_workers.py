"""Several processes make one load, and one result."""

from __future__ import annotations

import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.wiring import Share
from simulator import Behaviour, Simulator


@pytest.mark.parametrize("total", [0, 1, 7, 8])
def test_shares_add_up(total: int) -> None:
    assert sum(Share(index, 3).part(total) for index in range(3)) == total


def test_two_processes_send_what_one_would_send() -> None:
    with Simulator() as one, Simulator() as two:
        for server, workers in ((one, 1), (two, 2)):
            workload = Workload(warmup=0, requests=9, concurrency=(4,), output_tokens=5, workers=workers, salt=False)
            told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

            assert told["ok"] == 9
            assert told["output_tokens"] == 45
            assert told["client"]["peak_concurrency"] == 4
            assert told["client"]["processes"] == workers

        prompts = [sorted(served.body["prompt"] for served in server.served) for server in (one, two)]
    assert prompts[0] == prompts[1]


def test_failures_of_all_processes_are_counted() -> None:
    with Simulator(Behaviour(faults={"cut": 3})) as server:
        workload = Workload(warmup=0, requests=12, concurrency=(4,), output_tokens=5, workers=2)
        told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

    assert told["failures"]["cut"] == 4
    assert told["ok"] == 8


def test_a_result_that_is_larger_than_a_pipe_holds_comes_back_whole() -> None:
    with Simulator(Behaviour(ttft_ms=0, itl_ms=0)) as server:
        load = Workload(warmup=0, requests=6000, concurrency=(16,), output_tokens=2, workers=2, look_around=False)
        (told,) = measure(Target(url=server.url), load).as_dict()["runs"]

    assert told["ok"] == 6000
    assert told["output_tokens"] == 12000
