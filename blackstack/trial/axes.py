"""What can be switched on a stack, and how its version of the engine wants to be told: the rows of ``axes.yaml``."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, field_validator
from ruamel.yaml import YAML

from blackstack.catalog import Stack
from blackstack.errors import UsageError, nearest
from blackstack.plan import Wishes
from blackstack.trial.cell import Cell, Evidence

_FILE = Path(__file__).with_name("axes.yaml")
_NEWEST = Version("9999")
_Switch = tuple["Axis", str | None]
DEFAULT = "default"  # the label of the stack as it is
DEFAULT_AXIS = "attention"


class Axis(BaseModel):
    """A row of ``axes.yaml``; its head explains the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    engine: Literal["llamacpp", "vllm", "sglang"]
    axis: str
    versions: SpecifierSet = SpecifierSet()
    device: Literal["gpu", "cpu"] | None = None
    extra: str
    values: Mapping[str, str]
    free: tuple[str, ...] = ()
    seen: tuple[str, ...]
    names: Mapping[str, str] = Field(default_factory=dict)
    otherwise: str = ""
    source: str

    @field_validator("versions", mode="before")
    @classmethod
    def _read_versions(cls, text: object) -> SpecifierSet:
        return SpecifierSet(str(text))

    @field_validator("values", mode="before")
    @classmethod
    def _name_values(cls, data: object) -> object:
        return {name: name for name in data} if isinstance(data, list) else data

    @field_validator("seen")
    @classmethod
    def _have_one_group(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [pattern for pattern in patterns if re.compile(pattern).groups != 1]:
            raise ValueError(f"one group each, which is the name: {wrong}")
        return patterns

    def fits(self, stack: Stack) -> bool:
        """Tell whether this row is about the stack's engine, its version and its device."""
        device = "gpu" if stack.x.needs.vram_gib else "cpu"
        return (
            self.engine == stack.x.engine
            and self.device in {None, device}
            and self.versions.contains(_version(stack), prereleases=True)
        )

    def told(self, value: str) -> str:
        """Return what the server is told for a value."""
        return self.extra.replace("{value}", self.values[value])

    def evidence(self, value: str | None) -> Evidence:
        """Return how the log tells what was used; with None whatever it shows is right."""
        asked = None if value in self.free else value
        return Evidence(asked=asked, seen=self.seen, names=dict(self.names), otherwise=self.otherwise)


@functools.cache
def rows() -> tuple[Axis, ...]:
    """Return all rows."""
    return tuple(Axis.model_validate(row) for row in YAML(typ="safe").load(_FILE))


def axes_of(stack: Stack) -> dict[str, Axis]:
    """Return what can be switched on a stack, by name."""
    return {row.axis: row for row in rows() if row.fits(stack)}


def cells(
    stack: Stack, wishes: Wishes, names: Sequence[str], only: Sequence[str] = (), *, cross: bool = False
) -> tuple[Cell, ...]:
    """Return the stack as it is, and then each value of each axis, one at a time.

    Args:
        stack: what is switched.
        wishes: what holds for all of them.
        names: the axes.
        only: of their values, those to try; empty for all.
        cross: each value of each axis with each of the others. An axis of which nothing is in `only` keeps all of its
            values, and one of a single value is left alone as well.

    Raises:
        UsageError: an axis or a value that there is not, or no axis at all.
    """
    there = axes_of(stack)
    if names and not there:
        raise UsageError(
            f"{stack.name} has nothing to switch",
            why=f"its engine, {stack.x.engine}, works in one way only",
            fix="inv stacks   # another one",
        )
    for name in names:
        if name not in there:
            near = nearest(name, there)
            meant = [f"did you mean {near!r}?"] if near else []
            raise UsageError(
                f"no axis called {name!r} on {stack.name}",
                why=f"{stack.x.engine} {stack.x.engine_version or ''}".strip() + f" has: {', '.join(sorted(there))}",
                fix=[*meant, f"inv backends --stack {stack.name} --axis {near or next(iter(there))}"],
            )
    known = {value for name in names for value in there[name].values}
    for value in only:
        if value not in known:
            near = nearest(value, known)
            hint = f"did you mean {near!r}? " if near else ""
            raise UsageError(
                f"no value called {value!r} on {', '.join(names)}", fix=f"{hint}known: {', '.join(sorted(known))}"
            )
    chosen = [[(there[name], value) for value in there[name].values if not only or value in only] for name in names]
    switches: Iterable[Sequence[_Switch]]
    if cross:
        switches = itertools.product(*(_to_cross(there[name], one) for name, one in zip(names, chosen, strict=True)))
    else:
        switches = [[one] for one in itertools.chain(*chosen)]
    default = _cell(stack, wishes, [(there[name], None) for name in names])
    return (default, *filter(lambda cell: cell.about, (_cell(stack, wishes, one) for one in switches)))


def _cell(stack: Stack, wishes: Wishes, switches: Sequence[_Switch]) -> Cell:
    """Return the stack with its switches set; None leaves one as it is, and the log is looked at all the same."""
    set_ = [(axis, value) for axis, value in switches if value is not None]
    words = [axis.told(value) for axis, value in set_]
    return Cell(
        label=" ".join(f"{axis.axis}={value}" for axis, value in set_) or DEFAULT,
        stack=stack.name,
        wishes=replace(wishes, extra=(*wishes.extra, *words)),
        evidence=tuple(axis.evidence(value) for axis, value in switches),
        about=" ".join(words),
    )


def _to_cross(axis: Axis, chosen: Sequence[_Switch]) -> Sequence[_Switch]:
    values = chosen or [(axis, value) for value in axis.values]
    return values if len(axis.values) > 1 else [(axis, None), *values]


def _version(stack: Stack) -> Version:
    try:
        return Version(stack.x.engine_version) if stack.x.engine_version else _NEWEST
    except InvalidVersion:  # a nightly's commit
        return _NEWEST
