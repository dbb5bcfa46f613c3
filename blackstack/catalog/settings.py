"""The value of each knob, and where it comes from.

Precedence: command line > profile > shell > env/local.env > env/NAME.env > env/common.env > the compose default.
An empty value counts as unset, as it does in Compose's ``${VAR:-default}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from blackstack.catalog.stack import Stack, load_all
from blackstack.errors import UsageError, nearest, unknown_name

LOCAL = "env/local.env"
COMMON = "env/common.env"
NOT_KNOBS = frozenset({"HF_TOKEN"})  # secrets that are no stack's knob, and have their place in env/local.env


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A knob's value and its origin; the value of a secret does not show in its ``repr``."""

    value: str = field(repr=False)
    origin: str
    secret: bool = False

    @property
    def is_wish(self) -> bool:
        """Whether somebody set it for this run or this machine, rather than for the stack."""
        return self.origin in {"shell", "--set", LOCAL} or self.origin.startswith("--profile")

    @property
    def shown(self) -> str:
        """The value as it may be printed and recorded."""
        return ("(set)" if self.value else "") if self.secret else self.value


Settings = Mapping[str, Setting]


def settle(
    stack: Stack, *, profile: str | None, overrides: Sequence[str], from_shell: Mapping[str, str]
) -> dict[str, Setting]:
    """Return the value of every knob of the stack.

    Args:
        stack: whose knobs.
        profile: a name of the stack's profiles.
        overrides: ``KEY=VALUE`` words of the command line.
        from_shell: the environment we were started in.

    Raises:
        UsageError: an unknown profile or key, or a value of the wrong type; all of these at once.
    """
    if profile is not None and profile not in stack.x.profiles:
        raise unknown_name("profile", profile, stack.x.profiles, see=f"inv stacks --stack {stack.name}")
    chosen = {key: str(value) for key, value in stack.x.profiles[profile].set.items()} if profile else {}
    layers = [  # the weakest first
        ("compose", stack.defaults),
        (COMMON, _read(stack, COMMON, strict=False)),
        (f"env/{stack.name}.env", _read(stack, f"env/{stack.name}.env", strict=True)),
        (LOCAL, _read(stack, LOCAL, strict=False)),
        ("shell", {key: from_shell[key] for key in stack.x.knobs if key in from_shell}),
        (f"--profile {profile}", chosen),
        ("--set", _command_line(stack, overrides)),
    ]
    settings: dict[str, Setting] = {}
    for origin, values in layers:
        for key, value in values.items():
            if key in stack.x.knobs and (value or key not in settings):
                secret = stack.x.knobs[key].type == "secret"
                settings[key] = Setting(value=value, origin=origin, secret=secret)
    faults = [
        f"{key}={setting.value if not setting.secret else '…'} ({setting.origin}): {wrong}"
        for key, setting in settings.items()
        if setting.value and (wrong := stack.x.knobs[key].fault(setting.value))
    ]
    if faults:
        raise UsageError(f"{_count(faults, 'value')} of {stack.name} cannot be used", why=faults)
    return settings


def _command_line(stack: Stack, overrides: Sequence[str]) -> dict[str, str]:
    values = {}
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", key):
            raise UsageError(f"--set takes KEY=VALUE, not {word!r}", fix=f"inv plan --stack {stack.name}   # its knobs")
        if key not in stack.x.knobs:
            raise unknown_name("knob", key, stack.x.knobs, see=f"inv plan --stack {stack.name}")
        if stack.x.knobs[key].type == "secret":
            raise UsageError(
                f"{key} is a secret and may not stand on a command line",
                why="everybody on this machine can read command lines, and shells keep a history",
                fix=f"write it into {LOCAL} (git-ignored), or export it in the shell",
            )
        values[key] = value
    return values


def _read(stack: Stack, name: str, *, strict: bool) -> dict[str, str]:
    """Read an env file; with ``strict`` every key in it must be a knob of the stack.

    A file for all stacks may have keys of other stacks, but none that is nobody's: that is a slip of the pen.
    """
    path = stack.root / name
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} cannot be used: it is not UTF-8 text", why=str(error)) from error
    faults = [
        f"{name}:{_line(binding)}: cannot be read: {binding.original.string.strip()[:60]!r}"
        for binding in bindings
        if binding.error
    ]
    unknown = [
        (binding.key, _line(binding))
        for binding in bindings
        if binding.key and binding.key not in stack.x.knobs and binding.key not in NOT_KNOBS
    ]
    if unknown:
        known = set(stack.x.knobs) if strict else _every_knob(stack.root) | set(stack.x.knobs)
        for key, line in unknown:
            if key not in known:
                near = nearest(key, known)
                faults.append(f"{name}:{line}: {key} is no knob" + (f"; did you mean {near}?" if near else ""))
    if faults:
        raise UsageError(f"{name} cannot be used", why=faults, fix=f"inv plan --stack {stack.name}   # its knobs")
    return {key: value for key, value in dotenv_values(path, interpolate=False).items() if value is not None}


def _line(binding: Binding) -> int:
    """Return the line of a binding itself; the parser counts from the blank lines and comments before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _every_knob(root: Path) -> set[str]:
    return {key for stack in load_all(root) for key in stack.x.knobs}


def _count(things: Sequence[str], noun: str) -> str:
    return f"{len(things)} {noun}{'s' if len(things) != 1 else ''}"
