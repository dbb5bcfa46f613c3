"""Diagnose: from a log, and how the server ended, to the cause and the next command."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blackstack.catalog import Stack
from blackstack.diagnose import ExitFacts
from blackstack.diagnose import diagnose as diagnose_log
from blackstack.diagnose.__main__ import main as diagnose_main
from blackstack.diagnose.signatures import UNKNOWN
from blackstack.errors import BlackstackError, UsageError
from blackstack.forensics import Traces, kernel_log
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running, Runtime
from blackstack.verbs.choose import ROOT, all_up, chosen, find, last_one, last_runtime

WHOLE_LOG = 100_000  # lines; more would be a server that has run for days
EVIDENCE_LINES = 3


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
    facts = facts_now(found.runtime, stack, found.running) if found else ExitFacts.from_mapping(_kept_facts(stack))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, f"{stack.name}.log")
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return diagnose_main([*words, "--facts", json.dumps(asdict(facts)), str(log)])


def facts_now(
    runtime: Runtime, stack: Stack, running: Running | None, stage: str | None = None, *, outside: str = ""
) -> ExitFacts:
    """Collect how a server ended, as long as its remains are there.

    Args:
        runtime: which had it.
        stack: whose server.
        running: as the runtime saw it last.
        stage: the last stage that was reached; None: the one that was noted.
        outside: the code of what was seen from outside.
    """
    stage = stage or _noted_stage(stack)
    alive = running is not None and running.state == "running" and not running.restarts
    if running is None or alive or running.state == "unreachable":
        return ExitFacts(stage=stage, outside=outside)
    try:
        traces = runtime.traces(stack)
    except BlackstackError:  # the engine went away with it
        traces = Traces()
    kernel, unread = kernel_log(running.started_at, traces.marks)
    code = running.exit_code if running.state != "running" else _last_code(traces.events)  # it was started again
    return ExitFacts(
        exit_code=code,
        # A server that ends well when it is asked to has exit code 0: then the event knows who asked.
        signal=_sent(traces.events) if code == 0 else None,
        oom_killed=running.out_of_memory,
        stage=stage,
        asked_to_stop=traces.asked_to_stop,
        restarts=running.restarts,
        events=traces.events,
        memory=traces.memory,
        quiet_s=traces.quiet_s,
        kernel=kernel,
        kernel_unread=unread,
        core_dump=traces.core_dump,
        outside=outside,
    )


def _last_code(events: Sequence[str]) -> int | None:
    """Return the exit code with which the container died last."""
    codes = [int(found[1]) for event in events if (found := re.fullmatch(r"die \(exit code (\d+)\)", event))]
    return codes[-1] if codes else None


def _sent(events: Sequence[str]) -> str | None:
    """Return the signal that somebody sent to the container last."""
    sent = [event.removeprefix("kill (").removesuffix(")") for event in events if event.startswith("kill (")]
    return sent[-1] if sent else None


def _noted_stage(stack: Stack) -> str | None:
    """Return how far `inv up` saw it come."""
    stages = proc.read(state.folder(ROOT, stack.name) / state.UP).get("stage_seconds")
    return next(reversed(stages), None) if isinstance(stages, dict) else None


def _kept_facts(stack: Stack) -> dict[str, Any]:
    facts = proc.read(state.folder(ROOT, stack.name) / state.UP).get("exit_facts")
    return facts if isinstance(facts, dict) else {}


def name_the_cause(error: BlackstackError, log: Sequence[str], facts: ExitFacts | None) -> None:
    """Put the most likely cause in front of an error's evidence, and what mends it in front of its advice."""
    known = [found for found in diagnose_log(list(log), facts) if found.code != UNKNOWN]
    if known:
        first = known[0]
        error.why = (f"cause: {first.title}  [{first.code}]", *first.evidence[:EVIDENCE_LINES], *error.why)
        error.fix = (*first.fix, *error.fix)
