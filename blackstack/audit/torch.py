"""What ``import torch`` does to a process, read from the torch that is installed.

torch loads its own dependencies in an order of its own, and loads a few libraries that nobody asked for, so
that later extensions find them by name. Both are in its ``__init__.py``, and change with releases (a dict
until 2.9, a list of pairs since 2.10), so they are read there, not remembered here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blackstack.audit.pins import parse

if TYPE_CHECKING:
    from blackstack.audit.process import Problem, Process
    from blackstack.audit.root import Root

_FIELD = r"^{}(?:\s*:[^=\n]+)?\s*=\s*['\"]([^'\"]+)['\"]"
_CALL = re.compile(r"_preload_cuda_\w+\(\s*\"([\w-]+)\"\s*,\s*\"(lib[^\"]+)\"")
_PAIR = re.compile(r"^\s*\(\"([\w-]+)\",\s*\"(lib[^\"]+)\"\)", re.MULTILINE)
_ENTRY = re.compile(r"^\s*\"([\w-]+)\":\s*\"(lib[^\"]+\.so[^\"]*)\"", re.MULTILINE)
_LIBRARIES = ("libtorch_global_deps.so", "libc10.so", "libtorch_cpu.so", "libtorch.so", "libtorch_python.so")


@dataclass(frozen=True)
class Torch:
    """The installed torch: where it is, what it is, what it loads beside itself."""

    folder: str
    version: str
    cuda: str
    always: tuple[tuple[str, str], ...]
    rescue: tuple[tuple[str, str], ...]

    @property
    def minor(self) -> tuple[int, int]:
        """The release whose C++ ABI it has."""
        version = parse(self.version)
        return version.minor if version else (0, 0)

    @property
    def public(self) -> str:
        """The version without the local part: what an index knows."""
        return self.version.partition("+")[0]

    def enter(self, process: Process, sites: tuple[str, ...]) -> list[Problem]:
        """Do what ``import torch`` does; return what stops it."""
        deps = f"{self.folder}/lib/libtorch_global_deps.so"
        present = process.library.root.resolve
        if present(deps):
            trial = process.fork()
            if trial.dlopen(deps, everywhere=True):  # torch then loads its list by path and tries again
                self._preload(process, self.rescue, sites)
            process.dlopen(deps, everywhere=True)
        self._preload(process, self.always, sites)
        python = f"{self.folder}/lib/libtorch_python.so"
        if not present(python):
            python = f"{self.folder}/lib/libtorch.so"
        return process.dlopen(python)

    def _preload(self, process: Process, libraries: tuple[tuple[str, str], ...], sites: tuple[str, ...]) -> None:
        for folder, pattern in libraries:
            for directory in self._places(folder, sites):
                found = process.library.root.glob(directory, pattern)
                if found:
                    process.dlopen(found[0])
                    break

    def _places(self, folder: str, sites: tuple[str, ...]) -> list[str]:
        major = self.cuda.split(".")[0]
        shapes = (f"nvidia/{folder}/lib", f"nvidia/cu{major}/lib", f"{folder}/lib")
        return [f"{site}/{shape}" for site in sites for shape in shapes]


def find_torch(root: Root, sites: tuple[str, ...]) -> Torch | None:
    """Return the first torch on the path; None if there is none with libraries."""
    for site in sites:
        version = (root.read(f"{site}/torch/version.py") or b"").decode("utf-8", "replace")
        found = re.search(_FIELD.format("__version__"), version, re.MULTILINE)
        if not found:
            continue
        source = (root.read(f"{site}/torch/__init__.py") or b"").decode("utf-8", "replace")
        cuda = re.search(_FIELD.format("cuda"), version, re.MULTILINE)
        always = dict.fromkeys([*_CALL.findall(source), *_PAIR.findall(source)])
        return Torch(
            folder=f"{site}/torch",
            version=found[1],
            cuda=cuda[1] if cuda else "",
            always=tuple(always),
            rescue=tuple(dict.fromkeys([*_ENTRY.findall(source), *_PAIR.findall(source)])),
        )
    return None
