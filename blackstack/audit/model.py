"""The words of an audit: verdicts, reports and findings, and the JSON that stays stable.

Two answers are never folded into one: LOADS (will the dynamic linker and torch take it?) and RUNS ON (is
there code for this GPU?).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blackstack.audit.arch import Version

Loads = Literal["ok", "risk", "fail"]
Severity = Literal["error", "warning", "info"]

_ORDER: tuple[Loads, ...] = ("ok", "risk", "fail")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is wrong, how we know, and how to mend it: the shape that doctor and diagnose use too."""

    code: str
    severity: Severity
    title: str
    evidence: tuple[str, ...] = ()
    cause: str = ""
    fix: tuple[str, ...] = ()
    verify: str = ""
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready data."""
        return asdict(self)


@dataclass(frozen=True)
class Runs:
    """How many translation units have code for one GPU, and how it gets there."""

    native: int = 0
    ptx: int = 0
    none: int = 0
    other_chips: int = 0  # of `none`: written for chosen chips only, so absent by design

    @property
    def total(self) -> int:
        """All units with GPU code."""
        return self.native + self.ptx + self.none

    def __add__(self, other: Runs) -> Runs:
        return Runs(
            self.native + other.native,
            self.ptx + other.ptx,
            self.none + other.none,
            self.other_chips + other.other_chips,
        )

    def as_dict(self) -> dict[str, int]:
        """Return the counts as JSON-ready data."""
        return asdict(self) | {"total": self.total}


@dataclass(frozen=True)
class FileReport:
    """One shared library or loose cubin."""

    path: str
    loads: Loads
    reasons: tuple[str, ...] = ()
    required: bool = True
    group: str = ""
    runs: Mapping[str, Runs] = field(default_factory=dict)
    uncovered: tuple[str, ...] = ()  # kernels without code for the GPU asked about

    def as_dict(self) -> dict[str, Any]:
        """Return the file's report as JSON-ready data."""
        return {
            "loads": self.loads,
            "reasons": list(self.reasons),
            "required": self.required,
            "group": self.group,
            "runs": {gpu: runs.as_dict() for gpu, runs in self.runs.items()},
            "uncovered": list(self.uncovered),
        }


@dataclass(frozen=True)
class PackageReport:
    """One distribution with binaries."""

    name: str
    version: str
    loads: Loads
    files: tuple[FileReport, ...]
    runs: Mapping[str, Runs]
    built_for: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the package's report as JSON-ready data."""
        return {
            "version": self.version,
            "loads": self.loads,
            "built_for": self.built_for,
            "files": {file.path: file.as_dict() for file in self.files},
            "runs": {gpu: runs.as_dict() for gpu, runs in self.runs.items()},
        }


@dataclass(frozen=True)
class Feature:
    """One thing that a stack can do on this GPU, or what it does instead."""

    name: str
    state: Literal["native", "jit", "fallback", "absent"]
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """A whole audit."""

    root: str
    gpu: Version
    torch: Mapping[str, str]
    packages: tuple[PackageReport, ...]
    features: tuple[Feature, ...] = ()
    findings: tuple[Finding, ...] = ()
    expected: tuple[str, ...] = ()  # libraries that the driver will bring

    @property
    def blocked(self) -> bool:
        """Is there something that the stack needs and will not get?"""
        return any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON-ready data; these keys are an interface."""
        return {
            "schema": 1,
            "root": self.root,
            "gpu": f"{self.gpu[0]}.{self.gpu[1]}",
            "torch": dict(self.torch),
            "packages": {package.name: package.as_dict() for package in self.packages},
            "features": [asdict(feature) for feature in self.features],
            "expected_from_driver": list(self.expected),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def worst(verdicts: Iterable[Loads]) -> Loads:
    """Return the worst of some verdicts."""
    return max(verdicts, key=_ORDER.index, default="ok")
