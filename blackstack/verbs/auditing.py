"""Audit: which files to look at; what is wrong with them the audit itself says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blackstack import catalog
from blackstack.audit import main as audit_main
from blackstack.errors import BlockedError, UsageError
from blackstack.plan import COMPLETE, Wishes
from blackstack.verbs.choose import ROOT, planned


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What to look at; one of these.

    Attributes:
        stack: its image, or where there is none its environment.
        image: a name the engine knows, or a file that `docker save` wrote.
        python: an interpreter.
        wheels: requirements, separated by spaces.
    """

    stack: str | None = None
    image: str | None = None
    python: str | None = None
    wheels: str | None = None


def audit(subject: Subject, *, gpu: str | None, driver: str | None, as_json: bool) -> int:
    """Audit and print; return the exit code: 0 nothing will fail, 1 something will, 2 usage, 3 not to be had."""
    given = {flag: value for flag, value in vars(subject).items() if value}
    if len(given) != 1:
        raise UsageError("give one of --stack, --image, --python, --wheels", fix="inv --help audit")
    ((flag, value),) = given.items()
    words = _files_of(value) if flag == "stack" else [f"--{flag}", value]
    if gpu:
        words += ["--for" if re.fullmatch(r"\d+\.\d+", gpu) else "--gpu", gpu]
    words += ["--driver", driver] if driver else []
    return audit_main([*words, *(["--json"] if as_json else [])])


def _files_of(name: str) -> list[str]:
    """Return the words that name the files of a stack: those that `up` would run here."""
    stack = catalog.load(ROOT, name)
    made, machine = planned(stack, Wishes())
    if made.image and machine.engine and made.image in machine.engine.images:
        return ["--image", made.image]
    if made.environment is None and stack.x.process:
        made, _ = planned(stack, Wishes(runtime="process"))
    if made.environment and (made.environment / COMPLETE).is_file() and made.python:
        return ["--python", made.python]
    raise BlockedError(f"nothing of {name} is here to audit", fix=f"inv build --stack {name}")
