"""Making records: a measurement and its circumstances become one JSON file."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blackstack.files import write_whole

SCHEMA = 2  # 2: cool-down, gap percentiles' intervals, turns; see `read` for what 1 lacked
LAYERS = ("asked_for", "found_inside", "ran_on")
WIDTH = 118


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measurement with its circumstances.

    Attributes:
        asked_for: stack, profile, overrides, image, workload, seed.
        found_inside: versions asked of the running server, image id, flags.
        ran_on: processor, memory, system, GPUs.
        measured: what the benchmark client returned, with its ``runs``.
        measured_at: UTC.
    """

    asked_for: Mapping[str, Any]
    found_inside: Mapping[str, Any]
    ran_on: Mapping[str, Any]
    measured: Mapping[str, Any]
    measured_at: str = field(default_factory=lambda: datetime.now(tz=UTC).isoformat(timespec="seconds"))

    @property
    def missing(self) -> tuple[str, ...]:
        """The layers that are empty; a result with any is incomplete."""
        return tuple(layer for layer in LAYERS if not getattr(self, layer))

    def as_dict(self) -> dict[str, Any]:
        """Return the record as it is written."""
        return {
            "schema": SCHEMA,
            "measured_at": self.measured_at,
            "complete": not self.missing,
            "missing": list(self.missing),
            "asked_for": dict(self.asked_for),
            "found_inside": dict(self.found_inside),
            "ran_on": dict(self.ran_on),
            **self.measured,
        }


def save(result: Result, path: Path) -> Path:
    """Write the record, whole or not at all, and return where it lies."""
    write_whole(path, pretty(result.as_dict()) + "\n")
    return path


def default_path(folder: Path, name: str, measured_at: str) -> Path:
    """Return a file name that tells what was measured and when, and that is not taken."""
    stamp = re.sub(r"[^0-9T]", "", measured_at.partition("+")[0])
    base = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}-{stamp}.json"
    candidates = (base, *(base.with_stem(f"{base.stem}-{number}") for number in range(2, 1000)))
    return next(path for path in candidates if not path.exists())


def pretty(value: Any, indent: str = "") -> str:  # noqa: ANN401 - JSON is anything
    """Return JSON that people can read and `git diff` can show: what fits in a line stands in one line.

    Two thousand samples are then a few hundred lines and not ten thousand.
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list):
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        items = [f"{deeper}{json.dumps(str(key))}: {pretty(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if any(isinstance(item, dict | list | str) for item in value):
        return "[\n" + ",\n".join(f"{deeper}{pretty(item, deeper)}" for item in value) + f"\n{indent}]"
    lines = textwrap.wrap(line[1:-1], WIDTH - len(deeper), break_on_hyphens=False, break_long_words=False)
    return "[\n" + "\n".join(deeper + each for each in lines) + f"\n{indent}]"
