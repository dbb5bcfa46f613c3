"""The hinge: (stack, host, wishes) → everything that `inv up` would do, with nothing done yet."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from blackstack import shell
from blackstack.catalog import Setting, Settings, Stack, settle, template
from blackstack.catalog.schema import is_loopback
from blackstack.errors import UsageError, unknown_name
from blackstack.host import Host

RuntimeName = Literal["docker", "process"]
StepKind = Literal["build", "pull", "environment", "install", "prepare", "start"]
HIDDEN = "…"
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
_CA_BUNDLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # the first that is set is handed to builds
_FOR_BUILDS = (  # what a build may need to know of the network it is in
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
_BUILD_ENV = "BLACKSTACK_BUILD_ENV"  # carries them to BuildKit, as shell lines; never an ARG, which an image keeps


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for on the command line.

    Attributes:
        runtime: ``auto``, ``docker`` or ``process``.
        profile: one of the stack's profiles.
        overrides: ``KEY=VALUE`` words.
        python: an interpreter that has the engine already, instead of an environment of ours.
    """

    runtime: str = "auto"
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    python: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a plan.

    Attributes:
        kind: what it is for.
        argv: the command.
        env: the variables that it gets on top of ours; they may hold secrets.
        shown: those of them that a person would type, secrets hidden.
    """

    kind: StepKind
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def typed(self) -> str:
        """The command as a person would type it."""
        return shell.typed(self.argv, self.shown)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is needed to serve one stack on one machine.

    Attributes:
        runtime: which of the two carries it out, and ``runtime_why`` for what reason.
        settings: every knob's value and origin.
        url: where clients will find the server.
        steps: what is still to be done, in order; the last one starts the server.
        image: the image that runs, with Docker.
        environment: the folder of the virtual environment, without Docker; None with ``--python``.
        python: the interpreter that runs the server, without Docker.
        api_key: what clients must send.
    """

    stack: Stack
    runtime: RuntimeName
    runtime_why: str
    profile: str | None
    settings: Settings
    url: str
    steps: tuple[Step, ...]
    image: str | None = None
    environment: Path | None = None
    python: str | None = None
    api_key: str | None = field(default=None, repr=False)

    def steps_of(self, *kinds: StepKind) -> tuple[Step, ...]:
        """Return the steps of these kinds."""
        return tuple(step for step in self.steps if step.kind in kinds)

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
            "model": self.stack.x.model,
            "runtime": self.runtime,
            "profile": self.profile,
            "image": self.image,
            "settings": {key: setting.shown for key, setting in sorted(self.settings.items())},
            "overrides": {
                key: setting.shown for key, setting in sorted(self.settings.items()) if _is_override(setting)
            },
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
    made = Plan(
        stack=stack,
        runtime=runtime,
        runtime_why=why,
        profile=wishes.profile,
        settings=settings,
        url=url,
        steps=(),
        api_key=api_key or None,
    )
    return _with_docker(made, host, shell_env) if runtime == "docker" else _as_process(made, wishes)


def compose_argv(stack: Stack, *words: str) -> tuple[str, ...]:
    """Return a ``docker compose`` command of the stack; its path is relative, as a person in the repository types."""
    path = stack.path.relative_to(stack.root)
    return ("docker", "compose", "--file", str(path), "--project-name", stack.project, *words)


def build_step(stack: Stack, settings: Settings, shell_env: Mapping[str, str], *words: str) -> Step:
    """Return the command that builds the stack's image.

    What a company's network needs goes in as BuildKit secrets: the CA bundle, the package index, proxies. A secret
    is mounted while a line of the Dockerfile runs and is in no layer and on no command line
    (https://docs.docker.com/build/building/secrets/).
    """
    build = stack.x.build
    if build is None:
        raise UsageError(
            f"{stack.name} is not built here",
            why=f"its image is pulled: {settings['IMAGE'].value}",
            fix=f"inv up --stack {stack.name}",
        )
    argv = [
        "docker",
        "buildx",
        "build",
        "--file",
        build.dockerfile,
        "--tag",
        settings["IMAGE"].value,
        "--load",
    ]
    for key in build.args:
        argv += ["--build-arg", f"{key}={settings[key].value}"]
    bundles = [shell_env[name] for name in _CA_BUNDLES if shell_env.get(name) and Path(shell_env[name]).is_file()]
    if bundles:
        argv += ["--secret", f"id=ca,src={bundles[0]}"]
    lines = [f"{name}={shlex.quote(value)}" for name in _FOR_BUILDS if (value := _either_case(shell_env, name))]
    env = {_BUILD_ENV: "\n".join(lines)} if lines else {}
    if lines:
        argv += ["--secret", f"id=build_env,env={_BUILD_ENV}"]
    wheels = shell_env.get("PIP_FIND_LINKS", "")
    if wheels and Path(wheels).is_dir():
        argv += ["--build-context", f"wheels={wheels}"]
    folder = str(Path(build.dockerfile).parent)
    return Step(kind="build", argv=(*argv, *words, folder), env=env, shown=dict.fromkeys(env, HIDDEN))


