"""Lint: which files are meant, and how what was found is said."""

from __future__ import annotations

from pathlib import Path

from blackstack import catalog, console
from blackstack.errors import UsageError, unknown_name
from blackstack.finding import Finding
from blackstack.lint import RULES, examine
from blackstack.verbs.choose import ROOT


def lint(*, stack: str | None = None, file: str | None = None, as_json: bool = False) -> int:
    """Hold compose files against the rules; return the exit code: 0 nothing is wrong, 1 something will not work.

    Args:
        stack: one of ours; all of them when neither is given.
        file: any compose file instead.
        as_json: print a JSON list of findings, and nothing else.

    Raises:
        UsageError: there is no such stack or file, or it is no compose file.
    """
    if stack and file:
        what = "--stack names one of ours, --file any compose file: give one of the two"
        raise UsageError(what, fix=[f"inv lint --stack {stack}", f"inv lint --file {file}"])
    findings = _of_file(file) if file else _of_stacks(stack)
    if as_json:
        console.data([finding.as_dict() for finding in findings])
    else:
        _show(findings, 1 if file or stack else len(catalog.names(ROOT)))
    return int(any(finding.severity == "error" for finding in findings))


def _of_file(name: str) -> tuple[Finding, ...]:
    """Lint a file; where it is a stack of ours, as that."""
    path = Path(name)
    resolved = path.resolve()
    if resolved.parent == ROOT / "compose" and resolved.stem in catalog.names(ROOT):
        return _of_stacks(resolved.stem)
    return examine(path, label=name)


def _of_stacks(name: str | None) -> tuple[Finding, ...]:
    names = catalog.names(ROOT)
    if name and name not in names:  # looked up, never pasted into a path
        raise unknown_name("stack", name, names, see="inv stacks")
    chosen = (name,) if name else names
    paths = [Path("compose", f"{one}.yaml") for one in chosen]
    return tuple(finding for path in paths for finding in examine(ROOT / path, label=str(path), root=ROOT))


def _show(findings: tuple[Finding, ...], files: int) -> None:
    for finding in findings:
        console.finding(finding)
    count = {severity: sum(one.severity == severity for one in findings) for severity in ("error", "warning", "info")}
    said = ", ".join(f"{number} {severity}{'s' if number != 1 else ''}" for severity, number in count.items() if number)
    console.say(f"{files} file{'s' if files != 1 else ''}, {len(RULES)} rules: {said or 'nothing is wrong'}")
