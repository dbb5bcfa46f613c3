"""What is asked of the server. Two measurements with the same workload do the same work."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from blackstack.bench.arrivals import ARRIVALS
from blackstack.bench.prompts import NAMES
from blackstack.bench.sources import is_file
from blackstack.errors import UsageError, unknown_name

Endpoint = Literal["completions", "chat"]
PATHS = {"completions": "/v1/completions", "chat": "/v1/chat/completions"}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The load.

    Attributes:
        concurrency: requests in flight, one run for each number.
        sweep_to: double the first concurrency up to this, and stop earlier where throughput no longer grows.
        requests: requests in each run, warm-up not counted.
        output_tokens: tokens asked for with ``max_tokens``; None takes the prompts' own number.
        input_tokens: exact prompt length; None takes the prompts as they are.
        prompts: the name of a prompt set, or a file: JSON lines, ShareGPT, or a trace (see ``sources``).
        shared_prefix: words that every prompt begins with, before its salt: what a prefix cache may hold.
        warmup: requests before each run that are in no statistic.
        repeats: how often each run is made.
        seed: of prompts, salts and arrivals.
        timeout_s: for one request, from its sending to its end.
        ignore_eos: ask the server to go on to ``output_tokens``, so that every run has the same work.
        salt: begin every prompt differently, so that no prefix cache answers for the model.
        rate: requests a second of an open loop; None is a closed loop.
        arrival: how an open loop spaces its requests; ``replay`` takes the moments of the file.
        burstiness: the shape of ``gamma`` arrivals; below 1 they come in bursts.
        ramp_s: the load grows from nothing over so many seconds.
        workers: processes that share the load, for when one core is not enough.
        duration_s: send for so long instead of sending a number of requests.
        turns: of a conversation; each sends what was said before, the server's own answers among it.
        check_tokens: count some answers again with the server's tokenizer, after the load.
        temperature: 0 is greedy.
        quality: ask the questions of ``quality`` after the load.
        look_around: read the server's metrics and the GPU before, during and after.
        slo_ttft_ms: what a request may take to be in the goodput; also ``slo_tpot_ms``, ``slo_e2e_ms``.
    """

    concurrency: tuple[int, ...] = (1,)
    sweep_to: int | None = None
    requests: int = 24
    output_tokens: int | None = 64
    input_tokens: int | None = None
    prompts: str = "chat"
    endpoint: Endpoint = "completions"
    warmup: int = 2
    repeats: int = 1
    seed: int = 0
    timeout_s: float = 120.0
    ignore_eos: bool = True
    salt: bool = True
    shared_prefix: int = 0
    rate: float | None = None
    arrival: str = "constant"
    burstiness: float = 1.0
    ramp_s: float = 0.0
    duration_s: float | None = None
    workers: int = 1
    turns: int = 1
    check_tokens: bool = False
    temperature: float = 0.0
    quality: bool = False
    look_around: bool = True
    slo_ttft_ms: float | None = None
    slo_tpot_ms: float | None = None
    slo_e2e_ms: float | None = None

    def __post_init__(self) -> None:
        if self.endpoint not in PATHS:
            raise unknown_name("endpoint", self.endpoint, PATHS, see="--endpoint completions|chat")
        if self.prompts not in NAMES and not is_file(self.prompts):
            raise unknown_name("prompt set", self.prompts, NAMES, see="python -m blackstack.bench --help")
        if self.arrival not in ARRIVALS:
            raise unknown_name("arrival", self.arrival, ARRIVALS, see="python -m blackstack.bench --help")
        for name in (
            "requests",
            "output_tokens",
            "input_tokens",
            "repeats",
            "timeout_s",
            "rate",
            "duration_s",
            "burstiness",
            "workers",
            "turns",
            "sweep_to",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} is {value}; it must be more than nothing")
        for name in ("warmup", "ramp_s", "shared_prefix"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it cannot be negative")
        if self.turns > 1 and self.open_loop:
            raise UsageError(
                "turns need a closed loop", why="a user answers when the server has", fix="--turns without --rate"
            )
        self._check_concurrency()

    @property
    def open_loop(self) -> bool:
        """Tell whether requests come at their own times and not at each other's ends."""
        return self.rate is not None or self.arrival == "replay"

    @property
    def path(self) -> str:
        """Return the path that is asked."""
        return PATHS[self.endpoint]

    def _check_concurrency(self) -> None:
        if not self.concurrency or min(self.concurrency) < 1:
            raise UsageError(
                f"concurrency is {self.concurrency}; it needs whole numbers from 1",
                fix="write it like --concurrency 1,64",
            )
        if len(set(self.concurrency)) < len(self.concurrency):
            raise UsageError(
                f"concurrency {','.join(map(str, self.concurrency))} names one twice", fix="--repeats N measures again"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the workload, ready for JSON."""
        return dataclasses.asdict(self)
