"""Turn what was seen into findings: a sentence, its evidence and the command that mends it; worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackstack.audit import findings_gpu, findings_load, findings_pins

if TYPE_CHECKING:
    from blackstack.audit.evidence import Environment
    from blackstack.audit.model import Finding

_ORDER = ("error", "warning", "info")


def findings(environment: Environment) -> tuple[Finding, ...]:
    """Return all findings of an environment."""
    found = [
        *findings_load.findings(environment),
        *findings_gpu.findings(environment),
        *findings_pins.findings(environment),
    ]
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))