def _either_case(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name) or variables.get(name.lower()) or ""


def _runtime(stack: Stack, host: Host, wishes: Wishes) -> tuple[RuntimeName, str]:
    if wishes.runtime not in {"auto", "docker", "process"}:
        raise unknown_name("runtime", wishes.runtime, ("auto", "docker", "process"), see="inv --help up")
    if wishes.runtime == "process" or wishes.python:
        if wishes.runtime == "docker":
            raise UsageError("--python goes with --runtime process, not with docker")
        if stack.x.process is None:
            raise UsageError(
                f"{stack.name} cannot run without Docker", why="its compose file has no `process:` in x-stack"
            )
        return "process", "asked for"
    if wishes.runtime == "docker":
        if host.engine is None:
            raise host.no_engine or AssertionError("a host without an engine says why")
        return "docker", "asked for"
    if host.engine is not None and host.engine.compose:
        return "docker", f"engine {host.engine.version} answers"
    missing = host.no_engine.why[0] if host.no_engine and host.no_engine.why else "no compose plugin"
    if stack.x.process is None:
        raise host.no_engine or AssertionError("a host without an engine says why")
    return "process", missing


def _with_docker(made: Plan, host: Host, shell_env: Mapping[str, str]) -> Plan:
    stack, settings = made.stack, made.settings
    image = template.fill(str(stack.service["image"]), {key: setting.value for key, setting in settings.items()})
    tag = image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
    steps: list[Step] = []
    if host.engine is None or tag not in host.engine.images:
        if stack.x.build:
            steps.append(build_step(stack, settings, shell_env))
        else:
            steps.append(Step(kind="pull", argv=("docker", "pull", image)))
    # Every knob goes along, so that a value of the shell that a profile overrules does not slip in; what a person
    # would have to type are the ones that differ from the file's own defaults.
    env = {key: setting.value for key, setting in settings.items() if key in stack.defaults}
    shown = {
        key: HIDDEN if settings[key].secret else value for key, value in env.items() if value != stack.defaults[key]
    }
    up = compose_argv(stack, "up", "--detach", "--no-build", "--pull", "never")
    steps.append(Step(kind="start", argv=up, env=env, shown=shown))
    return replace(made, image=image, steps=tuple(steps))


def _as_process(made: Plan, wishes: Wishes) -> Plan:
    stack, settings, process = made.stack, made.settings, made.stack.x.process
    if process is None:
        raise AssertionError("the choice of the runtime comes first")
    values = {key: setting.value for key, setting in settings.items()}
    folder = None if wishes.python else environment_folder(stack)
    python = wishes.python or str(environment_folder(stack) / "bin" / "python")
    places = {
        "python": python,
        "venv": str(folder or Path(python).parent.parent),
        "root": str(stack.root),
        "cache": str(stack.root / ".blackstack" / "cache"),
        **values,
    }

    def words(argv: Sequence[str]) -> tuple[str, ...]:
        return tuple(_placed(word, places) for word in argv)

    steps: list[Step] = []
    if folder and not (folder / COMPLETE).is_file():
        install = ("-m", "pip", "install", *process.pip, "--requirement", process.requirements)
        steps.append(Step(kind="environment", argv=(sys.executable, "-m", "venv", str(folder))))
        steps.append(Step(kind="install", argv=(python, *install)))
        steps += [Step(kind="prepare", argv=words(argv)) for argv in process.prepare]
    secrets = {key for key, setting in settings.items() if setting.secret}
    raw = _environment(stack.service.get("environment"))
    env = {key: template.fill(value, values) for key, value in raw.items()}
    env |= {key: _placed(value, places) for key, value in process.environment.items()}
    hidden = {key for key, value in raw.items() if secrets & {name for name, _ in template.variables(value)}}
    hidden |= {key for key, value in process.environment.items() if secrets & set(template.marks(value))}
    shown = {key: HIDDEN if key in hidden else value for key, value in env.items() if value}
    command = tuple(template.fill(str(word), values) for word in stack.service.get("command", ()))
    argv = (*words(process.argv), *command)
    steps.append(Step(kind="start", argv=argv, env=env, shown=shown))
    return replace(made, environment=folder, python=python, steps=tuple(steps))


COMPLETE = "blackstack-complete"  # the file in an environment that says that its installation came to its end


def environment_folder(stack: Stack) -> Path:
    """Return the folder of the stack's virtual environment; its name changes when what makes it changes."""
    process = stack.x.process
    if process is None:
        raise AssertionError("only a stack that runs as a process has an environment")
    made_of = hashlib.sha256()
    made_of.update("\0".join([platform.python_version(), *process.pip]).encode())
    made_of.update((stack.root / process.requirements).read_bytes())
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


def _is_override(setting: Setting) -> bool:
    return setting.origin in {"shell", "--set", "env/local.env"} or setting.origin.startswith("--profile")
