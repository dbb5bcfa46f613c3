"""Files of which one is enough: a library for each CUDA, GPU or ffmpeg, and only one is ever opened.

bitsandbytes ships ``libbitsandbytes_cuda118.so`` to ``…_rocm72.so``; that the ROCm ones cannot load on an
NVIDIA machine is nobody's failure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blackstack.audit.arch import Version

_CHOICE = re.compile(
    r"(?P<word>torch(?=\d)|cuda|rocm|hip|xpu|hpu|cpu|musa|npu|sm|ffmpeg|(?<=_)cu|(?<=torchcodec_)\w+?)"
    r"_?(?P<number>\d*)(?P<rest>_nocublaslt)?(?=[./_-]|$)"
)
_TORCH = re.compile(r"(?<=[_-])torch(\d)\.?(\d{1,2})(?=[._-])")
_TAG = re.compile(r"\.(?:cpython-|pypy)(\d)(\d+)[^.]*\.so$")


def group_of(path: str) -> str:
    """Return the name that all alternatives of a file share; empty if PATH names no choice."""
    stem = re.sub(r"\.so[\d.]*$|\.(abi3|cpython)[^/]*$", "", path)
    shared, count = _CHOICE.subn("*", stem)
    return shared if count else ""


def alternatives(paths: Iterable[str]) -> dict[str, str]:
    """Return path → group for the files that have at least one alternative."""
    members: dict[str, list[str]] = {}
    for path in paths:
        group = group_of(path)
        if group:
            members.setdefault(group, []).append(path)
    return {path: group for group, found in members.items() if len(found) > 1 for path in found}


def chosen(paths: Iterable[str], cuda: str, gpu: Version) -> str:
    """Return the member that this CUDA or GPU selects; empty if none says so."""
    digits = cuda.replace(".", "")
    scale: list[tuple[int, str]] = []
    for path in paths:
        for found in _CHOICE.finditer(path):
            number = found["number"]
            if found["word"] in {"cuda", "cu"} and digits and number == digits and not found["rest"]:
                return path
            if found["word"] == "sm" and number and int(number) <= gpu[0] * 10 + gpu[1]:
                scale.append((int(number), path))
    return max(scale)[1] if scale else ""


def torch_of(path: str) -> Version | None:
    """Return the torch that a file's name is for, as in ``…_torch28-cuda.so``."""
    found = _TORCH.search(path)
    return (int(found[1]), int(found[2])) if found else None


def other_python(path: str, python: Version | None) -> bool:
    """Is this an extension module for another CPython? Such a file is never imported."""
    found = _TAG.search(path)
    return bool(found and python) and (int(found[1]), int(found[2])) != python  # type: ignore[index]
