"""Audit: which files to look at; what is wrong with them the audit itself says."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from blackstack import catalog
from blackstack.audit import main as audit_main
from blackstack.audit.arch import cuda_of_driver, gpu_version
from blackstack.errors import BlockedError, UsageError
from blackstack.plan import COMPLETE, Wishes
from blackstack.registry import held
from blackstack.verbs.choose import ROOT, planned


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What to look at; one of these.

    Attributes:
        stack: its image, or where there is none its environment.
        image: a name the engine knows, or a file that `docker save` wrote.
        python: an interpreter.
        site: a folder of packages (site-packages).
        root: a root file system, such as an unpacked image.
        wheels: requirements, separated by spaces.
    """

    stack: str | None = None
    image: str | None = None
    python: str | None = None
    site: str | None = None
    root: str | None = None
    wheels: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """For what, and how it is said.

    Attributes:
        gpu: a card such as ``rtx-5090``, or ``capability``: such as ``12.0``.
        driver: the NVIDIA driver there.
        form: nothing for people, or ``json``, ``sarif``, ``all``.
    """

    gpu: str | None = None
    capability: str | None = None
    driver: str | None = None
    form: str | None = None


def audit(subject: Subject, answer: Answer) -> int:
    """Audit and print; return the exit code: 0 nothing will fail, 1 something will, 2 usage, or not to be had."""
    given = {flag: value for flag, value in vars(subject).items() if value}
    if len(given) != 1:
        flags = ", ".join(f"--{field.name}" for field in fields(Subject))
        raise UsageError(f"give one of {flags}", fix="inv --help audit")
    if answer.gpu and answer.capability:
        raise UsageError("give --gpu or --for, not both", fix="inv --help audit")
    ((flag, value),) = given.items()
    words = _files_of(value) if flag == "stack" else [f"--{flag}", value]
    if capability := answer.capability or (answer.gpu if re.fullmatch(r"\d+\.\d+", answer.gpu or "") else None):
        words += ["--for", capability]
    elif answer.gpu:
        words += ["--gpu", answer.gpu]
    words += ["--driver", answer.driver] if answer.driver else []
    _refuse_nonsense(answer)
    return audit_main([*words, *([f"--{answer.form}"] if answer.form else [])])


def _refuse_nonsense(answer: Answer) -> None:
    try:
        gpu_version(answer.gpu or answer.capability or "12.0")
        cuda_of_driver(answer.driver or "570")
    except ValueError as error:
        raise UsageError(str(error), fix="inv --help audit") from error


def _files_of(name: str) -> list[str]:
    """Return the words that name the files of a stack: those that `up` would run here."""
    stack = catalog.load(ROOT, name)
    made, machine = planned(stack, Wishes())
    image = made.image
    if made.image and machine.engine and held(made.image, machine.engine.images):
        return ["--image", made.image]
    if made.environment is None and stack.x.process:
        made, _ = planned(stack, Wishes(runtime="process"))
    if made.environment and (made.environment / COMPLETE).is_file() and made.python:
        return ["--python", made.python]
    ours = stack.x.build or made.environment or not image
    get = f"inv build --stack {name}" if ours else f"docker pull {image}"
    raise BlockedError(f"nothing of {name} is here to audit", fix=get)
