"""What differs between two records: in the work that was asked for, and in the three layers around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from blackstack.bench import Workload
from blackstack.results import LAYERS, Record

# How often and how carefully somebody looked is no part of the work.
NOT_WORK: Final = frozenset(
    {"concurrency", "sweep_to", "repeats", "workers", "look_around", "quality", "timeout_s", "check_tokens"}
)
DEFAULTS: Final = {field.name: field.default for field in fields(Workload)}
LIMITS: Final = "slo_"  # what a request should keep changes nothing of what it does
# What is another at each start, or a measurement itself.
PASSING: Final = frozenset({"found_inside.start_up_seconds", "found_inside.salt", "created", "container", "pid"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One value that is not the same; ``None`` stands for «not there»."""

    name: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.a)} → {_shown(self.b)}"


def of_work(a: Record, b: Record) -> tuple[Difference, ...]:
    """Return what makes two workloads unlike. A key that an older version did not have yet counts as its default."""
    works = [{**DEFAULTS, **record.workload} for record in (a, b)]
    keys = [key for key in {**works[0], **works[1]} if key not in NOT_WORK and not key.startswith(LIMITS)]
    return tuple(
        Difference(name=key, a=works[0].get(key), b=works[1].get(key))
        for key in keys
        if works[0].get(key) != works[1].get(key)
    )


def of_layers(a: Record, b: Record) -> tuple[Difference, ...]:
    """Return every value in which the layers differ, named by its path, such as ``ran_on.cpu``."""
    flat = [dict(_flat(record.layers, "")) for record in (a, b)]
    return tuple(
        Difference(name=name, a=flat[0].get(name), b=flat[1].get(name))
        for name in sorted({**flat[0], **flat[1]}, key=_by_layer)
        if flat[0].get(name) != flat[1].get(name) and not _passes(name)
    )


def _flat(value: object, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name}[{index}]")
    else:
        yield name, value


def _passes(name: str) -> bool:
    return name.rpartition(".")[2] in PASSING or any(name.startswith(f"{one}.") for one in PASSING)


def _by_layer(name: str) -> tuple[int, str]:
    return LAYERS.index(name.partition(".")[0]), name


def _shown(value: object) -> str:
    return "(not there)" if value is None else str(value)
