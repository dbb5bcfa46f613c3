"""The client watches itself: a number is only the server's where the client had time to take it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from blackstack.bench.stats import Distribution
from blackstack.bench.stream import clock_ns

PERIOD_S: Final = 0.005
FULL_CORE: Final = 0.9  # CPU seconds per second, from which a single-threaded client has no time left
LAG_SHARE: Final = 0.05  # of the median TTFT
LAG_FLOOR_US: Final = 2000
SHORTFALL: Final = 0.97  # delivered against requested


class Gauge:
    """How many requests are in flight, averaged over time, up to the moment when there is nothing left to send."""

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0
        self._area = 0
        self._begun_ns = 0
        self._last_ns = 0
        self._closed = False
        self.closed_us: int | None = None

    def up(self, at_ns: int) -> None:
        """Count a request that was sent."""
        if not self.peak:
            self._begun_ns = self._last_ns = at_ns
        self._advance(at_ns)
        self.now += 1
        self.peak = max(self.peak, self.now)

    def down(self, at_ns: int) -> None:
        """Count a request that ended."""
        self._advance(at_ns)
        self.now -= 1

    def close(self, at_ns: int) -> None:
        """Stop averaging: what follows is the tail, in which nothing is sent any more."""
        self._advance(at_ns)
        if not self._closed:
            self.closed_us = at_ns // 1000
        self._closed = True

    @property
    def mean(self) -> float:
        """Return the time average."""
        span = self._last_ns - self._begun_ns
        return self._area / span if span > 0 else float(self.peak)

    def _advance(self, at_ns: int) -> None:
        if not self._closed and at_ns > self._last_ns:
            self._area += self.now * (at_ns - self._last_ns)
            self._last_ns = at_ns


@dataclass(kw_only=True)
class ClientReport:
    """What the client did while it measured. Reports of several processes merge."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    lag: Distribution = field(default_factory=Distribution)
    busiest: float = 0.0  # CPU seconds per second of the busiest process
    delivered: float = 0.0
    peak: int = 0
    reconnects: int = 0
    connect: Distribution = field(default_factory=Distribution)
    processes: int = 1

    def merge(self, other: ClientReport) -> None:
        """Add another process of the same client."""
        self.cpu_s += other.cpu_s
        self.wall_s = max(self.wall_s, other.wall_s)
        self.busiest = max(self.busiest, other.busiest)
        self.lag.merge(other.lag)
        self.connect.merge(other.connect)
        self.delivered += other.delivered
        self.peak += other.peak
        self.reconnects += other.reconnects
        self.processes += other.processes

    def as_dict(self, *, requested: float | None, ttft_us: float, tokens: int) -> dict[str, Any]:
        """Return the report, ready for JSON.

        Args:
            requested: the concurrency asked for; None where load comes at a rate.
            ttft_us: the median TTFT, against which lag is large or small.
            tokens: the output tokens of the run.
        """
        reasons = self._reasons(requested, ttft_us)
        p50, p99 = self.lag.percentiles(50, 99)
        lags = bool(len(self.lag))
        return {
            "cpu_s": round(self.cpu_s, 4),
            "cpu_share": round(self.busiest, 4),
            "cpu_s_per_1000_tokens": round(1000 * self.cpu_s / tokens, 6) if tokens else None,
            "max_loop_lag_ms": round(max(self.lag.counts) / 1000, 3) if lags else 0.0,
            "p50_loop_lag_ms": round(p50 / 1000, 3) if lags else 0.0,
            "p99_loop_lag_ms": round(p99 / 1000, 3) if lags else 0.0,
            "requested_concurrency": requested,
            "delivered_concurrency": round(self.delivered, 3),
            "peak_concurrency": self.peak,
            "processes": self.processes,
            "reconnects": self.reconnects,
            "connect_ms": self.connect.summary(independent=False),
            "bound": bool(reasons),
            "bound_reasons": reasons,
        }

    def _reasons(self, requested: float | None, ttft_us: float) -> list[str]:
        """Return why the numbers may be the client's own and not the server's."""
        reasons = []
        if self.busiest > FULL_CORE:
            reasons.append(f"a client process used {self.busiest:.0%} of a core")
        p99 = self.lag.percentiles(99)[0]
        if p99 > max(LAG_FLOOR_US, LAG_SHARE * ttft_us):
            reasons.append(f"1 % of the client's wake-ups came more than {p99 / 1000:.1f} ms late")
        if requested and self.delivered < SHORTFALL * requested:
            reasons.append(f"{self.delivered:.1f} requests in flight on average, {requested:g} asked for")
        return reasons


class Watch:
    """Measures loop lag and CPU between ``start`` and ``stop``."""

    def __init__(self) -> None:
        self._lags: list[int] = []
        self._handle: asyncio.TimerHandle | None = None
        self._due_ns = 0
        self._begun_ns = 0
        self._cpu_ns = 0

    def start(self) -> None:
        """Begin."""
        self._begun_ns = clock_ns()
        self._cpu_ns = time.process_time_ns()
        self._arm()

    def stop(self) -> ClientReport:
        """End, and tell what was seen."""
        if self._handle is not None:
            self._handle.cancel()
        wall = (clock_ns() - self._begun_ns) / 1e9
        cpu = (time.process_time_ns() - self._cpu_ns) / 1e9
        return ClientReport(cpu_s=cpu, wall_s=wall, busiest=cpu / wall if wall else 0.0, lag=Distribution(self._lags))

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_ns = clock_ns() + round(PERIOD_S * 1e9)
        self._handle = loop.call_later(PERIOD_S, self._tick)

    def _tick(self) -> None:
        self._lags.append(max(0, clock_ns() - self._due_ns) // 1000)
        self._arm()
