"""A step of a plan: one command, as it is run and as a person would type it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from blackstack import shell

StepKind = Literal["build", "pull", "push", "environment", "install", "prepare", "start"]
HIDDEN = "…"  # in the place of a secret


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a plan.

    Attributes:
        kind: what it is for.
        argv: the command.
        env: the variables that it gets on top of ours; they may hold secrets.
        shown: those of them that a person would type, secrets hidden.
    """

    kind: StepKind
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown: Mapping[str, str] = field(default_factory=dict)

    @property
    def typed(self) -> str:
        """The command as a person would type it."""
        return shell.typed(self.argv, self.shown)
