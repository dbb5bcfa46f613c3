"""Findings about RUNS ON: code for this GPU that is missing, or that the driver cannot compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackstack.audit import flashinfer
from blackstack.audit.demangle import demangle
from blackstack.audit.features import features
from blackstack.audit.model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.evidence import Environment, Package

_KERNELS = 4


def findings(environment: Environment) -> Iterator[Finding]:
    """Yield them: torch, then extensions, then the features that fall back."""
    gpu = "{}.{}".format(*environment.question.gpu)
    for package in environment.packages:
        runs = package.report.runs.get(gpu)
        if runs is None or package.distribution.name.startswith(("nvidia-", "cuda-")):
            continue
        if package.distribution.name == "torch" and not runs.native + runs.ptx:
            yield _no_torch(environment, package, gpu)
        elif runs.none > runs.other_chips:
            yield _gaps(package, gpu)
        yield from _driver(environment, package)
    if environment.torch and not environment.torch.cuda:
        yield Finding(
            code="torch-cpu-only",
            severity="warning",
            title=f"torch {environment.torch.version} has no CUDA: nothing runs on a GPU",
            fix=(f"pip install --force-reinstall torch=={environment.torch.public}   # without +cpu",),
        )
    yield from _features(environment)


def _archs(package: Package) -> str:
    found = sorted({arch for file in package.files if file.cover for arch in file.cover.archs}, key=_by_number)
    return ", ".join(found)


def _by_number(arch: str) -> tuple[str, int, str]:
    kind, _, number = arch.partition("_")
    digits = "".join(c for c in number if c.isdigit())
    return (kind != "sm" and kind) or "", int(digits or 0), number


def _no_torch(environment: Environment, package: Package, gpu: str) -> Finding:
    version = package.distribution.version
    return Finding(
        code="no-kernel-image",
        severity="error",
        title=f"torch {environment.torch.version if environment.torch else version} has no code for compute "
        f"capability {gpu}: «no kernel image is available for execution on the device»",
        evidence=(f"it has {_archs(package)}",),
        cause="this build of torch was compiled for older GPUs only; sm_120 needs a CUDA 12.8 build or newer",
        fix=(
            f"pip install torch=={version.partition('+')[0]}+cu128   # from torch's own index for cu128",
            "pip install --upgrade torch   # since 2.8 the default build has sm_120",
        ),
        verify="python -c 'import torch; print(torch.cuda.get_arch_list())'",
    )


def _gaps(package: Package, gpu: str) -> Finding:
    runs = package.report.runs[gpu]
    kernels = dict.fromkeys(demangle(name).partition("(")[0] for f in package.report.files for name in f.uncovered)
    alone, name = not runs.native + runs.ptx, package.distribution.name
    return Finding(
        code="no-kernel-image" if alone else "kernels-missing",
        severity="warning" if alone else "info",
        title=f"{package.distribution.name} {package.distribution.version} has "
        + (f"no code for {gpu}" if alone else f"code for {gpu} in {runs.native + runs.ptx} of {runs.total} units")
        + (f"; {runs.other_chips} are for other chips by design" if runs.other_chips else ""),
        evidence=(
            f"it has {_archs(package)}",
            *(f"without code: {name}" for name in list(kernels)[:_KERNELS]),
        ),
        cause="calling one of them stops with «no kernel image is available for execution on the device»",
        fix=(f"TORCH_CUDA_ARCH_LIST={gpu} pip install --no-build-isolation --no-binary {name} {name}",),
    )


def _driver(environment: Environment, package: Package) -> Iterator[Finding]:
    needs = [file.cover.too_new for file in package.files if file.cover and file.cover.too_new]
    if needs and environment.question.driver:
        required = {report.path for report in package.report.files if report.required}
        alone = any(
            file.cover and file.cover.too_new and not file.cover.runs.native + file.cover.runs.ptx
            for file in package.files
            if any(file.path.endswith(f"/{path}") for path in required)
        )
        cuda = "{}.{}".format(*max(needs))
        have = "{}.{}".format(*environment.question.driver)
        yield Finding(
            code="driver-too-old-for-ptx",
            severity="error" if alone else "warning",
            title=f"{package.distribution.name} {package.distribution.version} needs a driver to compile it, "
            f"and it is too old: PTX of CUDA {cuda}, driver of CUDA {have}",
            evidence=("the provided PTX was compiled with an unsupported toolchain",),
            cause="without a cubin for this GPU, PTX is compiled, and PTX must not be newer than the driver",
            fix=(f"install a driver for CUDA {cuda} or newer", f"or use a build for CUDA {have}"),
        )


def _features(environment: Environment) -> Iterator[Finding]:
    found = features(environment)
    for feature in found:
        if feature.state in {"native", "jit"} or feature.name == flashinfer.FEATURE:
            continue
        yield Finding(
            code=f"feature-{feature.state}",
            severity="warning" if feature.state == "absent" else "info",
            title=f"{feature.name}: {feature.detail}",
            fix=(feature.fix,) if feature.fix else (),
        )
    if any(feature.name == flashinfer.FEATURE for feature in found):
        yield from flashinfer.findings(environment)
