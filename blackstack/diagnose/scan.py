"""One pass over a log: which patterns occur, where first, and where last.

::

    block ──► anchors in it (one search for all of them) ──► the few patterns tried there ──► Sighting

Memory is bounded by the number of patterns, time by the number of bytes, whatever the log says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from ahocorasick_rs import BytesAhoCorasick

from blackstack.diagnose.anchors import anchors, compiled
from blackstack.diagnose.stream import Block, Log, blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEEP = 16
"""Sightings kept of a pattern: the first ones, and the last one of all."""

REACH = 2048
"""How far a line is looked at to either side of an anchor."""

TAIL = 20
"""Lines kept from the end of a log, to show when nothing else is known."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression for one line, and another that takes the line back."""

    regex: str
    unless: str = ""


@dataclass(frozen=True)
class Sighting:
    """A line on which a pattern was seen; *match* is the part that matched."""

    line: int
    text: str
    match: str


@dataclass(frozen=True)
class Scan:
    """What one pass over a log found."""

    lines: int
    tail: tuple[str, ...]
    seen: Mapping[Pattern, tuple[Sighting, ...]]

    def of(self, pattern: Pattern) -> tuple[Sighting, ...]:
        """Return where *pattern* was seen, in the order of the log."""
        return self.seen.get(pattern, ())


class Scanner:
    """Looks for all *patterns* at once; made once, used for any number of logs."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(dict.fromkeys(patterns))
        self._regexes = [compiled(p.regex) for p in self._patterns]
        self._unless = [compiled(p.unless) if p.unless else None for p in self._patterns]
        with_anchor: dict[str, list[int]] = {}
        for number, pattern in enumerate(self._patterns):
            for text in anchors(pattern.regex):
                with_anchor.setdefault(text, []).append(number)
        self._with_anchor = list(with_anchor.values())
        self._search = BytesAhoCorasick([text.encode() for text in with_anchor])

    def scan(self, log: Log) -> Scan:
        """Read *log* once, from its first byte to its last."""
        watches = [_Watch() for _ in self._patterns]
        tired: set[int] = set()
        tail: deque[str] = deque(maxlen=TAIL)
        lines = 0
        for block in blocks(log):
            self._look(block, watches, tired)
            lines = block.first_line + block.text.count(b"\n") - block.text.endswith(b"\n")
            tail.extend(_last_lines(block.text[: block.settled]))
        seen = {p: tuple(w.found) for p, w in zip(self._patterns, watches, strict=True) if w.found}
        return Scan(lines=lines, tail=tuple(tail), seen=seen)

    def _look(self, block: Block, watches: list[_Watch], tired: set[int]) -> None:
        """Try each pattern where one of its anchors occurs.

        An anchor is *tired* when all its patterns have been seen often enough. From then on only its
        last place in each block is looked at, so that a flood of one message costs next to nothing.
        """
        hits = self._search.find_matches_as_indexes(block.text.lower(), overlapping=True)
        if block.settled < len(block.text):
            hits = [hit for hit in hits if hit[1] < block.settled]
        for watch in watches:
            watch.examined = 0
        line_at = _LineCounter(block)
        last: dict[int, int] = {}
        for which, start, _ in hits:
            if which in tired:
                last[which] = start
                continue
            rested = False
            for number in self._with_anchor[which]:
                watch = watches[number]
                if start >= watch.examined:
                    self._examine(number, watch, block.text, start, line_at)
                rested |= len(watch.found) < KEEP
            if not rested:
                tired.add(which)
        line_at = _LineCounter(block)
        for which, start in sorted(last.items(), key=lambda item: item[1]):
            for number in self._with_anchor[which]:
                self._examine(number, watches[number], block.text, start, line_at)

    def _examine(self, number: int, watch: _Watch, text: bytes, start: int, line_at: _LineCounter) -> None:
        """Try one pattern on the line around *start*, or on what of it is within reach."""
        floor = max(0, start - REACH)
        begin = max(text.rfind(b"\n", floor, start), text.rfind(b"\r", floor, start), floor - 1) + 1
        finish = text.find(b"\n", start, start + REACH)
        piece = text[begin : finish if finish >= 0 else start + REACH]
        if b"\r" in piece:
            piece = piece.partition(b"\r")[0]
        watch.examined = begin + len(piece)
        match = self._regexes[number].search(piece)
        if match is None:
            return
        unless = self._unless[number]
        if not (unless and unless.search(piece)):
            watch.note(Sighting(line_at(start), _text(piece), _text(match.group())))


@dataclass
class _Watch:
    """What one scan knows of one pattern."""

    found: list[Sighting] = field(default_factory=list)
    examined: int = 0

    def note(self, sighting: Sighting) -> None:
        if len(self.found) < KEEP:
            self.found.append(sighting)
        elif sighting.line >= self.found[-1].line:
            self.found[-1] = sighting


class _LineCounter:
    """Line numbers of ever later offsets; each byte is counted once."""

    def __init__(self, block: Block) -> None:
        self._block, self._line, self._offset = block, block.first_line, 0

    def __call__(self, offset: int) -> int:
        if offset > self._offset:
            self._line += self._block.text.count(b"\n", self._offset, offset)
            self._offset = offset
        return self._line


def _text(raw: bytes) -> str:
    return "".join(c if c.isprintable() else " " for c in raw.decode(errors="replace")).strip()


def _last_lines(text: bytes) -> list[str]:
    """Return the last lines that say something, each short enough to show."""
    recent = reversed(text[-TAIL * REACH :].splitlines())
    return list(islice((_text(line)[:REACH] for line in recent if line.strip()), TAIL))[::-1]
