"""One run: a load at one concurrency, its warm-up before it, its numbers after it."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from blackstack.bench.backlog import Backlog
from blackstack.bench.closed_loop import ClosedLoop
from blackstack.bench.goodput import goodput
from blackstack.bench.load import Load
from blackstack.bench.magazine import Magazine
from blackstack.bench.open_loop import SPARE, OpenLoop
from blackstack.bench.probe import complaint
from blackstack.bench.stream import Dialer
from blackstack.bench.supply import Supply
from blackstack.bench.tally import Tally
from blackstack.bench.watch import ClientReport, Watch
from blackstack.bench.workload import Workload

AHEAD = 512  # requests that are made before the clock starts; the rest is made while the server works


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run gave."""

    concurrency: int
    repeat: int
    workload: Workload
    tally: Tally
    client: ClientReport
    warmup: int

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
            "client": self.client.as_dict(
                requested=None if self.workload.open_loop else min(self.concurrency, self.tally.requests),
                ttft_us=ttft_us,
                tokens=self.tally.output_tokens,
            ),
        }


async def run_once(supply: Supply, workload: Workload, *, concurrency: int, repeat: int) -> Run:
    """Warm up, measure, and close everything."""
    seed = f"{workload.seed}/{concurrency}/{repeat}"
    if workload.warmup:
        warming = dataclasses.replace(
            workload, rate=None, arrival="constant", duration_s=None, ramp_s=0.0, requests=workload.warmup
        )
        await _Wiring(supply, warming, concurrency=concurrency, seed=f"{seed}/warm").go()
    wiring = _Wiring(supply, workload, concurrency=concurrency, seed=seed)
    await wiring.go()
    return Run(
        concurrency=wiring.report.peak if workload.open_loop else concurrency,
        repeat=repeat,
        workload=workload,
        tally=wiring.tally,
        client=wiring.report,
        warmup=workload.warmup,
    )


class _Wiring:
    """A load, its magazine, its backlog and its watch, wired together."""

    def __init__(self, supply: Supply, workload: Workload, *, concurrency: int, seed: str) -> None:
        self._supply = supply
        source = supply.requests(workload, seed=seed)
        if workload.duration_s is None:
            source = islice(source, workload.requests)
            concurrency = min(concurrency, workload.requests)
        self.tally = Tally()
        self.report = ClientReport()
        self._connections = SPARE if workload.open_loop else concurrency
        self._magazine = Magazine(source, depth=max(AHEAD, 2 * concurrency))
        self._backlog = Backlog(self.tally.add, self._magazine.refill)
        self._load = self._shape(Dialer(supply.target.address), workload, seed)

    def _shape(self, dialer: Dialer, workload: Workload, seed: str) -> Load:
        limits: dict[str, Any] = {"timeout_s": workload.timeout_s, "duration_s": workload.duration_s}
        if not workload.open_loop:
            closed = ClosedLoop(dialer, self._backlog, self._magazine, **limits)
            closed.ramp_s = workload.ramp_s
            return closed
        opened = OpenLoop(dialer, self._backlog, self._magazine, **limits)
        opened.offsets = self._supply.offsets(workload, seed=seed)
        return opened

    async def go(self) -> None:
        """Run the load; whatever happens, no connection stays open."""
        load, watch = self._load, Watch()
        try:
            await self._connect()
            self._magazine.fill()
            with no_collector():
                watch.start()
                await load.run()
                self.report = watch.stop()
                self._backlog.drain()
        finally:
            watch.stop()
            load.close()
        self.report.delivered, self.report.peak = load.gauge.mean, load.gauge.peak
        self.report.connect, self.report.reconnects = load.connect, load.reconnects

    async def _connect(self) -> None:
        try:
            await self._load.connect_all(self._connections)
        except* (OSError, TimeoutError) as group:
            raise complaint(group) from None


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    """Keep Python's collector of cycles, which stops everything for milliseconds, out of the measured time."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
