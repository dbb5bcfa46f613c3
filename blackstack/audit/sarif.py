"""Say the findings in SARIF 2.1.0, for code-scanning pages of CI services.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackstack.audit.model import Report

_LEVEL = {"error": "error", "warning": "warning", "info": "note"}


def sarif(report: Report) -> dict[str, Any]:
    """Return the report as a SARIF log."""
    codes = sorted({finding.code for finding in report.findings})
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "blackstack.audit", "rules": [{"id": code} for code in codes]}},
                "results": [
                    {
                        "ruleId": finding.code,
                        "level": _LEVEL[finding.severity],
                        "message": {"text": "\n".join([finding.title, *finding.evidence, *finding.fix])},
                        "locations": [{"physicalLocation": {"artifactLocation": {"uri": report.root}}}],
                    }
                    for finding in report.findings
                ],
            }
        ],
    }
