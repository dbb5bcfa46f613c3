"""What plots and comparisons need beyond the statistics: single requests, and the shape of the distributions."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any, Final

from blackstack.bench.stats import Distribution
from blackstack.bench.tally import Tally

MOST: Final = 2000  # rows; of more requests each n-th is kept, and the result says which
SLIGHT: Final = 1e-6  # by which a power of ten may be off
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
    values, ends = distribution.ranked()
    told: list[list[float]] = []
    begun = 0
    while begun < len(values):
        step = math.ceil(PER_DECADE * math.log10(max(1, values[begun])))
        edge = 10 ** (step / PER_DECADE)
        end = max(begun + 1, bisect_right(values, edge + SLIGHT))
        told.append([round(edge / 1000, 6), ends[end - 1] - (ends[begun - 1] if begun else 0)])
        begun = end
    return told
