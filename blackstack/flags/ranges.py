"""Which numbers a flag may have: `ranges.json`, with the source of each row.

A parser takes any number of the right type; the engine refuses a wrong one later, or dies of it. A row holds for all
versions that have the flag.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}  # of sizes such as 8k; 8K is a little more


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that are allowed: both ends, where they are there, and a few besides.

    Attributes:
        lowest, highest: allowed themselves, unless ``above`` or ``below`` says otherwise.
        above, below: whether the end itself is not allowed.
        also: single numbers outside that mean something of their own, such as -1 for «automatic».
        source: where that is said.
    """

    lowest: float = -math.inf
    highest: float = math.inf
    above: bool = False
    below: bool = False
    also: tuple[float, ...] = ()
    source: str = ""

    def fault(self, value: str) -> str:
        """Return what is wrong with a number, or nothing; what is no number is nobody's business here.

        >>> Range(lowest=0, above=True, highest=1).fault("1.5")
        'must be above 0 and at most 1'
        """
        number = _number(value)
        if number is None or number in self.also:
            return ""
        low = number > self.lowest if self.above else number >= self.lowest
        high = number < self.highest if self.below else number <= self.highest
        return "" if low and high else f"must be {self}"

    def __str__(self) -> str:
        ends = [
            f"{'above' if self.above else 'at least'} {self.lowest:g}" if self.lowest > -math.inf else "",
            f"{'below' if self.below else 'at most'} {self.highest:g}" if self.highest < math.inf else "",
        ]
        also = "".join(f", or {number:g}" for number in self.also)
        return " and ".join(filter(None, ends)) + also


@functools.cache
def ranges(engine: str) -> Mapping[str, Range]:
    """Return the ranges of an engine's flags, by name."""
    rows = json.loads(Path(__file__).with_name("ranges.json").read_text(encoding="utf-8"))["ranges"]
    return {row["name"]: _range(row) for row in rows if row["engine"] == engine}


def _range(row: Mapping[str, object]) -> Range:
    wanted = {key: value for key, value in row.items() if key not in {"engine", "name"}}
    return Range(**{**wanted, "also": tuple(wanted.get("also", ()))})  # type: ignore[arg-type]  # a row of the file


def _number(value: str) -> float | None:
    unit = _UNITS.get(value[-1:].lower(), 1)
    try:
        return float(value[:-1] if unit > 1 else value) * unit
    except ValueError:
        return None
