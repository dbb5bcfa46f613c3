"""Findings about LOADS: what the dynamic linker or torch's ABI would refuse."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from blackstack.audit import remedies
from blackstack.audit.demangle import demangle, overload_prefix
from blackstack.audit.model import Finding
from blackstack.audit.symbols import is_torch_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstack.audit.evidence import Environment, Evidence, Package
    from blackstack.audit.process import Problem

_SHOWN = 3  # names or files in one finding; the JSON has them all
_VERIFY = "python -m blackstack.audit --site SITE"


def findings(environment: Environment) -> Iterator[Finding]:
    """Yield them: torch first, and if torch itself is broken nobody else is blamed."""
    if environment.torch is not None and environment.torch_problems:
        yield _torch_broken(environment)
    yield from _unreadable(environment)
    yield from _libraries(environment)
    yield from _versions(environment)
    if not environment.torch_problems:
        yield from (f for package in environment.packages for f in _abi(environment, package))
    yield from _symbols(environment)


def _required(package: Package) -> Iterator[Evidence]:
    needed = {report.path for report in package.report.files if report.required}
    yield from (file for file in package.files if any(file.path.endswith(f"/{path}") for path in needed))


def _title(package: Package) -> str:
    return f"{package.distribution.name} {package.distribution.version}".strip()


def _torch_broken(environment: Environment) -> Finding:
    torch = environment.torch
    problem = environment.torch_problems[0]
    assert torch is not None  # noqa: S101 - the caller looked
    provider = PurePosixPath(problem.file).name
    if problem.kind == "library":
        title = f"torch {torch.version} does not load: {problem.name} is missing"
        fix = remedies.fix(problem.name, torch.cuda)
    elif problem.kind == "unreadable":
        title = f"torch {torch.version} does not load: {provider}: {problem.detail}"
        fix = f"pip install --force-reinstall --no-cache-dir torch=={torch.public}"
    else:
        title = f"torch {torch.version} does not load: {provider} and its libraries are not of one release"
        fix = f"pip install --force-reinstall torch=={torch.public}   # with the NVIDIA wheels it pins"
    return Finding(
        code="torch-broken",
        severity="error",
        title=title,
        evidence=tuple(dict.fromkeys(_sentence(p) for p in environment.torch_problems))[:_SHOWN],
        cause="nothing that uses torch can load while torch cannot; extensions are judged when it does",
        fix=(fix,),
        verify=_VERIFY,
    )


def _unreadable(environment: Environment) -> Iterator[Finding]:
    for package in environment.packages:
        bad = [p for file in package.files for p in file.problems if p.kind == "unreadable"]
        if bad:
            yield Finding(
                code="unreadable-file",
                severity="error",
                title=f"{_title(package)} has a file that cannot be read: {PurePosixPath(bad[0].name).name}",
                evidence=tuple(dict.fromkeys(f"{p.name}: {p.detail}" for p in bad))[:_SHOWN],
                cause="an interrupted download or copy, or a full disk while it was unpacked",
                fix=(f"pip install --force-reinstall --no-cache-dir {package.distribution.name}",),
                verify=_VERIFY,
            )


def _libraries(environment: Environment) -> Iterator[Finding]:
    """One finding for each missing library, whoever wants it; torch's own have one cause together."""
    wanted = _missing(environment)
    of_torch = [name for name in wanted if name.startswith(("libtorch", "libc10"))]
    of_cuda_torch = [name for name in of_torch if remedies.needs_cuda_torch(name)]
    if environment.torch is None and of_torch:
        yield _no_torch(environment, [each for name in of_torch for each in wanted.pop(name)])
    elif of_cuda_torch:
        yield _cpu_torch(environment, of_cuda_torch[0], [each for n in of_cuda_torch for each in wanted.pop(n)])
    for library, found in wanted.items():
        yield _library(environment, library, found)


