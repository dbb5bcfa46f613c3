"""What was seen in a log, and how the process ended → what was wrong, most likely first.

A cause beats its consequences, the very cause beats a vague one, and a fact beats a line of text. What only
announces that something died is said when nothing else is known.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from blackstack.diagnose.entries import Language
from blackstack.diagnose.facts import ExitFacts
from blackstack.diagnose.scan import Pattern, Scan, Sighting
from blackstack.diagnose.signatures import (
    UNKNOWN,
    Advice,
    Catalogue,
    Death,
    Item,
    Signature,
    Together,
    filled,
)
from blackstack.diagnose.stages import SERVING
from blackstack.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KERNEL_SAYS = ("gpu-xid-fault", "host-oom-killed")
"""Causes that a line of the kernel's log proves; whoever collects its lines leaves out those of other processes."""

NOT_ASKED = "running-not-asked"
"""Of a server that still runs, and whose log is in order: it may hang all the same."""

UP = "inv up{stack}"
"""What shows that it is mended, where a server without Docker has nothing nearer."""

EVIDENCE = 4
"""Lines shown of a finding."""

_FREE = re.compile(r"\((?P<free>\d+\.?\d*)/(?P<total>[1-9]\d*\.?\d*) ?GiB\)")  # vLLM: of the card, at its start
_WIDEST = 240  # characters shown of a line
_LAST_WORDS = 3  # lines shown from the end of a log that nothing explains


@dataclass(frozen=True)
class _Suspect:
    """A cause that may be the one: by what was seen, or by how the process ended."""

    signature: Signature
    seen: tuple[Sighting, ...] = ()
    death: Death | None = None

    @property
    def only_announces(self) -> bool:
        return self.signature.consequence_of == "everything" and self.death is None


def judge(
    catalogue: Catalogue,
    scan: Scan,
    facts: ExitFacts | None = None,
    language: Language = "en",
    *,
    kernel: Scan | None = None,
) -> tuple[Finding, ...]:
    """Return the findings, most likely first; none for a log in which nothing is wrong.

    Args:
        catalogue: what is known about failures.
        scan: what was seen in the log.
        facts: how the process ended.
        language: of the findings.
        kernel: what was seen in the kernel's log of the time.
    """
    facts = facts or ExitFacts()
    stage, served = _stage(catalogue, scan, facts), _served(catalogue, scan)
    suspects = [s for s in _seen(catalogue, scan) if not (s.signature.startup_only and s.seen[-1].line < served)]
    if kernel and facts.died:
        suspects += [s for s in _by_the_kernel(catalogue, kernel) if s.signature.code not in _codes(suspects)]
    death = _death(catalogue, facts, stage) if facts.died else None
    if death and (death.oom_killed or all(s.only_announces for s in suspects)):
        suspects = [s for s in suspects if s.signature.code != death.code]
        suspects.insert(0, _Suspect(catalogue.by_code[death.code], death=death))
    if facts.outside and facts.outside not in _codes(suspects):
        suspects.append(_Suspect(catalogue.by_code[facts.outside]))
    if not suspects:
        return _unexplained(catalogue, scan, facts, served, language)
    where = f" at stage «{stage}»" if stage and not facts.stage else ""  # a stage that was seen is among the facts
    ended = (f"it ended with {facts}{where}", *facts.more) if facts.died else ()
    first, *others = _ranked(suspects)
    teller = _Teller(catalogue, facts, language)
    return (teller.finding(first, ended), *(teller.finding(s) for s in others))


def _codes(suspects: list[_Suspect]) -> set[str]:
    return {suspect.signature.code for suspect in suspects}


def _by_the_kernel(catalogue: Catalogue, kernel: Scan) -> list[_Suspect]:
    """Return the causes that the kernel's log proves; its lines are evidence of the facts, and not of the log."""
    return [_Suspect(s.signature) for s in _seen(catalogue, kernel) if s.signature.code in KERNEL_SAYS]


def known(
    catalogue: Catalogue,
    code: str,
    evidence: tuple[str, ...],
    language: Language = "en",
    facts: ExitFacts | None = None,
) -> Finding:
    """Return the finding of a cause that was seen otherwise than in a log."""
    return _Teller(catalogue, facts or ExitFacts(), language).finding(_Suspect(catalogue.by_code[code]), evidence)


def _ranked(suspects: list[_Suspect]) -> list[_Suspect]:
    """Order by likelihood, and leave out mere announcements of what is known."""
    real = [s for s in suspects if not s.only_announces] or suspects
    codes = {s.signature.code for s in real}

    def order(suspect: _Suspect) -> tuple[bool, bool, int, int]:
        follows = bool(codes.intersection(suspect.signature.consequence_of))
        first_line = suspect.seen[0].line if suspect.seen else 0
        return suspect.death is None, follows, -suspect.signature.precedence, first_line

    return sorted(real, key=order)


def _seen(catalogue: Catalogue, scan: Scan) -> Iterable[_Suspect]:
    """Yield the signatures that hold in this log."""
    for signature in catalogue.signatures:
        if any(scan.of(catalogue.pattern(regex, signature)) for regex in signature.none):
            continue
        seen = {s for item in signature.any for s in _sightings(catalogue, scan, signature, item)}
        if seen:
            yield _Suspect(signature, tuple(sorted(seen, key=lambda s: s.line)))


