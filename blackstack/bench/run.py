"""One run: a load at one concurrency, its warm-up before it, its numbers after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from blackstack.bench.around import remarks
from blackstack.bench.goodput import goodput
from blackstack.bench.pulse import Meter, Standing, Viewer
from blackstack.bench.samples import samples
from blackstack.bench.second_look import look_again
from blackstack.bench.stream import Dialer
from blackstack.bench.supply import Supply
from blackstack.bench.surroundings import Surroundings
from blackstack.bench.synthetic import count_again
from blackstack.bench.tally import Tally
from blackstack.bench.watch import ClientReport
from blackstack.bench.wiring import Wiring
from blackstack.bench.workers import run_workers
from blackstack.bench.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run gave."""

    concurrency: int
    repeat: int
    rate: float | None
    workload: Workload
    tally: Tally
    surroundings: dict[str, Any]
    client: ClientReport
    warmup: int
    counted_again: dict[str, int | bool]

    def as_dict(self) -> dict[str, Any]:
        """Return the run, ready for JSON."""
        numbers = self.tally.as_dict()
        free = self.workload.open_loop or self.tally.given_up  # no number of requests is to be kept in flight
        ttft_us = self.tally.ttft.percentiles(50)[0]
        return {
            "concurrency": self.concurrency,
            "repeat": self.repeat,
            "rate": self.rate,
            "arrival": self.workload.arrival if self.workload.open_loop else None,
            "warmup_excluded": self.warmup,
            **numbers,
            **goodput(self.tally, self.workload),
            **samples(self.tally),
            "given_up": self._given_up(),
            **({"token_check": self.counted_again} if self.counted_again else {}),
            "surroundings": self.surroundings,
            "remarks": list(remarks(self.surroundings)),
            "client": self.client.as_dict(
                requested=None if free else min(self.concurrency, self.tally.requests),
                ttft_us=ttft_us,
                tokens=self.tally.output_tokens,
            ),
        }

    def _given_up(self) -> dict[str, Any] | None:
        """Return why the load was ended before its end, and how many requests were therefore not sent."""
        if not self.tally.given_up:
            return None
        left = None if self.workload.duration_s else max(0, self.workload.requests - self.tally.requests)
        return {"why": self.tally.given_up, "not_sent": left}


async def run_once(
    supply: Supply, workload: Workload, *, concurrency: int, repeat: int, viewer: Viewer | None = None
) -> Run:
    """Warm up, measure, and close everything; a server that goes away, or hangs, ends the run early."""
    seed, viewer = f"{workload.seed}/{concurrency}/{repeat}", viewer or Viewer()
    around = Surroundings(target=supply.target)
    tally, client = Tally(), ClientReport()
    if workload.warmup:
        before = _warming(workload)
        warming, _ = await _load(supply, before, concurrency, f"{seed}/warm", _teller(viewer, before, "warm-up"))
        tally = warming.only_failures() if warming.given_up else tally
    if not tally.given_up:
        if workload.look_around:
            await around.begin()
        try:
            tally, client = await _load(supply, workload, concurrency, seed, _teller(viewer, workload))
        finally:
            await around.end()
    await look_again(tally, supply.target, timeout_s=workload.timeout_s)
    check = workload.check_tokens and not tally.given_up
    counted = await count_again(supply.target, Dialer(supply.target.address), tally.texts) if check else {}
    return Run(
        concurrency=client.peak if workload.open_loop else concurrency,
        repeat=repeat,
        rate=supply.rate(workload),
        workload=workload,
        tally=tally,
        surroundings=around.as_dict(),
        client=client,
        warmup=workload.warmup,
        counted_again=counted,
    )


async def _load(
    supply: Supply, workload: Workload, concurrency: int, seed: str, tell: Callable[[Standing], None]
) -> tuple[Tally, ClientReport]:
    """Run a load here, or in several processes."""
    if workload.workers > 1:
        return await run_workers(supply, workload, concurrency=concurrency, seed=seed, tell=tell)
    wiring = Wiring(supply, workload, concurrency=concurrency, seed=seed)
    try:
        await wiring.prepare()
        await wiring.go(tell)
    finally:
        wiring.close()
    return wiring.tally, wiring.report


def _teller(viewer: Viewer, workload: Workload, name: str = "") -> Callable[[Standing], None]:
    """Return what shows people how far a load is."""
    total = None if workload.duration_s else workload.requests
    return partial(viewer.show, Meter(total, name=name, timeout_s=workload.timeout_s))


def _warming(workload: Workload) -> Workload:
    """Return the load that goes before: few requests, as fast as they come."""
    return dataclasses.replace(
        workload,
        rate=None,
        arrival="constant",
        duration_s=None,
        ramp_s=0.0,
        requests=workload.warmup,
        turns=1,
        workers=1,
    )
