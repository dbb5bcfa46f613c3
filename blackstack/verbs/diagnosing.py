"""Diagnose: from a log, and how the server ended, to the cause and the next command."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blackstack.aftermath import WHOLE_LOG, facts_now
from blackstack.catalog import Stack
from blackstack.diagnose import ExitFacts
from blackstack.diagnose.__main__ import main as diagnose_main
from blackstack.errors import UsageError
from blackstack.runtime import proc, state
from blackstack.verbs.choose import ROOT, all_up, chosen, find, last_one, last_runtime


@dataclass(frozen=True, kw_only=True)
class Question:
    """What `inv diagnose` was asked.

    Attributes:
        stack: whose log; None: the one that is, or was, up.
        log: a file instead, or ``-``.
        bundle: where to write a redacted archive.
        language: ``en`` or ``ko``.
        as_json: print a JSON list of findings, and nothing else.
    """

    stack: str | None = None
    log: str | None = None
    bundle: str | None = None
    language: str = "en"
    as_json: bool = False


def diagnose(question: Question) -> int:
    """Diagnose and print; return the exit code: 0 nothing is wrong in the log, 1 something is."""
    if question.log and question.stack:
        raise UsageError("--log reads a file, --stack a stack's log: give one of the two")
    if question.language not in {"en", "ko"}:
        raise UsageError(f"--language takes en or ko, not {question.language!r}")
    words = ["--language", question.language, *(["--json"] if question.as_json else [])]
    words += ["--bundle", question.bundle] if question.bundle else []
    if question.log:
        return diagnose_main([*words, question.log])
    named = question.stack or os.environ.get("STACK")
    was_up = None if named or all_up(include_dead=True) else last_one()
    stack = was_up or chosen(named, "diagnose", include_dead=True)
    found = find(stack, include_dead=True)
    runtime = found.runtime if found else last_runtime(stack)
    lines = runtime.tail(stack, WHOLE_LOG)
    if not lines:
        raise UsageError(f"{stack.name} has no log to diagnose", fix=f"inv up --stack {stack.name}")
    facts = facts_now(found.runtime, stack, found.running) if found else ExitFacts.from_mapping(_kept_facts(stack))
    facts = replace(facts, runtime=runtime.name, stack=stack.name, alive=bool(found and found.alive))
    words += ["--name", stack.name, "--facts", json.dumps(asdict(facts))]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, f"{stack.name}.log")
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return diagnose_main([*words, str(log)])


def _kept_facts(stack: Stack) -> dict[str, Any]:
    facts = proc.read(state.folder(ROOT, stack.name) / state.UP).get("exit_facts")
    return facts if isinstance(facts, dict) else {}
