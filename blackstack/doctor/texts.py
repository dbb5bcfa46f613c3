"""The words of every finding: `findings.toml`, read only when there is something to say."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from blackstack.finding import Finding, Severity


@functools.cache
def texts() -> Mapping[str, Mapping[str, Any]]:
    """Return the file: a table for each code, in the order of the page."""
    return tomllib.loads(Path(__file__).with_name("findings.toml").read_text(encoding="utf-8"))


def found(
    code: str,
    values: Mapping[str, object] | None = None,
    *,
    severity: Severity | None = None,
    evidence: Sequence[str] = (),
    cause: str | None = None,
    fix: Sequence[str] | None = None,
) -> Finding:
    """Make a finding from its text.

    Args:
        code: an entry of the file.
        values: what stands in the text's ``{places}``.
        severity: another one than the file's, where the circumstances change it.
        evidence: what was seen here.
        cause: a more exact one than the file's.
        fix: more exact commands than the file's.
    """
    text = texts()[code]
    told = severity or text["severity"]
    if told not in get_args(Severity):
        raise ValueError(f"{code}: {told!r} is no severity")
    return Finding(
        code=code,
        severity=told,
        title=_fill(text["title"], values),
        evidence=tuple(evidence),
        cause=_fill(text.get("cause", ""), values) if cause is None else cause,
        fix=tuple(_fill(line, values) for line in text.get("fix", ())) if fix is None else tuple(fix),
        verify=_fill(text.get("verify", ""), values),
        source=text.get("source", ""),
    )


def _fill(text: str, values: Mapping[str, object] | None) -> str:
    """Put values into ``{places}``; other braces, as Docker's templates have them, stay."""
    for name, value in (values or {}).items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
