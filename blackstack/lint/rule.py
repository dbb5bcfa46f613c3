"""A rule: one thing that can be wrong, as one function, with what people should know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blackstack.finding import Finding, Severity
from blackstack.lint.document import Service


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a rule found.

    Attributes:
        title: the sentence that is shown first.
        at: ``file:line``.
        shown: the value that is wrong; never that of a secret.
        fix: instead of the rule's own advice.
        severity: instead of the rule's own.
        source: instead of the rule's own.
    """

    title: str
    at: str
    shown: str = ""
    fix: str = ""
    severity: Severity | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that can be wrong.

    Attributes:
        code: its name in findings.
        severity: ``error`` makes `inv lint` end with 1.
        group: the heading that it stands under in docs/lint.md.
        about: what is asked of a file, in a sentence.
        why: what happens otherwise.
        fix: what to do about it.
        source: where the knowledge comes from.
        check: yields the faults of a service.
    """

    code: str
    severity: Severity
    group: str
    about: str
    why: str
    fix: str
    source: str
    check: Callable[[Service], Iterator[Fault]]

    def findings(self, service: Service) -> Iterator[Finding]:
        """Yield a finding for each fault."""
        profile = service.document.profile
        for fault in self.check(service):
            evidence = f"{fault.at}: {fault.shown}" if fault.shown else fault.at
            yield Finding(
                code=self.code,
                severity=fault.severity or self.severity,
                title=fault.title,
                evidence=(evidence, *([f"with --profile {profile}"] if profile else [])),
                cause=self.why,
                fix=(fault.fix or self.fix,),
                verify=f"inv lint --file {service.document.label}",
                source=fault.source or self.source,
            )
