"""One run: a load at one concurrency, its warm-up before it, its numbers after it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from blackstack.bench.backlog import Backlog
from blackstack.bench.load import ClosedLoop, Magazine
from blackstack.bench.probe import complaint
from blackstack.bench.prompts import SETS, endless
from blackstack.bench.reading import Reply
from blackstack.bench.request import Envelope, Request
from blackstack.bench.stream import Dialer
from blackstack.bench.tally import Tally
from blackstack.bench.target import Target
from blackstack.bench.watch import ClientReport, Watch
from blackstack.bench.workload import Workload

AHEAD = 512  # requests that are made before the clock starts; the rest is made while the server works


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run gave."""

    concurrency: int
    repeat: int
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
            "warmup_excluded": self.warmup,
            **numbers,
            "client": self.client.as_dict(
                requested=min(self.concurrency, self.tally.requests),
                ttft_us=ttft_us,
                tokens=self.tally.output_tokens,
            ),
        }


def requests_of(workload: Workload, target: Target, *, seed: str) -> Iterator[Request]:
    """Yield the workload's requests for ever."""
    envelope = Envelope(target, target.address)
    tokens = workload.output_tokens or SETS[workload.prompts].output_tokens
    common: dict[str, Any] = {
        "model": target.model,
        "max_tokens": tokens,
        "temperature": workload.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if workload.ignore_eos:
        common["ignore_eos"] = True
    for prompt in endless(workload.prompts, seed=seed, salt=workload.salt):
        asked: dict[str, Any] = {"prompt": prompt}
        if workload.endpoint == "chat":
            asked = {"messages": [{"role": "user", "content": prompt}]}
        yield envelope.post(workload.path, {**common, **asked}, output_tokens=tokens)


async def run_once(target: Target, workload: Workload, *, concurrency: int, repeat: int) -> Run:
    """Warm up, measure, and close everything."""
    dialer = Dialer(target.address)
    seed = f"{workload.seed}/{concurrency}/{repeat}"
    if workload.warmup:
        warm = ClosedLoopRun(
            dialer,
            workload,
            islice(requests_of(workload, target, seed=f"{seed}/warm"), workload.warmup),
            concurrency=min(concurrency, workload.warmup),
        )
        await warm.go()
    source = islice(requests_of(workload, target, seed=seed), workload.requests)
    load = ClosedLoopRun(dialer, workload, source, concurrency=min(concurrency, workload.requests))
    await load.go()
    return Run(concurrency=concurrency, repeat=repeat, tally=load.tally, client=load.report, warmup=workload.warmup)


class ClosedLoopRun:
    """Wires a loop, its magazine, its backlog and its watch together."""

    def __init__(self, dialer: Dialer, workload: Workload, source: Iterator[Request], *, concurrency: int) -> None:
        self.tally = Tally()
        self.report = ClientReport()
        self._magazine = Magazine(source, depth=max(AHEAD, 2 * concurrency))
        self._backlog = Backlog(self._reply, self._magazine.refill)
        self._loop = ClosedLoop(
            dialer, self._backlog, self._magazine, concurrency=concurrency, timeout_s=workload.timeout_s
        )

    async def go(self) -> None:
        """Run the load; whatever happens, no connection stays open."""
        watch = Watch()
        try:
            await self._connect()
            self._magazine.fill()
            with no_collector():
                watch.start()
                await self._loop.run()
                self.report = watch.stop()
                self._backlog.drain()
        finally:
            watch.stop()
            self._loop.close()
        self.report.delivered = self._loop.gauge.mean
        self.report.peak = self._loop.gauge.peak
        self.report.connect = self._loop.connect
        self.report.reconnects = self._loop.reconnects

    async def _connect(self) -> None:
        try:
            await self._loop.connect_all()
        except* (OSError, TimeoutError) as group:
            raise complaint(group) from None

    def _reply(self, reply: Reply) -> None:
        self.tally.add(reply)


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
