"""A load while it runs, in one line: how far it is, how fast it goes, and a curve of the last half minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
PERIOD_S: Final = 0.5
POINTS: Final = 40

Pulse = Callable[[str], None]


def spark(values: Sequence[float]) -> str:
    """Return values as a row of bars, the highest of them as the full one.

    >>> spark([0, 5, 10])
    '▁▅█'
    """
    most = max(values, default=0.0)
    return "".join(BARS[round((len(BARS) - 1) * max(0.0, value) / most) if most > 0 else 0] for value in values)


class Meter:
    """Turns counts into the line.

    Args:
        total: requests in all; None where a time was given instead.
    """

    def __init__(self, total: int | None) -> None:
        self._total = f" of {total}" if total else ""
        self._tokens = 0
        self._rates: deque[float] = deque(maxlen=POINTS)

    def line(self, *, done: int, failed: int, tokens: int, in_flight: int, seconds: float) -> str:
        """Return the line for now; ``seconds`` have passed since the last one."""
        self._rates.append((tokens - self._tokens) / seconds)
        self._tokens = tokens
        bad = f", {failed} FAILED" if failed else ""
        far = f"{done}{self._total} done, {in_flight} in flight{bad}"
        return f"{spark(self._rates)} {self._rates[-1]:,.0f} tokens/s  {far}"
