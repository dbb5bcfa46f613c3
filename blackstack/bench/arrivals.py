"""When an open loop sends: moments in seconds from its start."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Final

ARRIVALS: Final = ("constant", "poisson", "gamma", "replay")


def offsets(arrival: str, rate: float, *, seed: str, burstiness: float = 1.0, ramp_s: float = 0.0) -> Iterator[float]:
    """Yield the moments of a process for ever.

    A process is made at one arrival a second and then stretched to the rate that holds at each moment, so that a ramp
    and a steady rate are the same thing.

    Args:
        arrival: ``constant``, ``poisson`` or ``gamma``.
        rate: arrivals a second.
        seed: the same one gives the same moments.
        burstiness: the shape of ``gamma``: below 1 more bursty than Poisson, above 1 more regular.
        ramp_s: over so many seconds the rate grows from nothing.
    """
    for expected in _unit(arrival, seed, burstiness):
        yield stretch(expected / rate, ramp_s)


def stretch(steady_s: float, ramp_s: float) -> float:
    """Return when a ramp has brought as many arrivals as a steady rate brings in ``steady_s``.

    A ramp of R seconds has brought t²/2R seconds' worth by t, and R/2 in all.
    """
    if steady_s < ramp_s / 2:
        return float((2 * ramp_s * steady_s) ** 0.5)
    return steady_s + ramp_s / 2


def _unit(arrival: str, seed: str, burstiness: float) -> Iterator[float]:
    """Yield the moments of a process with one arrival a second; the first is at once."""
    if arrival == "constant":
        yield from (float(i) for i in count())
        return
    draw = random.Random(f"{arrival}/{seed}")  # noqa: S311 - reproducible, not secret
    shape = burstiness if arrival == "gamma" else 1.0
    at = 0.0
    while True:
        yield at
        at += draw.gammavariate(shape, 1 / shape)
