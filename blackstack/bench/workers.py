"""Several processes share one load, each with its own loop on its own core.

They begin at one moment of the one monotonic clock, and what comes back are counts and samples, not averages: merged,
they are exactly what a single process that was fast enough would have seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Final

from blackstack.bench.loops import loop_factory
from blackstack.bench.pulse import PERIOD_S, Standing
from blackstack.bench.stream import clock_ns
from blackstack.bench.supply import Supply
from blackstack.bench.tally import Tally
from blackstack.bench.watch import ClientReport
from blackstack.bench.wiring import Share, Wiring
from blackstack.bench.workload import Workload
from blackstack.errors import BlackstackError

HEADWAY_NS: Final = 20_000_000  # between «go» and the common beginning
PATIENCE_S: Final = 5.0  # for a process that was told to end

Part = tuple[Tally, ClientReport] | None


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process is told."""

    supply: Supply
    workload: Workload
    concurrency: int
    seed: str
    share: Share


async def run_workers(
    supply: Supply, workload: Workload, *, concurrency: int, seed: str, tell: Callable[[Standing], None]
) -> tuple[Tally, ClientReport]:
    """Run a load in ``workload.workers`` processes, and tell now and then how far it is; none outlives this call."""
    count = workload.workers if workload.open_loop else min(workload.workers, concurrency)
    context = multiprocessing.get_context("spawn")  # a fork would copy a loop that is running
    processes, pipes = [], []
    far = [Standing()] * count
    telling: asyncio.Task[None] | None = None
    try:
        for index in range(count):
            ours, theirs = context.Pipe()
            job = Job(supply=supply, workload=workload, concurrency=concurrency, seed=seed, share=Share(index, count))
            process = context.Process(target=_work, args=(theirs, job), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        await asyncio.gather(*(_hear(pipe) for pipe in pipes))
        begin_ns = clock_ns() + HEADWAY_NS
        for pipe in pipes:
            pipe.send(begin_ns)
        telling = asyncio.create_task(_tell(tell, far))
        parts = await asyncio.gather(*(_follow(pipe, far, index) for index, pipe in enumerate(pipes)))
    finally:
        if telling is not None:
            telling.cancel()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(PATIENCE_S)
        for pipe in pipes:
            pipe.close()
    tally, report = Tally(), ClientReport(processes=0)
    for part in parts:
        if part is not None:
            tally.merge(part[0])
            report.merge(part[1])
    return tally, report


async def _tell(tell: Callable[[Standing], None], far: list[Standing]) -> None:
    """Tell how far all are, on a clock of our own: a worker that has ended, or hangs, must not silence the others."""
    while True:
        await asyncio.sleep(PERIOD_S)
        tell(sum(far, Standing()))


async def _follow(pipe: Connection, far: list[Standing], index: int) -> Part:
    """Return what a worker sends, and keep how far it is; one that has ended waits for nothing any more."""
    part = await _hear(pipe, partial(far.__setitem__, index))
    if part is not None:
        tally, _ = part
        far[index] = Standing(done=tally.requests, failed=tally.failures.total(), tokens=tally.output_tokens)
    return part


async def _hear(pipe: Connection, tell: Callable[[Standing], None] = lambda _: None) -> Part:
    """Return what a worker sends, and hand on how far it says that it is; raise what stopped it."""
    loop = asyncio.get_running_loop()
    while True:
        arrived = asyncio.Event()
        loop.add_reader(pipe.fileno(), arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(pipe.fileno())
        os.set_blocking(pipe.fileno(), True)  # uvloop's readers turn it off, and a large result comes in pieces
        try:
            said: Part | Standing | BlackstackError = pipe.recv()
        except EOFError:
            raise BlackstackError("a worker of the benchmark client died", fix="try --workers 1") from None
        if isinstance(said, BlackstackError):
            raise said
        if not isinstance(said, Standing):
            return said
        tell(said)


def _work(pipe: Connection, job: Job) -> None:
    """Run one share; the main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    with asyncio.Runner(loop_factory=loop_factory()) as runner, contextlib.suppress(BrokenPipeError):
        try:
            pipe.send(runner.run(_take_part(pipe, job)))
        except BlackstackError as error:
            pipe.send(error)


async def _take_part(pipe: Connection, job: Job) -> Part:
    wiring = Wiring(job.supply, job.workload, concurrency=job.concurrency, seed=job.seed, share=job.share)
    try:
        await wiring.prepare()
        pipe.send(None)
        begin_ns = await asyncio.to_thread(pipe.recv)
        await asyncio.sleep(max(0.0, (begin_ns - clock_ns()) / 1e9))
        await wiring.go(pipe.send)
    finally:
        wiring.close()
    return wiring.tally, wiring.report
