"""What plots and comparisons need beyond the statistics: single requests, and the shape of the distributions."""

from __future__ import annotations

import math
from typing import Any, Final

from blackstack.bench.stats import Distribution
from blackstack.bench.tally import Tally

MOST: Final = 2000  # rows; of more requests each n-th is kept, and the result says which
PER_DECADE: Final = 20  # bins of a histogram: 12 % wide


def samples(tally: Tally) -> dict[str, Any]:
    """Return the good requests as columns in milliseconds, shape (rows,), and the histogram of each distribution."""
    every = max(1, math.ceil(tally.good / MOST))
    columns = {name: column[::every] for name, column in tally.columns.items()}
    start = tally.first_sent_us
    rows: dict[str, Any] = {
        "every": every,
        "of": tally.good,
        "sent_ms": [round((us - start) / 1000, 3) for us in columns["sent_us"]],
        **{
            name.replace("_us", "_ms"): [us / 1000 for us in columns[name]] for name in ("ttft_us", "tpot_us", "e2e_us")
        },
        "tokens": list(columns["tokens"]),
    }
    bins = {name: histogram(distribution) for name, distribution in tally.distributions().items() if len(distribution)}
    return {"samples": rows, "histograms": bins}


def histogram(distribution: Distribution) -> list[list[float]]:
    """Return ``[upper edge in ms, count]`` of each bin that is not empty; edges grow by the same factor."""
    counts: dict[int, int] = {}
    for us, count in distribution.counts.items():
        step = math.ceil(PER_DECADE * math.log10(max(1, us)))
        counts[step] = counts.get(step, 0) + count
    return [[round(10 ** (step / PER_DECADE) / 1000, 6), counts[step]] for step in sorted(counts)]
