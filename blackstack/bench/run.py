"""One run: a load at one concurrency, its warm-up before it, its numbers after it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from blackstack.bench.goodput import goodput
from blackstack.bench.pulse import Pulse
from blackstack.bench.samples import samples
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
    workload: Workload
    tally: Tally
    surroundings: dict[str, Any]
    client: ClientReport
    warmup: int
    counted_again: dict[str, int | bool]

    def as_dict(self) -> dict[str, Any]:
        """Return the run, ready for JSON."""
        numbers = self.tally.as_dict()
        ttft_us = self.tally.ttft.percentiles(50)[0]
        return {
            "concurrency": self.concurrency,
            "repeat": self.repeat,
            "rate": self.workload.rate,
            "warmup_excluded": self.warmup,
            **numbers,
            **goodput(self.tally, self.workload),
            **samples(self.tally),
            **({"token_check": self.counted_again} if self.counted_again else {}),
            "surroundings": self.surroundings,
            "client": self.client.as_dict(
                requested=None if self.workload.open_loop else min(self.concurrency, self.tally.requests),
                ttft_us=ttft_us,
                tokens=self.tally.output_tokens,
            ),
        }


async def run_once(
    supply: Supply, workload: Workload, *, concurrency: int, repeat: int, pulse: Pulse | None = None
) -> Run:
    """Warm up, measure, and close everything."""
    seed = f"{workload.seed}/{concurrency}/{repeat}"
    if workload.warmup:
        await _load(supply, _warming(workload), concurrency, f"{seed}/warm")
    around = Surroundings(target=supply.target)
    if workload.look_around:
        await around.begin()
    try:
        tally, client = await _load(supply, workload, concurrency, seed, pulse)
    finally:
        await around.end()
    counted = (
        await count_again(supply.target, Dialer(supply.target.address), tally.texts) if workload.check_tokens else {}
    )
    return Run(
        concurrency=client.peak if workload.open_loop else concurrency,
        repeat=repeat,
        workload=workload,
        tally=tally,
        surroundings=around.as_dict(),
        client=client,
        warmup=workload.warmup,
        counted_again=counted,
    )


async def _load(
    supply: Supply, workload: Workload, concurrency: int, seed: str, pulse: Pulse | None = None
) -> tuple[Tally, ClientReport]:
    """Run a load here, or in several processes."""
    if workload.workers > 1:
        return await run_workers(supply, workload, concurrency=concurrency, seed=seed)
    wiring = Wiring(supply, workload, concurrency=concurrency, seed=seed)
    try:
        await wiring.prepare()
        await wiring.go(pulse)
    finally:
        wiring.close()
    return wiring.tally, wiring.report


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
