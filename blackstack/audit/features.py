"""What will be there on this GPU: a verdict for each feature of the stack, not for each file.

FlashInfer has a story of its own. Its wheel holds no binary at all: kernels come as cubins in a second
wheel, or compiled ahead in a third, or from nvcc at the first request. Each of these fails in its own way,
and quietly.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from blackstack.audit.model import Feature, Runs
from blackstack.audit.pins import parse
from blackstack.audit.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.evidence import Environment
    from blackstack.audit.model import FileReport, PackageReport
    from blackstack.audit.roles import Role

_GATED = (0, 6, 7)  # the first FlashInfer that refuses SM12x below CUDA 12.9 (flashinfer#3675)
_GATE = (12, 9)
_SAMPLING = "sampling: FlashInfer"


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
        found.append(_flashinfer(environment))
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


def _flashinfer(environment: Environment) -> Feature:
    installed = environment.distributions
    main = installed.get("flashinfer-python") or installed.get("flashinfer")
    if main is None:
        return Feature(_SAMPLING, "fallback", "FlashInfer is not installed: PyTorch-native sampling, slower, works")
    for name, state in (("flashinfer-jit-cache", "native"), ("flashinfer-cubin", "native")):
        if name in installed and _same(installed[name].version, main.version) and _covers(environment, name):
            return Feature(_SAMPLING, "native" if state == "native" else "jit", f"{name} {installed[name].version}")
    missing = list(_compiler(environment))
    if missing:
        return Feature(
            _SAMPLING, "absent", f"must compile at the first request, but there is no {', no '.join(missing)}"
        )
    if gated(environment):
        return Feature(_SAMPLING, "absent", "this FlashInfer refuses to compile for SM12x below CUDA 12.9")
    return Feature(_SAMPLING, "jit", "compiles with nvcc at the first request: keep ~/.cache/flashinfer")


def gated(environment: Environment) -> bool:
    """Does the SM12x gate of FlashInfer (CUDA 12.9) stop it here?"""
    main = environment.distributions.get("flashinfer-python")
    version = parse(main.version) if main else None
    cuda = parse(environment.torch.cuda) if environment.torch and environment.torch.cuda else None
    if not version or not cuda or environment.question.gpu[0] != 12:  # noqa: PLR2004 - consumer Blackwell
        return False
    return version.release >= _GATED and cuda.minor < _GATE


def _compiler(environment: Environment) -> Iterator[str]:
    """Yield what a JIT build lacks in the root."""
    find = environment.target.root.find
    prefixes = [site.split("/lib")[0] for site in environment.target.sites]
    programs = (
        "/usr/bin",
        "/usr/local/bin",
        "/usr/local/cuda/bin",
        *(f"{prefix}/bin" for prefix in prefixes),
    )
    for program in ("nvcc", "ninja"):
        if not any(find(f"{folder}/{program}") for folder in programs):
            yield program


def _covers(environment: Environment, name: str) -> bool:
    gpu = "{}.{}".format(*environment.question.gpu)
    report = next((p.report for p in environment.packages if p.report.name == name), None)
    runs = report.runs.get(gpu) if report else None
    return bool(runs and runs.native + runs.ptx)


def _same(one: str, other: str) -> bool:
    return one.partition("+")[0] == other.partition("+")[0]
