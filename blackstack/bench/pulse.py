"""A load while it runs, in one line: how far it is, how fast it goes, and a curve of the last half minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
PERIOD_S: Final = 0.5
POINTS: Final = 40
QUIET_S: Final = 2.0  # without a token, from which the line says so
SILENT_S: Final = 5.0  # from which it is worth a sentence; another each time it has lasted twice as long

Pulse = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far a load is.

    Attributes:
        done: requests that have ended.
        failed: those of them that failed.
        tokens: what came so far; of answers that have not ended, a guess from their packets.
        in_flight: requests that wait for their answer, or for more of it.
        quiet_s: for how long nothing has come for any of them.
    """

    done: int = 0
    failed: int = 0
    tokens: int = 0
    in_flight: int = 0
    quiet_s: float = 0.0

    def __add__(self, other: Standing) -> Standing:
        """Return how far two processes of one load are: it is silent for as long as all that wait are."""
        waiting = [each.quiet_s for each in (self, other) if each.in_flight]
        return Standing(
            done=self.done + other.done,
            failed=self.failed + other.failed,
            tokens=self.tokens + other.tokens,
            in_flight=self.in_flight + other.in_flight,
            quiet_s=min(waiting, default=0.0),
        )


def spark(values: Sequence[float]) -> str:
    """Return values as a row of bars, the highest of them as the full one.

    >>> spark([0, 5, 10])
    '▁▅█'
    """
    most = max(values, default=0.0)
    return "".join(BARS[round((len(BARS) - 1) * max(0.0, value) / most) if most > 0 else 0] for value in values)


class Meter:
    """Turns standings into what people see of them.

    Args:
        total: requests in all; None where a time was given instead.
        timeout_s: after which a request is given up.
        name: of the load, such as ``warm-up``; empty for the one that counts.
    """

    def __init__(self, total: int | None, *, timeout_s: float, name: str = "") -> None:
        self._name = f"{name}: " * bool(name)
        self._total = f" of {total}" if total else ""
        self._timeout_s = timeout_s
        self._tokens = 0
        self._rates: deque[float] = deque(maxlen=POINTS)
        self._say_at_s = SILENT_S

    def line(self, now: Standing) -> str:
        """Return the line for now; a period has passed since the last one."""
        self._rates.append(max(0.0, (now.tokens - self._tokens) / PERIOD_S))
        self._tokens = now.tokens
        bad = f", {now.failed} FAILED" if now.failed else ""
        far = f"{now.done}{self._total} done, {now.in_flight} in flight{bad}"
        if now.quiet_s >= QUIET_S:
            return f"{self._name}NO TOKEN for {now.quiet_s:.0f} s (time-out {self._timeout_s:g} s)  {far}"
        return f"{self._name}{spark(self._rates)} {self._rates[-1]:,.0f} tokens/s  {far}"

    def warning(self, now: Standing) -> str:
        """Return a sentence where the silence has grown long, and again where it is twice as long; else nothing."""
        if now.quiet_s < SILENT_S:
            self._say_at_s = SILENT_S
        if now.quiet_s < self._say_at_s:
            return ""
        self._say_at_s = 2 * now.quiet_s
        return (
            f"{self._name}no token has arrived for {now.quiet_s:.0f} s; {now.in_flight} in flight, "
            f"{now.done}{self._total} done; a request is given up after {self._timeout_s:g} s (--timeout)"
        )


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Who watches a load.

    Attributes:
        pulse: is told a line twice a second, each in place of the one before; None where nobody looks.
        warn: is told a sentence when something is wrong.
    """

    pulse: Pulse | None = None
    warn: Pulse = lambda _: None

    def show(self, meter: Meter, now: Standing) -> None:
        """Tell how far the load is."""
        line, warning = meter.line(now), meter.warning(now)
        if warning:
            self.warn(warning)
        if self.pulse is not None:
            self.pulse(line)
