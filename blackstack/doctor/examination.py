"""Run the checks: all of them for `inv doctor`, the quick ones before `inv up`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from blackstack.doctor.case import Case
from blackstack.doctor.checks import CHECKS
from blackstack.errors import BlockedError
from blackstack.facts import Facts
from blackstack.finding import Finding
from blackstack.host import Host
from blackstack.plan import Plan

_WORST_FIRST = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What came of it: the findings, worst first, and the titles of the checks that had nothing to say."""

    findings: tuple[Finding, ...]
    fine: tuple[str, ...]

    @property
    def blocked(self) -> bool:
        """Whether something is certain to fail."""
        return any(finding.severity == "error" for finding in self.findings)


def examine(case: Case) -> Examination:
    """Run every check that concerns the case."""
    told = [(check, check.run(case)) for check in CHECKS if check.concerns(case)]
    findings = {finding: None for _, finding in told if finding}  # two checks may come to the same
    return Examination(
        findings=tuple(sorted(findings, key=lambda finding: _WORST_FIRST[finding.severity])),
        fine=tuple(check.title for check, finding in told if finding is None),
    )


def findings(plan: Plan, host: Host, *, online: bool = False) -> Iterator[Finding]:
    """Yield what will keep the plan from working, or may: the checks that `inv up` runs too.

    Args:
        plan: what would be done.
        host: the machine.
        online: whether the registry of an image that is not here may be asked for its metadata.
    """
    case = Case(host=host, facts=Facts(plan.stack.root, host, online=online), plan=plan)
    for check in CHECKS:
        if check.before_up and check.concerns(case) and (finding := check.run(case)):
            yield finding


def refuse_if_blocked(plan: Plan, host: Host) -> tuple[Finding, ...]:
    """Return the warnings.

    Raises:
        BlockedError: something is certain to fail.
    """
    found = tuple(findings(plan, host, online=bool(plan.steps_of("pull"))))
    for finding in found:
        if finding.severity == "error":
            raise BlockedError(finding.title, why=[*finding.evidence, finding.cause], fix=finding.fix)
    return found