def _missing(environment: Environment) -> dict[str, list[tuple[Package, Problem]]]:
    """Return who misses which library."""
    wanted: dict[str, list[tuple[Package, Problem]]] = {}
    for package in environment.packages:
        if package.distribution.name == "torch" and environment.torch_problems:
            continue
        for file in _required(package):
            for problem in file.problems:
                if problem.kind == "library":
                    wanted.setdefault(problem.name, []).append((package, problem))
    return wanted


def _library(environment: Environment, library: str, found: list[tuple[Package, Problem]]) -> Finding:
    cuda = environment.torch.cuda if environment.torch else ""
    packages = list(dict.fromkeys(_title(package) for package, _ in found))
    subject = f"{packages[0]} does not load" if len(packages) == 1 else f"{len(packages)} packages do not load"
    evidence = tuple(dict.fromkeys(_sentence(problem) for _, problem in found))[:_SHOWN]
    major = remedies.cuda_major(library)
    if major and cuda and major != int(cuda.split(".")[0]):
        return Finding(
            code="cuda-mix",
            severity="error",
            title=f"{subject}: built for CUDA {major}, but torch is built for CUDA {cuda}",
            evidence=evidence,
            cause=f"{library} belongs to CUDA {major}; the CUDA of this torch is {cuda}",
            fix=(_other_build(environment, packages[0], major),),
            verify=_VERIFY,
        )
    return Finding(
        code="missing-library",
        severity="error",
        title=f"{subject}: {library} is missing",
        evidence=evidence,
        cause=f"it is in no place where the dynamic linker looks; wanted by {', '.join(packages)}",
        fix=(remedies.fix(library, cuda),),
        verify=_VERIFY,
    )


def _no_torch(environment: Environment, found: list[tuple[Package, Problem]]) -> Finding:
    packages = list(dict.fromkeys(_title(package) for package, _ in found))
    demands = [r.text for package, _ in found for r in package.distribution.requires if r.name == "torch"]
    wanted = demands[0].partition(";")[0].strip() if demands else "torch"
    return Finding(
        code="torch-missing",
        severity="warning" if environment.target.partial else "error",
        title=f"{', '.join(packages)}: needs torch, and there is none",
        evidence=tuple(dict.fromkeys(_sentence(problem) for _, problem in found))[:_SHOWN],
        cause="what it loads can be judged only beside a torch",
        fix=(f"pip install '{wanted}'",),
        verify=_VERIFY,
    )


def _cpu_torch(environment: Environment, library: str, found: list[tuple[Package, Problem]]) -> Finding:
    packages = list(dict.fromkeys(_title(package) for package, _ in found))
    version = environment.torch.version if environment.torch else "?"
    public = version.partition("+")[0]
    consequence = ""
    if any(package.distribution.name == "torchvision" for package, _ in found):
        consequence = "; it shows as «operator torchvision::nms does not exist»"
    return Finding(
        code="torch-without-cuda",
        severity="error",
        title=f"{', '.join(packages)}: built for torch with CUDA, but torch {version} has none",
        evidence=tuple(dict.fromkeys(_sentence(problem) for _, problem in found))[:_SHOWN],
        cause=f"{library} is part of CUDA builds of torch only; a pin such as torch=={public} "
        f"is met by a +cpu build as well{consequence}",
        fix=(f"pip install --force-reinstall torch=={public}   # a CUDA build, without +cpu",),
        verify=_VERIFY,
    )


def _other_build(environment: Environment, package: str, major: int) -> str:
    name = package.partition(" ")[0]
    cuda = environment.torch.cuda.split(".")[0] if environment.torch else "?"
    return f"pip install --upgrade {name}   # a build for CUDA {cuda}; or a torch built for CUDA {major}"


def _versions(environment: Environment) -> Iterator[Finding]:
    for package in environment.packages:
        problems = [p for file in _required(package) for p in file.problems if p.kind == "version"]
        if problems:
            library = PurePosixPath(problems[0].detail).name
            yield Finding(
                code="library-too-old",
                severity="error",
                title=f"{_title(package)} does not load: {library} is too old, {problems[0].name} is missing",
                evidence=tuple(dict.fromkeys(_sentence(p) for p in problems))[:_SHOWN],
                cause="it was built on a newer system than the one it is in",
                fix=("use a newer base image, or a wheel for an older manylinux",),
                verify=_VERIFY,
            )


