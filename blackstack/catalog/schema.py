"""The ``x-stack`` block of a compose file: what compose has no word for.

Reference of the block's keys, and their only home: the catalogue, the docs and the tests read these classes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KnobType = Literal["text", "integer", "count", "number", "fraction", "port", "address", "choice", "secret"]
Status = Literal["verified", "experimental", "reported", "not-verified"]
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_HIGHEST_PORT = 65535


class Block(BaseModel):
    """A mapping of the file: unknown keys are refused, and nothing is changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Knob(Block):
    """A variable of the compose file that a user may set.

    Attributes:
        type: what its value must look like.
        about: one line for people.
        choices: the values allowed, with ``type: choice``.
        tune: the values that `inv tune` may try, in their natural order; the stack's default need not be among them.
    """

    type: KnobType
    about: str
    choices: tuple[str, ...] = ()
    tune: tuple[str | int | float, ...] = ()

    @model_validator(mode="after")
    def _choices_belong_to_choice(self) -> Knob:
        if bool(self.choices) != (self.type == "choice"):
            raise ValueError("`choices` goes with `type: choice`, and only with it")
        return self

    @model_validator(mode="after")
    def _tune_has_values_that_may_be_set(self) -> Knob:
        for value in self.tune:
            if wrong := self.fault(str(value)):
                raise ValueError(f"`tune` has {value!r}, but a value {wrong}")
        return self

    def fault(self, value: str) -> str:
        """Return what is wrong with a value, or nothing.

        >>> Knob(type="port", about="").fault("99999")
        'must be a port, 1 to 65535'
        """
        if self.type == "choice":
            return "" if value in self.choices else f"must be one of {', '.join(self.choices)}"
        accepts, wanted = _TYPES[self.type]
        return "" if accepts(value) else f"must be {wanted}"


class Profile(Block):
    """A named set of overrides: a variant of the stack that never forks its file.

    Attributes:
        about: one line for people.
        set: values of knobs.
        extra: words for the server that no knob has, as ``--extra`` takes them.
    """

    about: str
    set: Mapping[str, str | int | float]
    extra: str = ""


class Needs(Block):
    """What the stack asks of a machine.

    Attributes:
        memory_gib: main memory in GiB.
        disk_gib: disk for image or environment, and weights, in GiB.
        vram_gib: GPU memory in GiB; absent: no GPU needed.
        compute_capability: the least one, such as ``12.0``.
        driver: the least NVIDIA driver, such as ``570``.
    """

    memory_gib: Annotated[float, Field(gt=0)]
    disk_gib: Annotated[float, Field(gt=0)]
    vram_gib: float | None = None
    compute_capability: str | None = None
    driver: str | None = None


class Build(Block):
    """How the image is made, where it is made here.

    Attributes:
        dockerfile: its path from the repository's root; the folder is the build context.
        args: the knobs that are handed to the build.
        contexts: further folders by the name that the Dockerfile has for them, such as the audit that it ends with.
    """

    dockerfile: str
    args: tuple[str, ...] = ()
    contexts: Mapping[str, str] = Field(default_factory=dict)


class Process(Block):
    """How the stack runs without Docker.

    ``{python}``, ``{venv}``, ``{root}`` and ``{cache}`` stand for the environment's interpreter and folder, the
    repository, and a folder that outlives the environment; ``{KNOB}`` for a knob's value. (Not ``${KNOB}``: Compose
    looks for variables in this block too, and would want defaults, which have their home below.)

    Attributes:
        requirements: the file that pip installs, the same that the Dockerfile uses; absent: the stack makes no
            environment and runs with ``--python`` only.
        pip: further words for ``pip install``.
        prepare: commands that run once after the installation, such as a conversion of weights.
        argv: the server up to, and with, its address; the service's ``command`` follows.
        environment: on top of the service's ``environment``.
    """

    requirements: str | None = None
    pip: tuple[str, ...] = ()
    prepare: tuple[tuple[str, ...], ...] = ()
    argv: tuple[str, ...]
    environment: Mapping[str, str] = Field(default_factory=dict)


class XStack(Block):
    """The block itself.

    Attributes:
        title: one line for people.
        engine: a key of ``blackstack.engines.ENGINES``.
        engine_version: the engine's own version in the pinned image, such as ``0.11.0``: which flags it knows; absent
            where a pin does not say, as with a nightly.
            model: the name that clients ask for, unless a knob SERVED_MODEL_NAME says another.
            status: how far it was proved, and ``evidence`` by what.
        service: the compose service that is the server.
        ready_s: seconds within which it should have answered on an ordinary machine.
        needs, build, process, knobs, profiles: see their classes.
    """

    title: str
    engine: Literal["llamacpp", "vllm", "sglang", "simulator"]
    engine_version: str | None = None
    model: str
    status: Status
    evidence: str
    service: str = "server"
    needs: Needs
    ready_s: Annotated[float, Field(gt=0)]
    build: Build | None = None
    process: Process | None = None
    knobs: Mapping[str, Knob]
    profiles: Mapping[str, Profile] = Field(default_factory=dict)


def _is_whole(value: str, lowest: int | None = None, highest: int | None = None) -> bool:
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        return False
    return (lowest is None or int(value) >= lowest) and (highest is None or int(value) <= highest)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", value) is not None


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        # What looks like numbers and dots is a mistyped address, not a host name.
        return _HOST_NAME.fullmatch(value) is not None and not re.fullmatch(r"[\d.]+", value)
    return True


_TYPES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "text": (lambda value: "\n" not in value, "one line of text"),
    "secret": (lambda value: "\n" not in value, "one line of text"),
    "integer": (_is_whole, "a whole number"),
    "count": (lambda value: _is_whole(value, 1), "a whole number, 1 or more"),
    "number": (_is_number, "a number"),
    "fraction": (lambda value: _is_number(value) and 0 < float(value) <= 1, "a number above 0, up to 1"),
    "port": (lambda value: _is_whole(value, 1, _HIGHEST_PORT), f"a port, 1 to {_HIGHEST_PORT}"),
    "address": (_is_address, "an IP address or a host name"),
}
