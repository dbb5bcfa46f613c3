"""Pictures as SVG text: scales with round ticks, and a canvas on which nothing unescaped can stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

STEPS: Final = (1, 2, 5, 10)
MOST_DECADES: Final = 3  # over more than these, a logarithmic axis names the powers of ten only


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Where a value stands on an axis.

    Attributes:
        low, high: values.
        begin, end: the pixels at which they stand.
    """

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return a value's pixel; what lies outside stands at the border."""
        place = math.log if self.log else float
        low, high = place(self.low), place(self.high)
        share = (place(max(value, self.low)) - low) / (high - low) if high > low else 0.5
        return round(self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin), 1)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values within the axis."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, about)


def linear(values: Iterable[float], begin: float, end: float, *, zero: bool = True) -> Scale:
    """Return an axis that holds all values with a little room, from nothing on where ``zero``."""
    known = [*values, *([0.0] if zero else [])] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = (high - low or abs(high) or 1.0) * 0.06
    return Scale(low=low if zero and low >= 0 else low - room, high=high + room, begin=begin, end=end)


def logarithmic(values: Iterable[float], begin: float, end: float) -> Scale:
    """Return a logarithmic axis that holds all values above 0."""
    known = [value for value in values if value > 0] or [1.0, 10.0]
    low, high = min(known) / 1.15, max(known) * 1.15
    if high / low < 3:  # noqa: PLR2004 - else hardly a tick would fall on it
        low, high = low / 1.5, high * 1.5
    return Scale(low=low, high=high, begin=begin, end=end, log=True)


def short(value: float) -> str:
    """Return a tick's number."""
    if abs(value) >= 10_000:  # noqa: PLR2004 - from there on digits are in the way
        return f"{value / 1000:,.0f}k" if abs(value) < 1e6 else f"{value / 1e6:g}M"  # noqa: PLR2004
    return f"{value:,.6g}"


def _ticks(low: float, high: float, about: int) -> list[float]:
    raw = (high - low) / max(1, about)
    power = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1.0
    step = next(size * power for size in STEPS if size * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    sizes = (1,) if math.log10(high / low) > MOST_DECADES else (1, 2, 5)
    return [value for power in decades for size in sizes if low <= (value := size * 10.0**power) <= high]


@dataclass
class Canvas:
    """An SVG that is being drawn. Every text and every attribute is escaped here, and nowhere else.

    Attributes:
        title: what a screen reader says, and a tooltip shows.
    """

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, of: str) -> None:
        """Draw a straight line of a class."""
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": of})

    def path(self, points: Sequence[tuple[float, float]], *, of: str, closed: bool = False) -> None:
        """Draw a line through points."""
        steps = " L".join(f"{x:g} {y:g}" for x, y in points)
        self._add("path", {"d": f"M{steps}{'Z' if closed else ''}", "class": of})

    def box(self, x: float, y: float, width: float, height: float, *, of: str, tip: str = "") -> None:
        """Draw a filled box."""
        size = {"width": max(0.5, round(width, 2)), "height": round(height, 2)}
        self._add("rect", {"x": x, "y": round(y, 2), **size, "class": of}, tip)

    def dot(self, x: float, y: float, radius: float, *, of: str, tip: str = "") -> None:
        """Draw a dot."""
        self._add("circle", {"cx": x, "cy": y, "r": radius, "class": of}, tip)

    def text(self, x: float, y: float, said: str, *, of: str = "", at: str = "start") -> None:
        """Write."""
        where = f'x="{x:g}" y="{y:g}" text-anchor="{escape(at)}"'
        self.parts.append(f'<text {where} class="{escape(of)}">{escape(said)}</text>')

    def render(self, *, of: str) -> str:
        """Return the picture."""
        head = f'<svg class="{escape(of)}" viewBox="0 0 {self.width} {self.height}" role="img"'
        return f'{head} aria-label="{escape(self.title)}">{"".join(self.parts)}</svg>'

    def _add(self, name: str, attributes: dict[str, float | str], tip: str = "") -> None:
        words = " ".join(
            f'{key}="{escape(value) if isinstance(value, str) else format(value, "g")}"'
            for key, value in attributes.items()
        )
        inside = f"><title>{escape(tip)}</title></{name}>" if tip else "/>"
        self.parts.append(f"<{name} {words}{inside}")
