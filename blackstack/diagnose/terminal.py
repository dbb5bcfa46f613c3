"""Findings → one screen for a person: the worst first, each with its evidence and the next command."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blackstack.finding import Finding

MOST = 3
"""Findings told in full; the others are named."""

EVIDENCE_LINES = 3
"""Lines taken by one piece of evidence."""

_COLOURS = {"error": "31;1", "warning": "33;1", "info": "36"}
_MARKS = {"error": "✗", "warning": "!", "info": "i"}


def screen(name: str, findings: Sequence[Finding], *, width: int = 100, colour: bool = False) -> str:
    """Return what a person reads about the log called *name*."""
    if not findings:
        return _painted(f"✓ {name}: nothing is wrong in this log", "32", colour=colour)
    told = [_told(finding, width=width, colour=colour) for finding in findings[:MOST]]
    rest = [finding.code for finding in findings[MOST:]]
    told += [_painted(f"also seen: {', '.join(rest)}", "2", colour=colour)] * bool(rest)
    return "\n\n".join([_painted(name, "1", colour=colour), *told])


def _told(finding: Finding, *, width: int, colour: bool) -> str:
    heading = f"{_MARKS[finding.severity]} {finding.title}  [{finding.code}]"
    lines = [_painted(heading, _COLOURS[finding.severity], colour=colour)]
    lines += [_painted(line, "2", colour=colour) for text in finding.evidence for line in _shown(text, width)]
    lines += _labelled("why", finding.cause, width)
    for number, step in enumerate(finding.fix):
        lines.append(f"  {'next' if number == 0 else '':>6}  {step}")
    lines.append(f"  {'then':>6}  {finding.verify}")
    return "\n".join(lines)


def _labelled(label: str, text: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(text, width - 10)
    return [f"  {label if number == 0 else '':>6}  {line}" for number, line in enumerate(wrapped)]


def _shown(text: str, width: int) -> list[str]:
    """Return a piece of evidence on a few lines: what matters is often at its end."""
    return textwrap.wrap(
        text,
        width,
        initial_indent="    ",
        subsequent_indent="      ",
        max_lines=EVIDENCE_LINES,
        placeholder=" …",
    )


def _painted(text: str, code: str, *, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
