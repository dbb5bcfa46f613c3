"""The hinge: (stack, host, wishes) → everything that `inv up` would do, with nothing done yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from blackstack import shell
from blackstack.catalog import Settings, Stack, settle, template
from blackstack.catalog.schema import Process
from blackstack.engines import ENGINES
from blackstack.errors import BlockedError, UsageError, unknown_name
from blackstack.host import Host
from blackstack.loopback import is_loopback
from blackstack.plan import as_process, with_docker
from blackstack.plan.extra import Extra, parse
from blackstack.plan.step import Step, StepKind

RuntimeName = Literal["docker", "process"]
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for on the command line.

    Attributes:
        runtime: ``auto``, ``docker`` or ``process``.
        profile: one of the stack's profiles.
        overrides: ``KEY=VALUE`` words.
        python: an interpreter that has the engine already, instead of an environment of ours.
        extra: words for the server that no knob has, each text as a shell would read it.
    """

    runtime: str = "auto"
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    python: str | None = None
    extra: tuple[str, ...] = ()

    def typed(self, verb: str, stack: str, *more: str) -> str:
        """Return an `inv` command with these wishes, as a person would type it, and more of its own behind them."""
        words = ["inv", verb, "--stack", stack]
        words += ["--runtime", self.runtime] if self.runtime != "auto" else []
        words += ["--profile", self.profile] if self.profile else []
        words += [word for override in self.overrides for word in ("--set", override)]
        words += ["--python", self.python] if self.python else []
        words += [f"--extra={text}" for text in self.extra]  # with =, because a text may begin with dashes
        return shell.typed([*words, *more])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is needed to serve one stack on one machine.

    Attributes:
        wishes: what was asked for, to be said again in advice.
        runtime: which of the two carries it out, and ``runtime_why`` for what reason.
        settings: every knob's value and origin.
        url: where clients will find the server.
        steps: what is still to be done, in order; the last one starts the server.
        image: the image that runs, with Docker.
        environment: the folder of the virtual environment, without Docker; None with ``--python``.
        python: the interpreter that runs the server, without Docker.
        extra: words for the server that no knob has, of the profile and of the command line.
        api_key: what clients must send.
    """

    stack: Stack
    wishes: Wishes
    runtime: RuntimeName
    runtime_why: str
    profile: str | None
    settings: Settings
    url: str
    steps: tuple[Step, ...]
    image: str | None = None
    environment: Path | None = None
    python: str | None = None
    extra: Extra = field(default_factory=Extra)
    api_key: str | None = field(default=None, repr=False)

    def again(self, *more: str) -> str:
        """Return the `inv up` that this plan was made for, with more words behind it; a new value replaces an old."""
        anew = {word.partition("=")[0] for flag, word in pairwise(more) if flag == "--set"}
        kept = tuple(word for word in self.wishes.overrides if word.partition("=")[0] not in anew)
        return replace(self.wishes, overrides=kept).typed("up", self.stack.name, *more)

    def steps_of(self, *kinds: StepKind) -> tuple[Step, ...]:
        """Return the steps of these kinds."""
        return tuple(step for step in self.steps if step.kind in kinds)

    @property
    def model(self) -> str:
        """The name that clients ask for."""
        named = self.settings.get("SERVED_MODEL_NAME")
        return named.value if named else self.stack.x.model

    @property
    def noise(self) -> bool:
        """Whether the server's weights are random, so that its answers mean nothing."""
        flag = ENGINES[self.stack.x.engine].noise
        values = {key: setting.value for key, setting in self.settings.items()}
        command = [template.fill(str(word), values) for word in self.stack.service.get("command", ())]
        words = (*command, *self.extra.flags)
        return flag is not None and (flag in pairwise(words) or "=".join(flag) in words)

    @property
    def port(self) -> int:
        """The port on this machine."""
        return int(self.settings["PORT"].value)

    @property
    def bind(self) -> str:
        """The address on this machine."""
        return self.settings["BIND_ADDRESS"].value

    def asked_for(self) -> dict[str, object]:
        """Return the wish as a record: what results and the state folder keep, secrets hidden."""
        return {
            "stack": self.stack.name,
            "engine": self.stack.x.engine,
            "model": self.model,
            "runtime": self.runtime,
            "profile": self.profile,
            **({"noise": True} if self.noise else {}),
            "image": self.image,
            "settings": {key: setting.shown for key, setting in sorted(self.settings.items())},
            "overrides": {key: setting.shown for key, setting in sorted(self.settings.items()) if setting.is_wish},
            **(
                {"extra": {"flags": list(self.extra.flags), "variables": dict(self.extra.variables)}}
                if self.extra
                else {}
            ),
        }


