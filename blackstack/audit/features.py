"""What will be there on this GPU: a verdict for each feature of the stack, not for each file."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from blackstack.audit import flashinfer
from blackstack.audit.model import Feature, Runs
from blackstack.audit.roles import ROLES

if TYPE_CHECKING:
    from blackstack.audit.evidence import Environment
    from blackstack.audit.model import FileReport, PackageReport
    from blackstack.audit.roles import Role


def features(environment: Environment) -> tuple[Feature, ...]:
    """Return the verdicts for everything that is installed."""
    gpu = "{}.{}".format(*environment.question.gpu)
    found = [
        _of_files(role, package.report, files, gpu)
        for role in ROLES
        for package in environment.packages
        if fnmatchcase(package.report.name, role.packages)
        and (files := [f for f in package.report.files if _carries(role, f)])
    ]
    engines = {"vllm", "sglang", "sgl-kernel", "sglang-kernel"} & set(environment.distributions)
    if engines or "flashinfer-python" in environment.distributions:
        found.append(flashinfer.feature(environment))
    return tuple(found)


def _carries(role: Role, file: FileReport) -> bool:
    return any(fnmatchcase(file.path, pattern) for pattern in role.files)


def _of_files(role: Role, package: PackageReport, files: list[FileReport], gpu: str) -> Feature:
    name = f"{package.name} · {role.feature}"
    usable = [file for file in files if file.loads != "fail"]
    if not usable:
        return Feature(name, "absent", f"does not load; {role.otherwise}", role.fix)
    picked = [file for file in usable if file.required or not file.group] or usable
    runs = sum((file.runs[gpu] for file in picked if gpu in file.runs), Runs())
    counts = f"{runs.native + runs.ptx} of {runs.total} units"
    if runs.native:
        return Feature(name, "native", counts)
    if runs.ptx:
        return Feature(name, "jit", f"{counts}, compiled from PTX by the driver: slow first start")
    return Feature(name, "fallback", f"no code for {gpu}: {role.otherwise}", role.fix)
