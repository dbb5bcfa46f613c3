"""Look at an environment after each pip step of a build, and stop the build where it is not what was asked for.

    gate.py check --torch 2.8.0 --cuda 12.8 --version vllm=0.11.0 --file 'vllm/_C.*.so'
    gate.py seal  --torch 2.8.0 … --gpu 12.0 --audit /audit --base IMAGE --out /etc/blackstack-seal.json

A step that «succeeded» is not believed: an index may serve another torch, a later package may bring its own, and a
tag may build as the version after it (v0.11.0 that calls itself 0.11.1.dev0). ``check`` reads files only. ``seal``
checks again, has the static audit look at the whole image where the build was given it, and writes down what was
built against what. Standard library only; run by the environment's own Python. Every fault is said at once; exit
code 1. The same file lies in every folder that needs it; a test holds them together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SITE = Path(sysconfig.get_paths()["purelib"])
CONSTRAINTS = Path("/opt/blackstack/constraints.txt")
NOT_RUN = "not run: the build was given no `audit` context"


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(argv)
    packages = installed()
    faults = [*torch_faults(options, packages), *version_faults(options, packages), *file_faults(options)]
    faults += moved(packages, pins(options.constraints))
    if not faults and options.command == "seal":
        audit, faults = audited(options)
        record = {**built(options, packages), "audit": audit}
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for fault in faults:
        sys.stderr.write(f"gate stopped the build: {fault}\n")
    if not faults:
        sys.stdout.write(f"gate: {len(packages)} packages are what was asked for\n")
    return int(bool(faults))


def installed() -> dict[str, str]:
    """Return the version of every package of this environment, by its normal name."""
    found = metadata.distributions(path=[str(SITE)])
    return dict(sorted((_normal(one.metadata["Name"]), one.version) for one in found))


def pins(path: Path) -> dict[str, str]:
    """Return what the constraints allow: a version for each name."""
    lines = path.read_text(encoding="utf-8")
    return {_normal(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", lines, re.MULTILINE)}


def torch_faults(options: argparse.Namespace, packages: dict[str, str]) -> Iterator[str]:
    """Hold torch against the version and the CUDA that were asked for, from its own file: an index may rename it."""
    found = packages.get("torch", "not installed")
    told = torch_tells()
    if _public(found) != options.torch:
        yield f"torch is {found}, {options.torch} was asked for"
    elif _public(told.get("__version__", "")) != options.torch:
        yield f"torch says of itself that it is {told.get('__version__') or 'nothing'}, {options.torch} was asked for"
    elif told.get("cuda") != options.cuda:
        yield f"torch {told['__version__']} is built for CUDA {told.get('cuda') or 'none'}, not {options.cuda}"


def torch_tells() -> dict[str, str]:
    """Return what torch/version.py says: ``__version__``, ``cuda``, ``git_version``; nothing where it is not there."""
    path = SITE / "torch" / "version.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return dict(re.findall(r"^(\w+)(?:\s*:[^=\n]+)?\s*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE))


def version_faults(options: argparse.Namespace, packages: dict[str, str]) -> Iterator[str]:
    """Hold each package that was named against its version."""
    for name, wanted in options.version:
        found = packages.get(_normal(name), "not installed")
        if _public(found) != wanted:
            yield f"{name} is {found}, {wanted} was asked for"


def file_faults(options: argparse.Namespace) -> Iterator[str]:
    """Look for the compiled parts: a wheel without them installs like any other."""
    for pattern in options.file:
        if not any(SITE.glob(pattern)):
            yield f"no file {pattern} in {SITE}: the package was built without its compiled part"


def moved(packages: dict[str, str], allowed: dict[str, str]) -> Iterator[str]:
    """Hold everything against the constraints: nothing may have moved, nothing may have slipped in."""
    for name, version in packages.items():
        if name not in allowed:
            yield f"{name} {version} is in no line of the constraints"
        elif _public(version) != _public(allowed[name]):
            yield f"{name} is {version}, the constraints say {allowed[name]}"


def built(options: argparse.Namespace, packages: dict[str, str]) -> dict[str, object]:
    """Return what was built against what."""
    told = torch_tells()
    return {
        "asked": {"torch": options.torch, "cuda": options.cuda, **dict(options.version), "gpu": options.gpu},
        "base_image": options.base,
        "python": platform.python_version(),
        "torch": {
            "version": told.get("__version__"),
            "cuda": told.get("cuda"),
            "git": told.get("git_version"),
            "architectures": architectures(),
        },
        "packages": packages,
    }


def architectures() -> list[str]:
    """Ask torch which GPUs its own code was compiled for; it needs no GPU for the answer."""
    code = "import torch; print(torch._C._cuda_getArchFlags() or '')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.split() if done.returncode == 0 else [f"unknown: {done.stderr.strip()[-200:]}"]


def audited(options: argparse.Namespace) -> tuple[dict[str, object], list[str]]:
    """Have the static audit look at this image; return what it found, and the faults that stop the build."""
    if not (options.audit / "blackstack" / "audit" / "__main__.py").is_file():
        sys.stdout.write(f"gate: audit {NOT_RUN}\n")
        return {"verdict": NOT_RUN}, []
    command = [sys.executable, "-B", "-m", "blackstack.audit", "--python", sys.executable, "--for", options.gpu]
    place = {**os.environ, "PYTHONPATH": str(options.audit)}
    told = subprocess.run(command, env=place, capture_output=True, text=True, check=False)
    sys.stdout.write(told.stdout)
    done = subprocess.run([*command, "--json"], env=place, capture_output=True, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return {"verdict": "failed"}, [f"the audit itself failed: {done.stderr.strip()[-400:]}"]
    stops = [f"audit: {one['title']}" for one in report["findings"] if one["severity"] == "error"]
    packages = {
        name: {"loads": one["loads"], "runs": one["runs"].get(options.gpu)} for name, one in report["packages"].items()
    }
    found = {
        "verdict": "blocked" if stops else "passed",
        "gpu": options.gpu,
        "torch": report["torch"],
        "packages": packages,
        "features": report["features"],
        "findings": [{key: one[key] for key in ("code", "severity", "title")} for one in report["findings"]],
    }
    return found, stops


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]


def _named_version(word: str) -> tuple[str, str]:
    name, equals, version = word.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=VERSION")
    return name, version


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Stop a build that is not what was asked for.")
    parser.add_argument("command", choices=["check", "seal"])
    parser.add_argument("--torch", required=True)
    parser.add_argument("--cuda", required=True, help="what torch must be built for, such as 12.8")
    parser.add_argument("--version", action="append", default=[], type=_named_version, metavar="NAME=VERSION")
    parser.add_argument("--file", action="append", default=[], metavar="GLOB", help="must be there, from site-packages")
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS)
    parser.add_argument("--gpu", default="12.0", help="the compute capability that the audit asks for")
    parser.add_argument("--audit", type=Path, default=Path("/audit"))
    parser.add_argument("--base", default="", help="the base image's name, for the record")
    parser.add_argument("--out", type=Path, default=Path("/etc/blackstack-seal.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
