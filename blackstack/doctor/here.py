"""Does a stack fit this machine? The checks decide, for `inv doctor`, `inv stacks --fits` and `inv verdict` alike."""

from __future__ import annotations

from dataclasses import dataclass

from blackstack import plan
from blackstack.catalog import Stack
from blackstack.doctor.case import Case
from blackstack.doctor.examination import examine
from blackstack.errors import BlockedError, UsageError
from blackstack.facts import Facts
from blackstack.finding import Finding
from blackstack.plan import Plan, Wishes

PASSING = frozenset({"port-taken", "vram-held", "memory-busy", "earlier-containers"})  # also of a stack that is up
_LACKING = frozenset({"memory"})  # only a warning before a start: the figure is the author's, who may be careful


@dataclass(frozen=True, kw_only=True)
class Here:
    """Whether a stack can be served here, how, and if not, why: sentences, and the codes of the findings."""

    stack: str
    fits: bool
    how: str
    why_not: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


def fits_here(stack: Stack, facts: Facts) -> Here:
    """Say whether a stack, as its files have it, fits a machine."""
    try:
        made = plan.make(stack, facts.host, Wishes())
    except (BlockedError, UsageError) as error:
        return Here(stack=stack.name, fits=False, how="", why_not=(error.what, *error.fix[:1]))
    against = in_the_way(made, facts)
    return Here(
        stack=stack.name,
        fits=not against,
        how=made.runtime,
        why_not=tuple(one.title for one in against),
        codes=tuple(one.code for one in against),
    )


def in_the_way(made: Plan, facts: Facts) -> tuple[Finding, ...]:
    """Return what keeps a plan from working on a machine; what passes, such as a port that is taken, does not count."""
    seen = examine(Case(host=facts.host, facts=facts, plan=made)).findings
    return tuple(one for one in seen if one.code in _LACKING or (one.severity == "error" and one.code not in PASSING))
