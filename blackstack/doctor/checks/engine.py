"""The Docker engine and its compose plugin."""

from __future__ import annotations

from blackstack.doctor.case import Case
from blackstack.doctor.knowledge import knowledge
from blackstack.doctor.texts import found
from blackstack.finding import Finding, Severity
from blackstack.versions import numbers


def check_engine(case: Case) -> Finding | None:
    """An engine answers; without one, stacks that can run as a process still do."""
    error = case.host.no_engine
    if case.host.engine or error is None:
        return None
    severity: Severity = "error" if case.in_docker else "warning" if case.plan is None else "info"
    return found("docker-unusable", {"what": error.what}, severity=severity, evidence=error.why, fix=error.fix or None)


def check_engine_version(case: Case) -> Finding | None:
    """The engine knows what the compose files say."""
    return _old(case, "engine-old", case.host.engine.version if case.host.engine else "", "engine")


def check_compose(case: Case) -> Finding | None:
    """The compose plugin is there, and knows what the compose files say."""
    if case.host.engine and not case.host.engine.compose:
        return found("compose-missing", severity="error" if case.in_docker else "warning")
    return _old(case, "compose-old", case.host.engine.compose if case.host.engine else "", "compose")


def check_engine_here(case: Case) -> Finding | None:
    """The engine is on this machine: of another we see nothing."""
    engine = case.facts.engine
    if engine is None or engine.here or case.host.engine is None:
        return None
    return found("engine-elsewhere", {"address": case.host.engine.address})


def _old(case: Case, code: str, version: str, key: str) -> Finding | None:
    needed = str(knowledge()["software"][key])
    if not numbers(version) or numbers(version) >= numbers(needed):
        return None
    severity: Severity = "error" if case.in_docker else "warning"
    return found(code, {"version": version, "needed": needed}, severity=severity)
