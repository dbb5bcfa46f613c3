"""Diagnose: from a log, and how the server ended, to the cause and the next command."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from blackstack.diagnose import ExitFacts, finding
from blackstack.diagnose import diagnose as diagnose_log
from blackstack.diagnose.__main__ import main as diagnose_main
from blackstack.errors import BlackstackError, UsageError
from blackstack.ready import ServerExitedError
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running
from blackstack.verbs.choose import ROOT, all_up, chosen, find, last_one, last_runtime

WHOLE_LOG = 100_000  # lines; more would be a server that has run for days
EVIDENCE_LINES = 2


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
    """Diagnose and print; return the exit code: 0 nothing is wrong, 1 findings."""
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
    lines = (found.runtime if found else last_runtime(stack)).tail(stack, WHOLE_LOG)
    if not lines:
        raise UsageError(f"{stack.name} has no log to diagnose", fix=f"inv up --stack {stack.name}")
    noted = proc.read(state.folder(ROOT, stack.name) / state.UP).get("exit_facts", {})
    facts = facts_of(found.running) if found else ExitFacts.from_mapping(noted)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, f"{stack.name}.log")
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return diagnose_main([*words, "--facts", json.dumps(asdict(facts)), str(log)])


def facts_of(running: Running | None, stage: str | None = None) -> ExitFacts:
    """Return what the runtime saw of a server's end."""
    if running is None or running.state == "running":
        return ExitFacts(stage=stage)
    return ExitFacts(exit_code=running.exit_code, oom_killed=running.out_of_memory, stage=stage)


def name_the_cause(error: BlackstackError, log: Sequence[str]) -> None:
    """Put the most likely cause in front of an error's evidence, and what mends it in front of its advice."""
    facts = facts_of(error.running, error.stage) if isinstance(error, ServerExitedError) else None
    known = [found for found in diagnose_log(list(log), facts) if found.code != "unknown"]
    if error.code:  # seen from outside: what the log says explains it at best
        known = [*known, finding(error.code)]
    if known:
        first = known[0]
        error.why = (f"cause: {first.title}  [{first.code}]", *first.evidence[:EVIDENCE_LINES], *error.why)
        error.fix = (*first.fix, *error.fix)