def _abi(environment: Environment, package: Package) -> Iterator[Finding]:
    lock, torch = package.lock, environment.torch
    if lock is None or torch is None or lock.loads == "ok":
        return
    missing = list(
        dict.fromkeys(p.name for f in package.files for p in f.problems if p.kind == "symbol" and is_torch_name(p.name))
    )
    built = lock.built_for
    install = f"pip install 'torch=={built}'" if "*" in built else f"pip install torch=={built}"
    name = package.distribution.name
    rebuild = f"pip install --no-build-isolation --no-binary {name} {name}   # or build it for this torch"
    if lock.loads == "risk":
        yield Finding(
            code="abi-lock",
            severity="warning",
            title=f"{_title(package)} may not work with torch {torch.version}",
            evidence=(lock.reason,),
            cause="C++ extensions are bound to the torch they were compiled with; names alone do not show it",
            fix=(install, rebuild) if built else (rebuild,),
            verify=f"python -c 'import {package.distribution.name.replace('-', '_')}'",
        )
    elif missing:
        yield Finding(
            code="abi-undefined-symbol",
            severity="error",
            title=f"{_title(package)} does not load with torch {torch.version}: undefined symbol"
            + (f"; it was built with torch {built}" if built else ""),
            evidence=tuple(line for name in missing[:_SHOWN] for line in _wants(name, environment.torch_exports)),
            cause=lock.reason,
            fix=(install, rebuild) if built else (rebuild,),
            verify=_VERIFY,
        )
    else:
        yield Finding(
            code="abi-layout",
            severity="error",
            title=f"{_title(package)} aborts inside dlopen with torch {torch.version}, with no traceback"
            + (f"; it was built with torch {built}" if built else ""),
            evidence=(lock.reason, "every symbol resolves, so no error will name the cause"),
            cause="torch changed the layout of its classes under unchanged names",
            fix=(install, rebuild) if built else (rebuild,),
            verify=_VERIFY,
            source="https://github.com/pytorch/pytorch/issues/160657",
        )


def _wants(name: str, exports: tuple[str, ...]) -> Iterator[str]:
    yield f"wants {demangle(name)}   [{name}]"
    prefix = overload_prefix(name)
    near = [demangle(other) for other in exports if prefix and other.startswith(prefix)]
    if near:
        yield f"torch has {near[0]}"


def _symbols(environment: Environment) -> Iterator[Finding]:
    """Unresolved names that are nobody's torch: a library of the wrong release."""
    for package in environment.packages:
        if package.distribution.name == "torch" and environment.torch_problems:
            continue
        names = list(
            dict.fromkeys(
                _sentence(p)
                for file in _required(package)
                for p in file.problems
                if p.kind in {"symbol", "machine"} and not is_torch_name(p.name)
            )
        )
        if names:
            yield Finding(
                code="undefined-symbol",
                severity="error",
                title=f"{_title(package)} does not load: nothing that it loads defines what it wants",
                evidence=tuple(names[:_SHOWN]),
                cause="a library beside it is of another release, or the package opens one in its own way",
                fix=(f"pip install --force-reinstall {package.distribution.name}   # with what it pins",),
                verify=_VERIFY,
            )


def _sentence(problem: Problem) -> str:
    where = PurePosixPath(problem.file).name
    if problem.kind == "library":
        return f"ImportError: {problem.name}: cannot open shared object file (wanted by {where})"
    if problem.kind == "version":
        return f"{where} wants {problem.name} of {problem.detail}"
    if problem.kind == "symbol":
        at = f"@{problem.detail}" if problem.detail else ""
        return f"{where} wants {demangle(problem.name)}{at}"
    return f"{where}: {problem.detail}"
