"""Records to compare and to report, made from a few numbers."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from blackstack.bench.reading import Reply
from blackstack.bench.samples import samples
from blackstack.bench.tally import Tally
from blackstack.bench.workload import Workload
from blackstack.results import SCHEMA, Record, parse


@cache
def run(
    concurrency: int = 1, *, repeat: int = 0, speed: float = 1.0, requests: int = 40, seed: int = 0
) -> dict[str, Any]:
    """Return a run of a server that is so many times as fast as another one."""
    draw = random.Random(f"{seed}/{concurrency}/{repeat}")  # noqa: S311 - the same each time
    tally = Tally()
    clock = [0.0] * concurrency
    for _ in range(requests):
        lane = clock.index(min(clock))
        stamps = [clock[lane] + draw.gauss(50, 4) / speed]
        for _ in range(15):
            stamps.append(stamps[-1] + max(1.0, draw.gauss(10, 1)) / speed)
        us = [round(1000 * stamp) + 1 for stamp in stamps]
        sent = round(1000 * clock[lane]) + 1
        tally.add(
            Reply(scheduled_us=sent, sent_us=sent, end_us=us[-1], stamps=us, tokens=16, counted=True, input_tokens=9)
        )
        clock[lane] = stamps[-1]
    told = {"concurrency": concurrency, "repeat": repeat, "rate": None, "warmup_excluded": 2, **tally.as_dict()}
    return {**told, **samples(tally), "client": {"bound": False, "bound_reasons": []}, "surroundings": {}}


def record(
    name: str = "one",
    *,
    speed: float = 1.0,
    repeats: int = 1,
    loads: tuple[int, ...] = (1, 4),
    seed: int = 0,
    **more: Any,  # noqa: ANN401 - parts of a record
) -> Record:
    """Return a complete record."""
    runs = [run(load, repeat=repeat, speed=speed, seed=seed) for repeat in range(repeats) for load in loads]
    workload = Workload(concurrency=loads, repeats=repeats, requests=40).as_dict()
    data = {
        "schema": SCHEMA,
        "measured_at": "2026-11-21T00:00:00+00:00",
        "complete": True,
        "missing": [],
        "asked_for": {"stack": name, "model": "a-model", "workload": workload},
        "found_inside": {"engine": {"name": "toy", "version": "1"}},
        "ran_on": {"cpu": "a processor"},
        "runs": runs,
    }
    return parse({**data, **more}, name=name)
