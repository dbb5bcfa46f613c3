"""A load, its magazine, its backlog and its watch, wired together in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from blackstack.bench.backlog import Backlog
from blackstack.bench.closed_loop import ClosedLoop
from blackstack.bench.failures import reason
from blackstack.bench.load import Load
from blackstack.bench.magazine import Magazine
from blackstack.bench.open_loop import SPARE, OpenLoop
from blackstack.bench.probe import complaint, first_of
from blackstack.bench.pulse import PERIOD_S, Standing
from blackstack.bench.reading import Reply
from blackstack.bench.stream import Dialer
from blackstack.bench.supply import Supply
from blackstack.bench.tally import Tally
from blackstack.bench.watch import ClientReport, Watch
from blackstack.bench.workload import Workload

AHEAD = 512  # requests that are made before the clock starts; the rest is made while the server works


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a load: each ``of``-th request, beginning with ``index``."""

    index: int = 0
    of: int = 1

    def part(self, total: int) -> int:
        """Return how many of ``total`` things are ours."""
        return total // self.of + (self.index < total % self.of)


WHOLE = Share()


class Wiring:
    """A load, its magazine, its backlog and its watch, wired together."""

    def __init__(
        self, supply: Supply, workload: Workload, *, concurrency: int, seed: str, share: Share = WHOLE
    ) -> None:
        self._supply = supply
        self._share = share
        source = islice(supply.requests(workload, seed=seed), share.index, None, share.of)
        concurrency = share.part(concurrency)
        if workload.duration_s is None:
            begun = math.ceil(workload.requests / workload.turns)  # a conversation is begun once
            source = islice(source, share.part(begun))
            concurrency = min(concurrency, share.part(begun))
        self.tally = Tally()
        self.report = ClientReport()
        self._connections = SPARE if workload.open_loop else concurrency
        self._magazine = Magazine(source, depth=max(AHEAD, 2 * concurrency))
        self._backlog = Backlog(self._keep, self._magazine.refill)
        self._load = self._shape(Dialer(supply.target.address), workload, seed)

    def _shape(self, dialer: Dialer, workload: Workload, seed: str) -> Load:
        limits: dict[str, Any] = {"timeout_s": workload.timeout_s, "duration_s": workload.duration_s}
        if not workload.open_loop:
            closed = ClosedLoop(dialer, self._backlog, self._magazine, **limits)
            closed.ramp_s = workload.ramp_s
            return closed
        opened = OpenLoop(dialer, self._backlog, self._magazine, **limits)
        opened.offsets = islice(self._supply.offsets(workload, seed=seed), self._share.index, None, self._share.of)
        return opened

    def _keep(self, reply: Reply) -> None:
        self.tally.add(reply, self._load.gauge.closed_us)
        if reply.tag is not None:
            self._load.go_on(reply)

    async def prepare(self) -> None:
        """Do all that must not be measured: open the connections and make the first requests.

        A server that listened and listens no more is a load that was given up, with one request that failed.
        """
        await self._connect()
        if not self.tally.given_up:
            self._magazine.fill()

    async def go(self, tell: Callable[[Standing], None]) -> None:
        """Run the load, and tell now and then how far it is; whatever happens, no connection stays open."""
        if self.tally.given_up:
            return
        load, watch = self._load, Watch()
        beating = asyncio.create_task(self._beat(tell))
        try:
            with no_collector():
                watch.start()
                await load.run()
                self.report = watch.stop()
                self._backlog.drain()
                self.tally.close_window(load.gauge.closed_us)
        finally:
            beating.cancel()
            watch.stop()
            load.close()
        self.report.delivered, self.report.peak = load.gauge.mean, load.gauge.peak
        self.report.connect, self.report.reconnects = load.connect, load.reconnects
        self.tally.given_up = load.given_up

    async def _beat(self, tell: Callable[[Standing], None]) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            tell(self._standing())

    def _standing(self) -> Standing:
        tally, load = self.tally, self._load
        tokens_a_packet = tally.output_tokens / tally.events if tally.events else 1.0
        return Standing(
            done=tally.requests,
            failed=tally.failures.total(),
            tokens=tally.output_tokens + round(load.packets * tokens_a_packet),
            in_flight=load.gauge.now,
            quiet_s=load.quiet_s,
        )

    def close(self) -> None:
        """Close every connection."""
        self._load.close()

    async def _connect(self) -> None:
        try:
            await self._load.connect_all(self._connections)
        except* ConnectionRefusedError as group:
            self.tally.given_up = f"{reason(first_of(group))}, and it had listened before"
            self.tally.fail("connect", reason(first_of(group)))
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
