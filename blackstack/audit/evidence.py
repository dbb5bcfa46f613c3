"""What an audit saw, before anybody draws a conclusion: the facts that verdicts and findings share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from blackstack.audit.abi import Lock
    from blackstack.audit.arch import Version
    from blackstack.audit.coverage import Coverage
    from blackstack.audit.dists import Distribution, Site
    from blackstack.audit.model import PackageReport
    from blackstack.audit.process import Problem
    from blackstack.audit.target import Target
    from blackstack.audit.torch import Torch


@dataclass(frozen=True)
class Question:
    """What the audit is for."""

    gpu: Version = (12, 0)
    driver: Version | None = None


@dataclass
class Evidence:
    """What was seen of one file before it is judged."""

    path: str
    host: Path
    problems: list[Problem] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    needed: tuple[str, ...] = ()
    loadable: bool = False
    cover: Coverage | None = None


@dataclass(frozen=True)
class Package:
    """A distribution with all that was seen of its files, and the verdict."""

    distribution: Distribution
    files: tuple[Evidence, ...]
    report: PackageReport
    lock: Lock | None


@dataclass(frozen=True)
class Environment:
    """Everything that was seen; the findings are drawn from this."""

    target: Target
    question: Question
    torch: Torch | None
    torch_problems: tuple[Problem, ...]
    sites: tuple[Site, ...]
    packages: tuple[Package, ...]
    expected: tuple[str, ...]
    torch_exports: tuple[str, ...] = ()

    @property
    def distributions(self) -> dict[str, Distribution]:
        """All installed distributions; the first folder on the path wins."""
        return {n: d for site in reversed(self.sites) for n, d in site.distributions.items()}


def describe(problem: Problem) -> str:
    """Say a problem as ld.so would, with the file that really has it."""
    where = PurePosixPath(problem.file).name
    match problem.kind:
        case "library":
            return f"{problem.name}: not found (wanted by {where})"
        case "version":
            return f"{problem.name} not defined in {problem.detail} (wanted by {where})"
        case "symbol":
            at = f"@{problem.detail}" if problem.detail else ""
            return f"undefined symbol: {problem.name}{at} (wanted by {where})"
        case "machine":
            return f"{where}: {problem.detail}"
        case _:
            return f"{PurePosixPath(problem.name).name}: {problem.detail}"
