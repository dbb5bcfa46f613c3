"""An engine's rules at one version: `data/engines.yaml`, where each rule has its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from blackstack.errors import UsageError, unknown_name
from blackstack.fit.tables import table
from blackstack.versions import numbers

Printed = Literal["even", "concurrency", "sglang", "cells"]
NEWEST = "999"


@dataclass(frozen=True, kw_only=True)
class Padding:
    """To what a kernel rounds the widths of MXFP4 experts up; the zeros lie in memory and are read like weights."""

    name: str
    hidden: int
    intermediate: int


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What an engine does with a card; the fields are explained at the head of `data/engines.yaml`."""

    name: str
    version: str
    utilisation: float | None
    printed: Printed
    padding: float
    graph_bytes: float
    sampler_bytes: float
    sampler: str
    non_torch_gib: float
    load_gib: float
    in_flight: int
    source: str
    mxfp4: Mapping[str, Padding] = field(default_factory=dict)
    swa_ratio: float = 0.8
    state_blocks: int = 1
    shared_context: bool = False

    @property
    def pinned(self) -> str:
        """The engine as pip writes it."""
        return f"{self.name}=={self.version}" if self.version != NEWEST else self.name

    def expert_padding(self, cc: str) -> Padding:
        """Return how MXFP4 experts are padded on a card of this compute capability."""
        fitting = [padding for prefix, padding in self.mxfp4.items() if cc.startswith(prefix)]
        return fitting[0] if fitting else self.mxfp4["default"]


def engine(pinned: str = "vllm") -> Engine:
    """Return an engine's rules.

    Args:
        pinned: ``vllm``, or with a version: ``vllm==0.23.0``.

    Raises:
        UsageError: no such engine, a version that is none, or one older than the oldest rule.
    """
    name, _, version = pinned.partition("==")
    name, version = name.strip().lower(), version.strip().removeprefix("v") or NEWEST
    rows: list[dict[str, Any]] = table("engines.yaml").get(name)
    if not rows:
        raise unknown_name("engine", name, table("engines.yaml"), see="blackstack/fit/data/engines.yaml")
    if not re.match(r"\d+(\.\d+)*", version):
        raise UsageError(f"--engine {pinned!r}: {version!r} is no version", fix="--engine vllm==0.23.0")
    holding = [row for row in rows if numbers(row["from"]) <= numbers(version)]
    if not holding:
        raise UsageError(
            f"the rules of {name} begin with version {rows[0]['from']}", why=f"asked for: {version}", fix="a newer one"
        )
    merged: dict[str, Any] = {}
    for row in holding:
        merged |= row
    merged.pop("from")
    paddings = {str(prefix): Padding(**padding) for prefix, padding in merged.pop("mxfp4").items()}
    share = merged.pop("utilisation")
    return Engine(
        name=name, version=version, utilisation=None if share == "auto" else float(share), mxfp4=paddings, **merged
    )
