"""`stages.yaml` → the stages of a start, and which of them a log has come to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from blackstack.diagnose.entries import Entry, Searched, Words
from blackstack.errors import UsageError

STAGES = Path(__file__).with_name("stages.yaml")

FIRST = "import"
"""The stage in which an engine is before it has said anything."""

LAST = "first-completion"
"""The stage in which the server has been asked."""

SERVING = ("serving", LAST)
"""The stages from which on a warning of the start is only a warning."""


class Stage(Entry):
    """A step of a server's start.

    Attributes:
        name: its slug.
        say: what is done there.
        budget_s: seconds after which it is slow.
        slow: what that has meant.
        seen: by engine, the log lines with which it begins.
    """

    name: str = Field(pattern=r"^[a-z]+(-[a-z]+)*$")
    say: Words
    budget_s: float = Field(gt=0)
    slow: Words
    seen: Mapping[Literal["vllm", "sglang", "llamacpp"], tuple[Searched, ...]] = {}

    @property
    def lines(self) -> tuple[str, ...]:
        """The patterns of all engines; what one prints no other does."""
        return tuple(regex for patterns in self.seen.values() for regex in patterns)

    @cached_property
    def begins(self) -> re.Pattern[str] | None:
        """All patterns in one; None for a stage that no log line announces."""
        return re.compile("|".join(f"(?:{regex})" for regex in self.lines), re.IGNORECASE) if self.lines else None


@lru_cache(maxsize=1)
def load(path: Path = STAGES) -> tuple[Stage, ...]:
    """Read and check the file.

    Raises:
        UsageError: with every fault of the file, a line each.
    """
    try:
        found = TypeAdapter(tuple[Stage, ...]).validate_python(YAML(typ="safe", pure=True).load(path))
    except ValidationError as error:
        why = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise UsageError(f"{path.name} has {len(why)} fault(s)", why=why, fix="see the comment at its top") from error
    names = [stage.name for stage in found]
    if missing := [name for name in (FIRST, *SERVING) if name not in names]:
        raise UsageError(f"{path.name} lacks the stages {', '.join(missing)}")
    return found


def by_name() -> dict[str, Stage]:
    """Return the stages under their names."""
    return {stage.name: stage for stage in load()}


def entered(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the stages that these lines of a log announce, in the order of a start.

    >>> entered(["INFO [gpu_model_runner.py:2602] Starting to load model gpt-oss-20b..."])
    ('weights',)
    """
    text = "\n".join(lines)
    return tuple(stage.name for stage in load() if stage.begins and stage.begins.search(text))
