"""A sweep ends where the server gives no more, and names the knee."""

from __future__ import annotations

from typing import Any

from blackstack.bench import Target, Workload, measure
from blackstack.bench.sweep import knee, levels, saturated
from blackstack.bench.table import knee_line
from simulator import Behaviour, Simulator


def run(concurrency: int, rate: float, *, share: float | None = None) -> dict[str, Any]:
    """Return as much of a run as a knee needs."""
    told: dict[str, Any] = {"concurrency": concurrency, "output_tokens_per_s": rate, "ok": 9, "rate": None}
    return told | {"ttft_ms": {"p50": concurrency}} | ({} if share is None else {"goodput": {"share": share}})


def test_loads_double_up_to_the_last() -> None:
    assert list(levels(1, 8)) == [1, 2, 4, 8]
    assert list(levels(3, 10)) == [3, 6, 10]
    assert list(levels(4, 4)) == [4]


def test_a_server_that_gives_no_more_is_saturated() -> None:
    assert saturated([100, 200, 205])
    assert not saturated([100, 200, 300])
    assert not saturated([100, 100])


def test_the_knee_is_where_nearly_all_is_reached_first() -> None:
    found = knee([run(1, 100), run(2, 190), run(4, 330), run(8, 350), run(16, 340)])

    assert found is not None
    assert found["concurrency"] == 4
    assert found["best_output_tokens_per_s"] == 350


def test_two_points_have_no_knee() -> None:
    assert knee([run(1, 100), run(2, 200)]) is None


def test_limits_have_a_highest_load_that_keeps_them() -> None:
    found = knee([run(1, 100, share=1.0), run(2, 200, share=1.0), run(4, 210, share=0.2)])

    assert found is not None
    assert found["within_limits"] == 2
    assert knee_line(found).endswith("within the limits: up to concurrency 2")
    assert knee_line({**found, "within_limits": None}).endswith("within the limits: at no concurrency")


def test_a_sweep_doubles_the_load_of_a_server() -> None:
    with Simulator(Behaviour(slots=2)) as server:
        workload = Workload(warmup=0, requests=16, output_tokens=4, sweep_to=16, look_around=False)
        told = measure(Target(url=server.url), workload).as_dict()

    loads = [run["concurrency"] for run in told["runs"]]
    assert len(loads) >= 3
    assert loads == [1, 2, 4, 8, 16][: len(loads)]
    assert told["knee"]["concurrency"] in loads
