"""A log, and how the process ended → what was wrong, how we know, and what mends it.

::

    stages.yaml ──────► stages ──┐
    signatures.yaml ──► signatures ──► scan ◄── stream ◄── a log of any size
                                        │
                        facts ────────► judge ──► Finding, most likely first

``scan`` sees every byte once and knows nothing of causes; ``judge`` knows causes and sees no log.
Runs on its own: ``python -m blackstack.diagnose FILE… --json``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackstack.diagnose.entries import Language
from blackstack.diagnose.facts import ExitFacts
from blackstack.diagnose.judge import judge, known
from blackstack.diagnose.signatures import load

if TYPE_CHECKING:
    from blackstack.diagnose.stream import Log
    from blackstack.finding import Finding

__all__ = ["ExitFacts", "diagnose", "finding"]


def diagnose(log: Log, facts: ExitFacts | None = None, *, language: Language = "en") -> tuple[Finding, ...]:
    """Say what is wrong in *log* (a path, an open binary file, or lines), most likely first.

    An empty result means that nothing is wrong. A log that ends badly for no known cause gives one finding of
    the code ``unknown``.
    """
    catalogue = load()
    kernel = catalogue.scanner.scan(facts.kernel) if facts and facts.kernel else None
    return judge(catalogue, catalogue.scanner.scan(log), facts, language, kernel=kernel)


def finding(
    code: str, evidence: tuple[str, ...] = (), *, language: Language = "en", facts: ExitFacts | None = None
) -> Finding:
    """Return the finding of a cause that was seen otherwise than in a log, such as an answer that is garbage."""
    return known(load(), code, evidence, language, facts)
