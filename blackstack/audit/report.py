"""Show an audit to people: one screen, worst first, with the evidence and the command that mends it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.model import Finding, PackageReport, Report

_MARK = {"error": "✗", "warning": "!", "info": "·"}
_ORDER = ("fail", "risk", "ok")
_WIDTH = 150
_NOTES = 5  # infos shown; the JSON has them all


def render(report: Report, *, everything: bool = False) -> str:
    """Return the report as text."""
    return "\n".join(_lines(report, everything=everything)) + "\n"


def _lines(report: Report, *, everything: bool) -> Iterator[str]:
    gpu = f"{report.gpu[0]}.{report.gpu[1]}"
    torch = report.torch
    yield f"{report.root} for compute capability {gpu}"
    if torch.get("version"):
        cuda = f"CUDA {torch['cuda']}" if torch["cuda"] else "no CUDA"
        yield f"torch {torch['version']} ({cuda}): {'loads' if torch['loads'] == 'ok' else 'DOES NOT LOAD'}"
    else:
        yield "no torch"
    yield ""
    yield from _packages(report, gpu, everything=everything)
    if report.features:
        yield ""
        yield f"{'ON ' + gpu:<10}feature"
        yield from (f"{feature.state:<10}{feature.name}: {feature.detail}" for feature in report.features)
    yield from _findings(report.findings, everything=everything)
    if report.expected:
        yield ""
        yield f"expected from the driver: {', '.join(report.expected)}"
    errors = sum(finding.severity == "error" for finding in report.findings)
    risks = sum(finding.severity == "warning" for finding in report.findings)
    yield ""
    if errors + risks:
        yield f"{errors} will fail, {risks} may fail"
    else:
        yield ("nothing found that would fail" if report.packages else "nothing here has compiled code to audit")


def _packages(report: Report, gpu: str, *, everything: bool) -> Iterator[str]:
    yield f"{'LOADS':<8}{'RUNS ON ' + gpu:<38}package"
    shown = sorted(report.packages, key=lambda package: (_ORDER.index(package.loads), package.name))
    quiet = 0
    for package in shown:
        if not everything and package.loads == "ok" and _carrier(package, gpu):
            quiet += 1
            continue
        yield f"{package.loads:<8}{_runs(package, gpu):<38}{package.name} {package.version}".rstrip()
    if quiet:
        yield f"{'ok':<8}{'':<38}and {quiet} more (--all shows them)"


def _carrier(package: PackageReport, gpu: str) -> bool:
    return package.name.startswith(("nvidia-", "cuda-", "triton")) or gpu not in package.runs


def _runs(package: PackageReport, gpu: str) -> str:
    runs = package.runs.get(gpu)
    if runs is None:
        return "no GPU code"
    how = [f"{count} {word}" for count, word in ((runs.native, "native"), (runs.ptx, "by JIT")) if count]
    return f"{runs.native + runs.ptx} of {runs.total}" + (f" ({', '.join(how)})" if how else "")


def _findings(findings: tuple[Finding, ...], *, everything: bool) -> Iterator[str]:
    notes = 0
    for finding in findings:
        if finding.code.startswith("feature-") and finding.severity == "info" and not everything:
            continue  # the table of features has said it
        if finding.severity == "info":
            notes += 1
            if notes > _NOTES and not everything:
                continue
        yield ""
        yield f"{_MARK[finding.severity]} {finding.title}  [{finding.code}]"
        yield from (f"    {textwrap.shorten(line, _WIDTH, placeholder=' …')}" for line in finding.evidence)
        if finding.cause and finding.severity != "info":
            yield f"    why: {finding.cause}"
        yield from (f"    {'fix:' if not i else '    '} {line}" for i, line in enumerate(finding.fix))
    if notes > _NOTES and not everything:
        yield ""
        yield f"· and {notes - _NOTES} more notes (--all shows them)"
