"""Sweep: double the load until the server gives no more, and name the knee.

Beyond the knee a server answers later and not more. The rule is simple enough to say in the result: the knee is the
lowest concurrency that reaches nine tenths of the best throughput.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

NEAR_BEST: Final = 0.9
GROWTH: Final = 1.05  # of the throughput, for twice the load; less is saturation
FEWEST: Final = 3  # loads, below which there is no curve to have a knee
KEPT: Final = 0.99  # share of requests within the limits


def levels(first: int, last: int) -> Iterator[int]:
    """Yield the doubling loads of a sweep; the last one is exactly ``last``."""
    level = first
    while level < last:
        yield level
        level *= 2
    yield last


def saturated(rates: Sequence[float]) -> bool:
    """Tell whether the last doubling brought next to nothing."""
    return len(rates) >= FEWEST and rates[-1] < GROWTH * max(rates[:-1])


def knee(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the knee of runs at several concurrencies (``runs`` of a result); None where there are too few.

    Where the workload has limits, ``within_limits`` is the highest concurrency at which they were kept.
    """
    closed = [run for run in runs if run["ok"] and run.get("rate") is None]
    if len({run["concurrency"] for run in closed}) < FEWEST:
        return None
    best = max(run["output_tokens_per_s"] for run in closed)
    near = [run for run in closed if run["output_tokens_per_s"] >= NEAR_BEST * best]
    at = min(near, key=lambda run: run["concurrency"])
    told: dict[str, Any] = {
        "concurrency": at["concurrency"],
        "output_tokens_per_s": at["output_tokens_per_s"],
        "best_output_tokens_per_s": best,
        "ttft_p50_ms": at["ttft_ms"]["p50"],
        "rule": f"the lowest concurrency with {NEAR_BEST:.0%} of the best throughput",
    }
    kept = [run["concurrency"] for run in closed if run.get("goodput", {}).get("share", 0.0) >= KEPT]
    if any("goodput" in run for run in closed):
        told["within_limits"] = max(kept, default=None)
    return told