def make(stack: Stack, host: Host, wishes: Wishes, *, shell_env: Mapping[str, str] = os.environ) -> Plan:
    """Plan how to serve a stack here.

    Args:
        stack: what to serve.
        host: the machine.
        wishes: what the command line says.
        shell_env: the environment that we were started in.

    Raises:
        UsageError: a value, profile or runtime that cannot be meant.
        BlockedError: Docker is wanted, and there is none.
    """
    settings = settle(stack, profile=wishes.profile, overrides=wishes.overrides, from_shell=shell_env)
    for needed in ("PORT", "BIND_ADDRESS"):
        if needed not in settings:
            raise UsageError(f"stack {stack.name} has no knob {needed}", fix="add it to `knobs:` of its x-stack block")
    runtime, why = _runtime(stack, host, wishes)
    bind = settings["BIND_ADDRESS"].value
    api_key = settings["API_KEY"].value if "API_KEY" in settings else ""
    if not is_loopback(bind) and not api_key:
        raise UsageError(
            f"BIND_ADDRESS={bind} lets other machines in, and there is no API_KEY",
            why="whoever reaches the port could use the model, and your electricity",
            fix=["write API_KEY=… into env/local.env (git-ignored)", "or keep BIND_ADDRESS=127.0.0.1"],
        )
    reached_at = "127.0.0.1" if bind in _ANYWHERE else bind
    url = f"http://{f'[{reached_at}]' if ':' in reached_at else reached_at}:{settings['PORT'].value}"
    of_profile = stack.x.profiles[wishes.profile].extra if wishes.profile else ""
    extra = parse([*([of_profile] if of_profile else []), *wishes.extra])
    made = Plan(
        stack=stack,
        wishes=wishes,
        runtime=runtime,
        runtime_why=why,
        profile=wishes.profile,
        settings=settings,
        url=url,
        steps=(),
        extra=extra,
        api_key=api_key or None,
    )
    if runtime == "docker":
        steps = with_docker.steps(stack, host, settings, extra, shell_env)
        return replace(made, steps=steps, image=with_docker.image_of(stack, settings))
    process = _process_of(stack)
    if not process.requirements and not wishes.python:
        raise UsageError(
            f"{stack.name} makes no environment of its own: without Docker it needs one that has the engine",
            fix=wishes.typed("up", stack.name, "--python", "PATH"),
        )
    if wishes.python:
        _refuse_no_program(wishes.python)
    folder = None if wishes.python else as_process.environment_folder(stack, process)
    return replace(
        made,
        steps=as_process.steps(stack, process, settings, extra, python=wishes.python),
        environment=folder,
        python=wishes.python or str(folder / "bin" / "python" if folder else ""),
    )


def _runtime(stack: Stack, host: Host, wishes: Wishes) -> tuple[RuntimeName, str]:
    """Choose the runtime, and say why."""
    if wishes.runtime not in {"auto", "docker", "process"}:
        raise unknown_name("runtime", wishes.runtime, ("auto", "docker", "process"), see="inv --help up")
    if wishes.python and wishes.runtime == "docker":
        raise UsageError("--python goes with --runtime process, not with docker")
    if wishes.runtime == "process" or wishes.python:
        _process_of(stack)
        return "process", "asked for"
    if host.engine is not None and (wishes.runtime == "docker" or host.engine.compose):
        return "docker", "asked for" if wishes.runtime == "docker" else f"engine {host.engine.version} answers"
    problem = host.no_engine or BlockedError("docker has no compose plugin", fix="install the compose v2 plugin")
    if wishes.runtime == "docker" or stack.x.process is None:
        raise problem
    return "process", (problem.why or (problem.what,))[0]


def _refuse_no_program(python: str) -> None:
    """Refuse an interpreter that cannot be one, before anybody waits for it."""
    path = Path(python)
    if path.is_file() and os.access(path, os.X_OK):
        return
    why = "" if not path.exists() else "it is a folder" if path.is_dir() else "it may not be executed"
    fix = "--python takes the path of a Python, such as .venv/bin/python"
    raise UsageError(f"there is no interpreter {python}", why=why, fix=fix)


def _process_of(stack: Stack) -> Process:
    if stack.x.process is None:
        raise UsageError(
            f"{stack.name} cannot run without Docker",
            why="its compose file has no `process:` in x-stack",
            fix=["inv up --stack llamacpp-cpu   # runs everywhere", "inv stacks --json   # `runtimes` of each"],
        )
    return stack.x.process
