"""FlashInfer's own story: its wheel holds no binary at all.

Kernels come as cubins in a second wheel, compiled ahead in a third, or from nvcc at the first request; each way fails
in its own manner, and mostly quietly (https://github.com/flashinfer-ai/flashinfer#installation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blackstack.audit.model import Feature, Finding
from blackstack.audit.pins import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.evidence import Environment

FEATURE = "sampling: FlashInfer"
PREBUILT = ("flashinfer-jit-cache", "flashinfer-cubin")
_GATED = (0, 6, 7)  # the first FlashInfer that refuses SM12x below CUDA 12.9 (flashinfer#3675)
_GATE = (12, 9)
_CONSUMER = 12  # the major compute capability of consumer Blackwell
_PROGRAMS = ("nvcc", "ninja")
_WITHOUT = "VLLM_USE_FLASHINFER_SAMPLER=0   # for the sampler only"


def feature(environment: Environment) -> Feature:
    """Return whether its kernels will be there on this GPU, and by which way."""
    version = _version(environment)
    if not version:
        return Feature(FEATURE, "fallback", "FlashInfer is not installed: PyTorch-native sampling, slower, works")
    if others := _of_other_versions(environment, version):
        return Feature(
            FEATURE, "absent", f"{', '.join(others)} beside flashinfer-python {version}: it refuses to start"
        )
    for name in PREBUILT:
        if name in environment.distributions and _covers(environment, name):
            return Feature(FEATURE, "native", f"{name} {environment.distributions[name].version}")
    if missing := _missing(environment):
        what = ", no ".join(missing)
        return Feature(FEATURE, "absent", f"must compile at the first request, but there is no {what}")
    if _gated(environment, version):
        return Feature(FEATURE, "absent", "this FlashInfer refuses to compile for SM12x below CUDA 12.9")
    return Feature(FEATURE, "jit", "compiles with nvcc at the first request: keep ~/.cache/flashinfer")


def findings(environment: Environment) -> Iterator[Finding]:
    """Yield what is wrong with it, under the codes that its failures have in logs."""
    state, version = feature(environment), _version(environment)
    if not version:
        yield Finding(
            code="feature-fallback",
            severity="info",
            title=f"{FEATURE}: {state.detail}",
            fix=("pip install flashinfer-python flashinfer-cubin   # of one version", _WITHOUT),
        )
    elif others := _of_other_versions(environment, version):
        names = [other.split()[0] for other in others]
        yield Finding(
            code="flashinfer-package-version-mismatch",
            severity="error",
            title=f"FlashInfer refuses to start: {', '.join(others)} beside flashinfer-python {version}",
            cause="it compares the versions of its packages when it is imported",
            fix=(
                f"pip install {' '.join(f'{name}=={version}' for name in names)}",
                f"pip uninstall --yes {' '.join(names)}   # then nvcc compiles at the first request",
                "flashinfer-cubin ends at 0.6.13 on PyPI; later ones are on flashinfer.ai/whl",
            ),
            source="https://github.com/vllm-project/vllm/issues/49804",
        )
    elif state.state == "absent" and (missing := _missing(environment)):
        yield Finding(
            code="flashinfer-jit-nvcc-missing",
            severity="warning",
            title=f"{FEATURE}: {state.detail}",
            cause="no package with compiled kernels for this GPU is there, and what compiles them is not either",
            fix=(f"an image with the CUDA toolkit and {', '.join(missing)} inside", _WITHOUT),
            source="https://github.com/vllm-project/vllm/issues/49497",
        )
    elif state.state == "absent":
        yield Finding(
            code="flashinfer-sm12x-needs-cuda129",
            severity="warning",
            title=f"{FEATURE}: {state.detail}",
            cause="shows at run time as «FlashInfer requires GPUs with sm75 or higher»",
            fix=("pip install 'flashinfer-python<=0.6.6'", "or a torch for CUDA 12.9 or newer", _WITHOUT),
            source="https://github.com/flashinfer-ai/flashinfer/issues/3675",
        )


def _version(environment: Environment) -> str:
    found = environment.distributions.get("flashinfer-python") or environment.distributions.get("flashinfer")
    return found.version if found else ""


def _of_other_versions(environment: Environment, version: str) -> list[str]:
    installed = [environment.distributions[name] for name in PREBUILT if name in environment.distributions]
    return [f"{one.name} {one.version}" for one in installed if _public(one.version) != _public(version)]


def _gated(environment: Environment, version: str) -> bool:
    """Does its gate for SM12x (CUDA 12.9) stop it here?"""
    cuda = parse(environment.torch.cuda) if environment.torch and environment.torch.cuda else None
    mine = parse(version)
    if not mine or not cuda or environment.question.gpu[0] != _CONSUMER:
        return False
    return mine.release >= _GATED and cuda.minor < _GATE


def _missing(environment: Environment) -> list[str]:
    """Return what a JIT build lacks in the root."""
    find = environment.target.root.find
    own = [f"{site.split('/lib')[0]}/bin" for site in environment.target.sites]
    folders = ("/usr/bin", "/usr/local/bin", "/usr/local/cuda/bin", *own)
    return [program for program in _PROGRAMS if not any(find(f"{folder}/{program}") for folder in folders)]


def _covers(environment: Environment, name: str) -> bool:
    gpu = "{}.{}".format(*environment.question.gpu)
    report = next((p.report for p in environment.packages if p.report.name == name), None)
    runs = report.runs.get(gpu) if report else None
    return bool(runs and runs.native + runs.ptx)


def _public(version: str) -> str:
    return version.partition("+")[0]
