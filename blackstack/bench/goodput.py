"""Goodput: how many requests kept what was promised."""

from __future__ import annotations

from typing import Any

from blackstack.bench.tally import Tally
from blackstack.bench.workload import Workload


def goodput(tally: Tally, workload: Workload) -> dict[str, Any]:
    """Return the requests within every limit of the workload; nothing where it has none.

    A failed request keeps no promise: the share is one of all requests, not of the good ones.
    """
    limits = {
        "ttft_us": workload.slo_ttft_ms,
        "tpot_us": workload.slo_tpot_ms,
        "e2e_us": workload.slo_e2e_ms,
    }
    set_ones = {name: limit for name, limit in limits.items() if limit is not None}
    if not set_ones:
        return {}
    kept = [
        all(value <= limit * 1000 for value, limit in zip(row, set_ones.values(), strict=True))
        for row in zip(*(tally.columns[name] for name in set_ones), strict=True)
    ]
    return {
        "goodput": {
            "limits_ms": {name.removesuffix("_us"): limit for name, limit in set_ones.items()},
            "share": round(sum(kept) / tally.requests, 6) if tally.requests else 0.0,
            "requests_per_s": round(sum(kept) / tally.seconds, 4) if tally.seconds > 0 else 0.0,
        }
    }
