"""The steps that serve a stack without Docker: an environment of its own, then the server."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from blackstack.catalog import Settings, Stack, template
from blackstack.catalog.schema import Process
from blackstack.plan.step import HIDDEN, Step

COMPLETE = "blackstack-complete"  # the file in an environment that says that its installation came to its end


def steps(stack: Stack, process: Process, settings: Settings, *, python: str | None) -> tuple[Step, ...]:
    """Return what is still to be done, the server last.

    Args:
        stack: what to serve.
        process: its block of the same name.
        settings: the knobs.
        python: an interpreter that has the engine; None: the one of the stack's environment.
    """
    folder = None if python else environment_folder(stack, process)
    interpreter = python or str(folder and folder / "bin" / "python")
    values = {key: setting.value for key, setting in settings.items()}
    places = {
        "python": interpreter,
        "venv": str(Path(interpreter).parent.parent),
        "root": str(stack.root),
        "cache": str(stack.root / ".blackstack" / "cache"),
        **values,
    }

    def words(argv: Sequence[str]) -> tuple[str, ...]:
        return tuple(_placed(word, places) for word in argv)

    first: list[Step] = []
    if folder and process.requirements and not (folder / COMPLETE).is_file():
        install = ("-m", "pip", "install", *process.pip, "--requirement", process.requirements)
        first.append(Step(kind="environment", argv=(sys.executable, "-m", "venv", str(folder))))
        first.append(Step(kind="install", argv=(interpreter, *install)))
        first += [Step(kind="prepare", argv=words(argv)) for argv in process.prepare]
    service = _environment(stack.service.get("environment"))
    env = {key: template.fill(value, values) for key, value in service.items()}
    env |= {key: _placed(value, places) for key, value in process.environment.items()}
    secrets = {key for key, setting in settings.items() if setting.secret}
    hidden = {key for key, value in service.items() if secrets & {name for name, _ in template.variables(value)}}
    hidden |= {key for key, value in process.environment.items() if secrets & set(template.marks(value))}
    shown = {key: HIDDEN if key in hidden else value for key, value in env.items() if value}
    command = (template.fill(str(word), values) for word in stack.service.get("command", ()))
    return (*first, Step(kind="start", argv=(*words(process.argv), *command), env=env, shown=shown))


def environment_folder(stack: Stack, process: Process) -> Path:
    """Return the folder of the stack's virtual environment; its name changes when what makes it changes."""
    made_of = hashlib.sha256()
    made_of.update("\0".join([platform.python_version(), *process.pip]).encode())
    made_of.update((stack.root / process.requirements).read_bytes() if process.requirements else b"")
    for argv in process.prepare:
        made_of.update("\0".join(argv).encode())
        for word in argv:
            script = Path(_placed(word, {"root": str(stack.root)}))
            if script.is_file():
                made_of.update(script.read_bytes())
    return stack.root / ".blackstack" / "venvs" / f"{stack.name}-{made_of.hexdigest()[:12]}"


def _environment(data: object) -> dict[str, str]:
    """Read a service's ``environment``, which Compose allows as a mapping or as a list."""
    if isinstance(data, Mapping):
        return {str(key): "" if value is None else str(value) for key, value in data.items()}
    if isinstance(data, list):
        pairs = (str(item).partition("=") for item in data)
        return {key: value for key, _, value in pairs}
    return {}


def _placed(word: str, places: Mapping[str, str]) -> str:
    """Put places and knobs where ``{NAME}`` stands, in one pass: a value is never read as a mark."""
    return re.sub(r"(?<!\$)\{(\w+)\}", lambda match: places.get(match[1], match[0]), word)
