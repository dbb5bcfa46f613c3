"""Every variable that is meant for the engine is one that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from blackstack.errors import nearest
from blackstack.finding import Severity
from blackstack.flags import became, first_with
from blackstack.lint.document import Service
from blackstack.lint.engine import engine_of
from blackstack.lint.rule import Fault, Rule

GROUP = "The engine reads its variables"
_DATA = "the engine's own source, kept in blackstack/flags/data"


def unknown(service: Service) -> Iterator[Fault]:
    """Look for variables with the engine's prefix that it does not read."""
    for name, at, sure, version in _ignored(service):
        engine = engine_of(service)
        if engine and engine.known and became(engine.known, name) is None:
            near = nearest(name, engine.known.variables)
            later = first_with(engine.known, name)
            fix = f"it came with {engine.name} {later} or shortly before" if later else ""
            fix = fix or (f"{near}, if that is what was meant" if near else "")
            yield Fault(title=f"{version} reads no variable {name}", at=at, shown=name, fix=fix, severity=sure)


def removed(service: Service) -> Iterator[Fault]:
    """Look for variables that earlier versions read."""
    for name, at, sure, version in _ignored(service):
        engine = engine_of(service)
        old = became(engine.known, name) if engine and engine.known else None
        if old is not None:
            title = f"{version} reads {name} no more: {old.why}"
            yield Fault(title=title, at=at, shown=name, fix=old.instead, severity=sure, source=old.source)


def _ignored(service: Service) -> Iterator[tuple[str, str, Severity | None, str]]:
    engine = engine_of(service)
    if engine is None or engine.known is None:
        return
    read = engine.known.variables | service.document.read_by_launcher
    for name, (where, _) in service.environment.items():
        in_words = any(name in word for _, word in service.words)  # a launcher of a few lines reads it
        if engine.known.owns(name) and name not in read and not in_words:
            called = f"{engine.known.engine} {engine.known.version}"
            yield name, service.at(*where), None if engine.exact else "warning", called


RULES = (
    Rule(
        code="variable-unknown",
        severity="error",
        group=GROUP,
        about="Every variable with the engine's prefix is one that this version reads.",
        why="the engine ignores it without a word",
        fix="leave it out",
        source=_DATA,
        check=unknown,
    ),
    Rule(
        code="variable-removed",
        severity="error",
        group=GROUP,
        about="No variable of an earlier version.",
        why="the engine ignores it without a word, and what it was to bring about does not happen",
        fix="leave it out",
        source=_DATA,
        check=removed,
    ),
)
