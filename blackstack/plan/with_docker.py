"""The steps that serve a stack with Docker: build or pull, then compose."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from blackstack.catalog import Settings, Stack, template
from blackstack.errors import UsageError
from blackstack.host import Host
from blackstack.plan.extra import Extra
from blackstack.plan.step import HIDDEN, Step
from blackstack.registry import held

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


def image_of(stack: Stack, settings: Settings) -> str:
    """Return the name of the image that runs."""
    return template.fill(str(stack.service["image"]), {key: setting.value for key, setting in settings.items()})


def steps(stack: Stack, host: Host, settings: Settings, extra: Extra, shell_env: Mapping[str, str]) -> tuple[Step, ...]:
    """Return what is still to be done, compose last."""
    image = image_of(stack, settings)
    first: tuple[Step, ...] = ()
    if host.engine is None or not held(image, host.engine.images):
        # Only our own name is built under: another one is somebody's, and is asked for.
        ours = stack.x.build is not None and image == template.fill(str(stack.service["image"]), stack.defaults)
        missing = Step(kind="pull", argv=("docker", "pull", image))
        first = (build_step(stack, host, settings, shell_env) if ours else missing,)
    # Every knob goes along, so that a value of the shell that a profile overrules does not slip in; what a person
    # would have to type are the ones that differ from the file's own defaults.
    env = {key: setting.value for key, setting in settings.items() if key in stack.defaults}
    typed = {key: value for key, value in env.items() if value != stack.defaults[key]}
    shown = {key: HIDDEN if settings[key].secret else value for key, value in typed.items()}
    over = {f".blackstack/run/{stack.name}/extra.yaml": _with_extra(stack, extra)} if extra else {}
    up = compose_argv(stack, "up", "--detach", "--no-build", "--pull", "never", over=tuple(over))
    return (*first, Step(kind="start", argv=up, env=env, shown=shown, files=over))


def compose_argv(stack: Stack, *words: str, over: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a ``docker compose`` command of the stack; its path is relative, as a person in the repository types.

    Files that are laid ``over`` the stack's own change single keys of it.
    """
    files = [word for path in (str(stack.path.relative_to(stack.root)), *over) for word in ("--file", path)]
    return ("docker", "compose", *files, "--project-name", stack.project, *words)


def _with_extra(stack: Stack, extra: Extra) -> str:
    """Return a compose file that adds words to the server's command: compose takes the later `command:` whole."""
    flags = [flag.replace("$", "$$") for flag in extra.flags]
    service: dict[str, object] = {"command": [*map(str, stack.service.get("command", ())), *flags]} if flags else {}
    if extra.variables:
        service["environment"] = {key: value.replace("$", "$$") for key, value in extra.variables.items()}
    return json.dumps({"services": {stack.x.service: service}}, indent=2) + "\n"


def tag_of(settings: Settings, target: str | None) -> str:
    """Return the name that a build gets; a stage that is not the last one never takes the stack's own."""
    image = settings["IMAGE"].value
    if not target:
        return image
    return f"{image}-{target}" if ":" in image.rpartition("/")[2] else f"{image}:{target}"


def build_step(
    stack: Stack,
    host: Host,
    settings: Settings,
    shell_env: Mapping[str, str],
    *words: str,
    target: str | None = None,
) -> Step:
    """Return the command that builds the stack's image, or another stage of its Dockerfile.

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
        tag_of(settings, target),
        "--load",
        *(("--target", target) if target else ()),
    ]
    version = settings["IMAGE"].value.rpartition("/")[2].partition(":")[2]
    for key, value in (("VERSION", version), ("REVISION", host.revision)):  # its OCI labels
        argv += ["--build-arg", f"{key}={value}"] if value else []
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
    for name, folder in build.contexts.items():
        argv += ["--build-context", f"{name}={folder}"]
    folder = str(Path(build.dockerfile).parent)
    return Step(kind="build", argv=(*argv, *words, folder), env=env, shown=dict.fromkeys(env, HIDDEN))


def _either_case(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name) or variables.get(name.lower()) or ""
