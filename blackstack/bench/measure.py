"""``measure``: from a target and a workload to a measurement, on an event loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blackstack.bench.loops import loop_factory
from blackstack.bench.measurement import Measurement
from blackstack.bench.probe import resolve
from blackstack.bench.pulse import Pulse, Viewer
from blackstack.bench.quality import examine
from blackstack.bench.run import Run, run_once
from blackstack.bench.sources import is_file, read_file
from blackstack.bench.stream import Dialer
from blackstack.bench.supply import Supply
from blackstack.bench.sweep import levels, saturated
from blackstack.bench.target import Target
from blackstack.bench.workload import Workload


def measure(
    target: Target,
    workload: Workload,
    *,
    progress: Callable[[str], None] | None = None,
    pulse: Pulse | None = None,
    warn: Callable[[str], None] | None = None,
) -> Measurement:
    """Put a load on a server and measure it.

    Ctrl-C gives up what is in flight, closes every connection and raises KeyboardInterrupt. A server that goes away or
    hangs meanwhile ends the measurement: its last run says so (``given_up``).

    Args:
        target: the server and the model.
        workload: the load.
        progress: is told a line now and then.
        pulse: is told a line twice a second, each in place of the one before.
        warn: is told a sentence when no token has come for a while; else ``progress`` is.

    Raises:
        BlockedError: nobody listens there.
        UsageError: it is no OpenAI-compatible server, the key is wrong, or the model is unknown.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        progress = progress or _silent
        return runner.run(_measure(target, workload, progress, Viewer(pulse=pulse, warn=warn or progress)))


async def _measure(target: Target, workload: Workload, progress: Callable[[str], None], viewer: Viewer) -> Measurement:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    if is_file(workload.prompts):
        read_file(Path(workload.prompts))  # complains before anybody is asked
    target, models = await resolve(target, Dialer(target.address))
    supply = await Supply.of(target, workload)
    runs: list[Run] = []
    async for run in _runs(supply, workload, progress, viewer):
        runs.append(run)
        if run.tally.given_up:
            break
    found: dict[str, Any] = {"models": models, **supply.found, **({"salt": supply.nonce} if workload.salt else {})}
    if workload.quality and not runs[-1].tally.given_up:
        progress("questions with known answers")
        found["quality"] = await examine(target)
    return Measurement(target=target, workload=workload, found=found, runs=tuple(runs), started_at=started)


async def _runs(
    supply: Supply, workload: Workload, progress: Callable[[str], None], viewer: Viewer
) -> AsyncIterator[Run]:
    for repeat in range(workload.repeats):
        rates: list[float] = []
        for concurrency in _concurrencies(workload):
            progress(_announcement(workload, concurrency, repeat))
            run = await run_once(supply, workload, concurrency=concurrency, repeat=repeat, viewer=viewer)
            yield run
            rates.append(run.tally.output_tokens / (run.tally.seconds or 1.0))
            if workload.sweep_to and saturated(rates):
                progress(f"twice the load brought no more than {rates[-1]:.0f} output tokens/s: the sweep ends")
                break


def _concurrencies(workload: Workload) -> Iterable[int]:
    if workload.open_loop:
        return (1,)
    return levels(workload.concurrency[0], workload.sweep_to) if workload.sweep_to else workload.concurrency


def _announcement(workload: Workload, concurrency: int, repeat: int) -> str:
    load = f"{workload.rate or 'the trace'} requests/s" if workload.open_loop else f"concurrency {concurrency}"
    amount = f"{workload.duration_s:g} s" if workload.duration_s else f"{workload.requests} requests"
    of = f", repeat {repeat + 1} of {workload.repeats}" if workload.repeats > 1 else ""
    return f"{load}: {amount}{of}"


def _silent(_: str) -> None:
    pass
