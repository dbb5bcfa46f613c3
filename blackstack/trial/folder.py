"""Where a run keeps its trials: a file each, written whole; a run that was ended goes on where it was."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstack.runtime import proc
from blackstack.trial.cell import Trial

PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """The folder of a run; another plan is another folder.

    Attributes:
        path: where it lies.
        plan: what the run does, as JSON.
    """

    path: Path
    plan: Mapping[str, Any]

    @classmethod
    def of(cls, root: Path, name: str, plan: Mapping[str, Any], *, fresh: bool = False) -> Folder:
        """Open the folder of a plan, making it where it is not there.

        Args:
            root: the repository.
            name: what people call the run, such as ``backends-vllm-cpu``.
            plan: all that decides what the run measures.
            fresh: throw away what an earlier run of the same plan kept.
        """
        digest = hashlib.sha256(json.dumps(plan, sort_keys=True, default=str).encode()).hexdigest()[:12]
        path = root / ".blackstack" / "trials" / f"{_slug(name)}-{digest}"
        if fresh:
            shutil.rmtree(path, ignore_errors=True)
        folder = cls(path=path, plan=plan)
        if not (path / PLAN).is_file():
            proc.write(path / PLAN, {"plan": json.loads(json.dumps(plan, default=str)), "begun_at": proc.now()})
        return folder

    @property
    def begun_at(self) -> str:
        """When the run began, UTC."""
        return str(proc.read(self.path / PLAN).get("begun_at", ""))

    def get(self, label: str) -> Trial | None:
        """Return the trial that is kept; None where there is none, or what is there cannot be read."""
        try:
            return Trial.from_dict(proc.read(self._file(label)))
        except (KeyError, TypeError):
            return None

    def put(self, trial: Trial) -> None:
        """Keep a trial."""
        proc.write(self._file(trial.label), trial.as_dict())

    def _file(self, label: str) -> Path:
        digest = hashlib.sha256(label.encode()).hexdigest()[:8]  # two labels may look alike as file names
        return self.path / f"{_slug(label)}-{digest}.json"


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:80] or "run"
