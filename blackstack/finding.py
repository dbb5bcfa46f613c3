"""One thing that is wrong, said the same way by doctor, lint, audit and diagnose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong, how we know, and how to mend it.

    Attributes:
        code: a stable slug, for machines and for links.
        severity: ``error`` blocks (exit code 1), ``warning`` and ``info`` do not.
        title: one sentence for people.
        evidence: the lines or values that show it.
        cause: why it is so.
        fix: commands, or advice where there is no command, in the order to try them.
        verify: the command that shows that it is mended.
        source: where the knowledge comes from.
    """

    code: str
    severity: Severity
    title: str
    evidence: tuple[str, ...] = ()
    cause: str = ""
    fix: tuple[str, ...] = ()
    verify: str = ""
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data."""
        return asdict(self)
