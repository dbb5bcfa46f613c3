"""A file, held against all rules: as it is, and once more for each of its profiles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from blackstack import catalog
from blackstack.errors import UsageError
from blackstack.finding import Finding
from blackstack.lint.document import Document, mapping, parse, with_profile
from blackstack.lint.rule import Rule
from blackstack.lint.rules import RULES

STACK_FILE = "stack-file"
_ORDER = {"error": 0, "warning": 1, "info": 2}


def examine(path: Path, *, label: str = "", root: Path | None = None) -> tuple[Finding, ...]:
    """Return what is wrong with a compose file, the worst first.

    Args:
        path: the file.
        label: what it is called in findings; the path as given, unless said otherwise.
        root: the repository whose stack it is, when it is one; its ``x-stack`` block is read too.

    Raises:
        UsageError: it is not there, does not parse, or is no compose file.
    """
    document = parse(path, label or str(path))
    if root is not None:
        document = _with_image(document, root)
    found = list(held_against(document, RULES))
    if root is not None:
        found += _stack_faults(path, root, document.label)
    for name in mapping(document.x.get("profiles")):
        said = {(finding.code, finding.title, finding.evidence[0]) for finding in found}
        found += [
            finding
            for finding in held_against(with_profile(document, str(name)), RULES)
            if (finding.code, finding.title, finding.evidence[0]) not in said
        ]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def held_against(document: Document, rules: Iterable[Rule]) -> Iterable[Finding]:
    """Yield the findings of rules; a fault of the file as a whole is said once, not for each service."""
    said = set()
    for rule in rules:
        for service in document.services():
            for finding in rule.findings(service):
                if (finding.code, finding.evidence) not in said:
                    said.add((finding.code, finding.evidence))
                    yield finding


def _with_image(document: Document, root: Path) -> Document:
    """Add what is known of an image that is built here: how it starts, and the words in capitals of its programs."""
    dockerfile = (root / str(mapping(document.x.get("build")).get("dockerfile", ""))).resolve()
    if not dockerfile.is_file() or not dockerfile.is_relative_to(root.resolve()):
        return document
    programs = (path.read_text(encoding="utf-8", errors="replace") for path in dockerfile.parent.glob("*.py"))
    named = {name for text in programs for name in re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", text)}
    starts = re.findall(r"^ENTRYPOINT (\[.*\])$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    words = tuple(json.loads(starts[-1])) if starts else ()
    if any(word.endswith(".py") for word in words):
        words = ()  # a launcher of ours: its own flags are its own affair
    return replace(document, entrypoint=words, read_by_launcher=frozenset(named))


def _stack_faults(path: Path, root: Path, label: str) -> Iterable[Finding]:
    """Return what the catalogue says of the file's ``x-stack`` block."""
    try:
        catalog.load(root, path.stem)
    except UsageError as error:
        for line in error.why:
            yield Finding(
                code=STACK_FILE,
                severity="error",
                title=line.partition(": ")[2] or line,
                evidence=(line.partition(": ")[0],),
                cause="a stack is read from its compose file, and this one cannot be",
                fix=error.fix,
                verify=f"inv lint --file {label}",
                source="blackstack/catalog/schema.py",
            )
