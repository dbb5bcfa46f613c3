"""The result of a measurement: what was asked, what answered, from where, and the runs."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from dataclasses import dataclass
from typing import Any

from blackstack import __version__
from blackstack.bench.run import Run
from blackstack.bench.sweep import knee
from blackstack.bench.target import Target
from blackstack.bench.workload import Workload

SCHEMA = 2  # the record's, see blackstack.results


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Everything that one ``measure`` found.

    Attributes:
        target: with the model that was really asked.
        found: what the server says about itself.
        runs: one for each concurrency and repeat, in the order in which they were made.
    """

    target: Target
    workload: Workload
    found: dict[str, Any]
    runs: tuple[Run, ...]
    started_at: str

    def as_dict(self) -> dict[str, Any]:
        """Return the measurement, ready for JSON. Times are milliseconds unless a name says otherwise."""
        runs = [run.as_dict() for run in self.runs]
        return {
            "schema": SCHEMA,
            "tool": {"name": "blackstack.bench", "version": __version__},
            "started_at": self.started_at,
            "asked_for": {
                "url": self.target.url,
                "model": self.target.model,
                "workload": self.workload.as_dict(),
            },
            "found": self.found,
            "ran_on": {
                "python": platform.python_version(),
                "platform": platform.platform(),
                "client_cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
            },
            "runs": runs,
            "knee": knee(runs),
            "repeats": self._across_repeats(runs),
        }

    def _across_repeats(self, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Compare the repeats of each concurrency; one run alone cannot tell how much the next will differ."""
        if self.workload.repeats == 1:
            return []
        told = []
        for concurrency in dict.fromkeys(run["concurrency"] for run in runs):
            same = [run for run in runs if run["concurrency"] == concurrency and run["ok"]]
            rates = [run["output_tokens_per_s"] for run in same]
            ttfts = [run["ttft_ms"]["mean"] for run in same]
            told.append(
                {
                    "concurrency": concurrency,
                    "output_tokens_per_s": _spread(rates),
                    "ttft_ms": _spread(ttfts),
                }
            )
        return told


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {"n": 0}
    sd = statistics.stdev(values) if len(values) > 1 else None
    return {
        "n": len(values),
        "mean": round(statistics.fmean(values), 4),
        "sd": None if sd is None else round(sd, 4),
        "values": values,
    }