def _sightings(catalogue: Catalogue, scan: Scan, signature: Signature, item: Item) -> Iterable[Sighting]:
    if not isinstance(item, Together):
        return scan.of(catalogue.pattern(item, signature))
    each = [scan.of(catalogue.pattern(regex, signature)) for regex in item.all]
    return {s for group in product(*each) if _belong_together(group, item) for s in group}


def _belong_together(group: tuple[Sighting, ...], item: Together) -> bool:
    lines = [s.line for s in group]
    return max(lines) - min(lines) <= item.within and (not item.in_order or lines == sorted(lines))


def _stage(catalogue: Catalogue, scan: Scan, facts: ExitFacts) -> str:
    """Return the last stage that was reached; whoever watched the start knows it best."""
    if facts.stage:
        return facts.stage
    reached = [(_last(scan, stage.lines), number) for number, stage in enumerate(catalogue.stages)]
    line, number = max(reached)
    return catalogue.stages[number].name if line else ""


def _served(catalogue: Catalogue, scan: Scan) -> int:
    """Return the last line that shows a working server; 0 for none."""
    return max(_last(scan, stage.lines) for stage in catalogue.stages if stage.name in SERVING)


def _last(scan: Scan, regexes: Iterable[str]) -> int:
    return max((seen[-1].line for regex in regexes if (seen := scan.of(Pattern(regex)))), default=0)


def _death(catalogue: Catalogue, facts: ExitFacts, stage: str) -> Death | None:
    for death in catalogue.deaths:
        if death.oom_killed and facts.out_of_memory:
            return death
        if death.exit_code is not None and death.exit_code == facts.exit_code and not facts.death_signal:
            return death
        if death.signal and death.signal == facts.death_signal and (not death.stages or stage in death.stages):
            return death
    return None


def _unexplained(
    catalogue: Catalogue, scan: Scan, facts: ExitFacts, served: int, language: Language
) -> tuple[Finding, ...]:
    """Say that something failed though nobody knows why, or that nothing did."""
    trouble = [s for regex in catalogue.trouble for s in scan.of(catalogue.pattern(regex)) if s.line > served]
    if not trouble and not facts.died:
        return (known(catalogue, NOT_ASKED, (), language, facts),) if facts.alive else ()
    ended = (f"it ended with {facts}", *facts.more) if facts.died else ()
    unknown = _Suspect(catalogue.by_code[UNKNOWN], tuple(sorted(trouble, key=lambda s: s.line)[-1:]))
    last_words = (f"at the end: {line[:_WIDEST]}" for line in scan.tail[-_LAST_WORDS:])
    return (_Teller(catalogue, facts, language).finding(unknown, (*ended, *last_words)),)


@dataclass(frozen=True)
class _Teller:
    """Says what is wrong, with commands for whoever had the server."""

    catalogue: Catalogue
    facts: ExitFacts
    language: Language

    def finding(self, suspect: _Suspect, more: tuple[str, ...] = ()) -> Finding:
        """Return the finding of a suspect."""
        signature, death = suspect.signature, suspect.death
        meant = (death.meant.say(self.language),) if death and death.meant else ()
        places = {"stack": f" --stack {self.facts.stack}" if self.facts.stack else "", **figures(suspect.seen)}
        verify = self.catalogue.command(signature.verify, self.facts.runtime) or UP
        return Finding(
            code=signature.code,
            severity=signature.severity,
            title=signature.title.say(self.language),
            evidence=(*_evidence(suspect.seen), *more),
            cause=" — ".join((*meant, signature.cause.say(self.language))),
            fix=tuple(self._once((*(death.next if death else ()), *signature.fix), places)),
            verify=filled(verify, places),
            source=", ".join(signature.sources),
        )

    def _once(self, advices: Iterable[Advice], places: Mapping[str, str]) -> Iterable[str]:
        """Yield what to do; a command that two entries give is told once."""
        told: set[str] = set()
        for advice in advices:
            run = self.catalogue.command(advice.run, self.facts.runtime)
            if run is None or advice.not_knowing in places or (advice.knowing and advice.knowing not in places):
                continue
            if not run or run not in told:
                yield advice.model_copy(update={"run": run}).say(self.language, places=places)
            told.add(run)


def figures(seen: Iterable[Sighting]) -> dict[str, str]:
    """Return the figures that lines tell, by the name of their place in a command.

    ``free_share``: which share of the card was free, rounded down: vLLM starts when it is asked for no more.
    """
    for sighting in seen:
        match = _FREE.search(sighting.text)
        if match and 0 < (share := float(match["free"]) / float(match["total"])) < 1:
            return {"free_share": f"{math.floor(share * 100) / 100:.2f}"}
    return {}


def _evidence(seen: tuple[Sighting, ...]) -> Iterable[str]:
    by_line = {s.line: s for s in reversed(seen)}
    return (f"line {line}: {_around(by_line[line])}" for line in sorted(by_line)[:EVIDENCE])


def _around(sighting: Sighting) -> str:
    """Return the line, or of an overlong one what stands around the match."""
    if len(sighting.text) <= _WIDEST:
        return sighting.text
    at = max(0, sighting.text.find(sighting.match) - _WIDEST // 4)
    return ("… " if at else "") + sighting.text[at : at + _WIDEST] + " …"
