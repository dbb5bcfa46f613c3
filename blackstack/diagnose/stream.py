"""Bytes of any kind and size → blocks of whole lines of plain text.

Logs hold what terminals do: progress bars that rewrite their line a thousand times, colours, half a binary
file, a gigabyte without a line break. All of it passes through here, a block at a time, and nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

Log = Path | BinaryIO | Iterable[str] | Iterable[bytes]
"""What can be read: a path, an open binary file, or lines."""

BLOCK = 1 << 20
LONGEST_LINE = 1 << 16  # a line that is still open after this much is cut
_OVERLAP = 256  # longer than any anchor, so that none is lost in such a cut
_ANSI = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\))")


class Block(NamedTuple):
    """A piece of a log: whole lines, unless a line is longer than anything a person would read."""

    text: bytes
    first_line: int
    settled: int
    """What begins from this offset on is left to the next block, which begins with it."""


def blocks(log: Log) -> Iterator[Block]:
    """Cut *log* (a path, an open binary file, or lines) into blocks, cleaned of what is not text."""
    tail, line = b"", 1
    for piece in _pieces(log):
        text = clean(tail + piece)
        end = settled = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        if len(text) - end > LONGEST_LINE:
            end, settled = len(text), len(text) - _OVERLAP
        if settled:
            yield Block(text[:end], line, settled)
            line += text.count(b"\n", 0, settled)
        tail = text[settled:]
    if tail:
        yield Block(tail, line, len(tail))


def clean(text: bytes) -> bytes:
    """Take out what terminals and Windows put between the letters.

    Without its NUL bytes, UTF-16 (what PowerShell writes at ``docker logs > file``) is readable ASCII.
    """
    if b"\0" in text:
        text = text.replace(b"\0", b"")
    if b"\x1b" in text:
        text = _ANSI.sub(b"", text)
    return text


def _pieces(log: Log) -> Iterator[bytes]:
    if isinstance(log, Path):
        with log.open("rb") as file:
            yield from _pieces(file)
    elif isinstance(log, BinaryIO) or hasattr(log, "read"):
        while piece := log.read(BLOCK):
            yield piece
    else:
        yield from _joined(log)


def _joined(lines: Iterable[str] | Iterable[bytes]) -> Iterator[bytes]:
    """Gather lines into pieces that are worth a search."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        raw = line.encode(errors="replace") if isinstance(line, str) else line
        batch.append(raw if raw.endswith(b"\n") else raw + b"\n")
        size += len(batch[-1])
        if size >= BLOCK:
            yield b"".join(batch)
            batch, size = [], 0
    yield b"".join(batch)
