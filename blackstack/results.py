"""The record of a measurement: what was asked for, what was found inside, what it ran on, and what came out.

One JSON file a run. The three layers stand side by side, because any one of them alone has misled people; a record
that lacks one says so, and is no baseline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = 1
LAYERS = ("asked_for", "found_inside", "ran_on")


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
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_text(json.dumps(result.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def default_path(folder: Path, name: str, measured_at: str) -> Path:
    """Return a file name that tells what was measured and when, and that is not taken."""
    stamp = re.sub(r"[^0-9T]", "", measured_at.partition("+")[0])
    base = folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}-{stamp}.json"
    candidates = (base, *(base.with_stem(f"{base.stem}-{number}") for number in range(2, 1000)))
    return next(path for path in candidates if not path.exists())
