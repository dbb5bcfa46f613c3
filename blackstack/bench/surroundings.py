"""What else went on while the load ran: the server's own metrics, the GPU and who used it, and the processors.

Both are read in between, from the loop of the load itself, once in a second or less often. A scrape that takes long is
left out, never waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import Any, Final

from blackstack.bench.gpu import Gpu
from blackstack.bench.machine import Processors, server_processes
from blackstack.bench.probe import fetch
from blackstack.bench.reading import OK
from blackstack.bench.request import Envelope
from blackstack.bench.stream import Dialer, clock_ns
from blackstack.bench.target import Target

PERIOD_S: Final = 1.0
PATIENCE_S: Final = 2.0
LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{[^}]*\})? ([-+.eE\d]+|NaN|[-+]?Inf)", re.MULTILINE)

# What each engine calls the same thing. The first name that a server has is taken.
NAMES: Final[dict[str, tuple[str, ...]]] = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"),
    "kv_usage": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "llamacpp:kv_cache_usage_ratio",
    ),
}
SHARES: Final = frozenset(NAMES["kv_usage"])  # of 1; two that are half full are not one that is full
COUNTERS: Final[dict[str, tuple[str, ...]]] = {
    "preemptions": ("vllm:num_preemptions_total", "sglang:num_retracted_reqs"),
    "prefix_cache_queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    "prefix_cache_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "prompt_tokens": ("vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "llamacpp:prompt_tokens_total"),
    "generation_tokens": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "llamacpp:tokens_predicted_total",
    ),
}


def read_metrics(text: str) -> dict[str, float]:
    """Return each series of a Prometheus page: over its labels the sum, of a share the highest.

    Labels tell the engines of one server apart, as with vLLM's data parallelism.
    """
    found: dict[str, list[float]] = {}
    for name, value in LINE.findall(text):
        found.setdefault(name, []).append(float(value))
    return {name: max(values) if name in SHARES else sum(values) for name, values in found.items()}


def pick(metrics: dict[str, float], names: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Return the metrics that we know, under our names; what a server does not tell is absent."""
    told = {}
    for ours, theirs in names.items():
        if (name := next((each for each in theirs if each in metrics), None)) is not None:
            told[ours] = metrics[name]
    return told


@dataclass(kw_only=True)
class Surroundings:
    """Looks around, before, during and after a load."""

    target: Target
    gpu: Gpu = field(default_factory=Gpu)
    _dialer: Dialer | None = None
    _before: dict[str, float] = field(default_factory=dict)
    _after: dict[str, float] = field(default_factory=dict)
    _samples: list[dict[str, Any]] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None
    _begun_ns: int = 0
    _processors: Processors | None = None
    _busy: dict[str, Any] = field(default_factory=dict)
    _server: frozenset[int] | None = None

    async def begin(self) -> None:
        """Look once, and then again and again."""
        self._server = server_processes(self.target.address)
        self._processors = Processors(self._server)
        self.gpu.sample()  # a run that is over within a period has this one and the last
        self._dialer = Dialer(self.target.address, timeout_s=PATIENCE_S)
        self._begun_ns = clock_ns()
        self._before = await self._scrape()
        self._task = asyncio.create_task(self._watch())

    async def end(self) -> None:
        """Look for the last time."""
        if self._processors is not None:
            self._busy = self._processors.as_dict()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self.gpu.sample()
            self._after = await self._scrape()

    def as_dict(self) -> dict[str, Any]:
        """Return what was seen, ready for JSON."""
        before, after = pick(self._before, COUNTERS), pick(self._after, COUNTERS)
        return {
            "server": {
                "available": bool(self._before),
                "before": pick(self._before, NAMES),
                "during": self._samples,
                "after": pick(self._after, NAMES),
                "increase": {name: after[name] - value for name, value in before.items() if name in after},
            },
            "gpu": self.gpu.as_dict(self._server),
            "cpu": self._busy,
        }

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            self.gpu.sample()
            if self._before:
                at_s = round((clock_ns() - self._begun_ns) / 1e9, 3)
                self._samples.append({"at_s": at_s, **pick(await self._scrape(), NAMES)})

    async def _scrape(self) -> dict[str, float]:
        if self._dialer is None:
            return {}
        request = Envelope(self.target, self.target.address).get("/metrics")
        with contextlib.suppress(OSError, TimeoutError):
            page = await fetch(self._dialer, request, timeout_s=PATIENCE_S)
            if page.status == OK:
                return read_metrics(page.body.decode(errors="replace"))
        return {}
