"""The records that the matrix is made of, read from their files; a file that is not there is no evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from blackstack.catalog import Stack
from blackstack.errors import BlockedError

UPSTREAM = Path(__file__).with_name("upstream.yaml")
_RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What a stack is made of; ``-`` where nothing says it.

    Attributes:
        source: the file or document that says so.
        parser: the engine's own parser was read for this version: which flags it knows.
    """

    engine: str
    torch: str = "-"
    cuda: str = "-"
    flashinfer: str = "-"
    kernels: str = "-"
    image: str = "-"
    source: str = ""
    parser: bool = False


def pins_of(stack: Stack) -> Pins:
    """Return what a stack pins, from its own files, else from what upstream says of that version."""
    version = stack.x.engine_version or "moves"
    engine = f"{stack.x.engine} {version}"
    image = str(stack.defaults.get("IMAGE") or "-")
    parser = (stack.root / "blackstack" / "flags" / "data" / f"{stack.x.engine}-{version}.json").is_file()
    own = _own_pins(stack)
    if own:
        torch = own.get("torch", "-")
        kernels = next((f"{name} {own[name]}" for name in ("sglang-kernel", "sgl-kernel") if name in own), "-")
        return Pins(
            engine=engine,
            torch=torch,
            cuda=_cuda_of(own),
            flashinfer=own.get("flashinfer-python", "-"),
            kernels=kernels,
            image=image,
            source=f"dockerfiles/{stack.name}",
            parser=parser,
        )
    told = _yaml(UPSTREAM).get(stack.x.engine, {}).get(version, {})
    known = {key: str(told[key]) for key in ("torch", "cuda", "flashinfer") if key in told}
    return Pins(engine=engine, image=image, source=str(told.get("source", "")), parser=parser, **known)


def results(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the committed measurements of stacks, the newest first."""
    folder = root / "results"
    paths = (*folder.glob("*.json"), *folder.glob("gpu/*/*.json"))
    records = [(path, record) for path in paths if (record := _record(path))]
    measured = [pair for pair in records if pair[1].get("runs") and pair[1].get("asked_for", {}).get("stack")]
    yield from sorted(measured, key=lambda pair: str(pair[1].get("measured_at", "")), reverse=True)


def builds(root: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the records of builds, the newest first."""
    records = [(path, record) for path in (root / "results" / "builds").glob("*.json") if (record := _record(path))]
    yield from sorted(records, key=lambda pair: str(pair[1].get("measured_at", "")), reverse=True)


def sealed(root: Path, stack: str) -> tuple[Mapping[str, Any], str, str] | None:
    """Return what the newest build's gate audited in the image itself, with the record's name and date."""
    for path, record in builds(root):
        audit = record.get("found_inside", {}).get("seal", {}).get("audit")
        if record.get("asked_for", {}).get("stack") == stack and audit:
            return audit, str(path.relative_to(root)), str(record.get("measured_at", ""))[:10]
    return None


def smoked(root: Path, stack: str) -> tuple[str, str, str] | None:
    """Return how the smoke tests of a built image ended, with the record's name and date; None: none is kept.

    The record is what `nox -s "smoke(NAME)"` printed, with the command and the date before it.
    """
    path = root / "results" / "builds" / f"{stack}-smoke.txt"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    ran, ended = _RAN.search(text), re.search(r"^(OK|FAILED)\b.*$", text, re.MULTILINE)
    if ran is None or ended is None:
        return None
    date = _DATE.search(text)
    told = f"{'yes' if ended[1] == 'OK' else 'no'}, {ran[1]} tests" + (", no GPU" if "no GPU" in text else "")
    return told, str(path.relative_to(root)), date[0] if date else ""


def loads(root: Path, package: str, torch: str) -> tuple[bool, str] | None:
    """Return whether a package loads with a torch, as the audit foretold and a real import showed; None: not tried.

    Args:
        root: the repository.
        package: with its version: ``vllm 0.11.0``.
        torch: its version.
    """
    plain = torch.partition("+")[0]
    truth = _record(root / "results" / "audit" / "truth.json") or {}
    for pair in truth.get("pairs", ()):
        verdict = pair.get("packages", {}).get(package)
        if str(pair.get("torch", "")).partition("+")[0] == plain and verdict:
            return verdict == "ok", "results/audit/truth.json"
    return None


def coverage(root: Path, package: str, cc: str) -> Mapping[str, tuple[int, int, int]]:
    """Return, for each library of a package, its kernels' files for a GPU: native, by JIT from PTX, of how many."""
    told = _record(root / "results" / "audit" / "coverage.json") or {}
    prefix = package.replace(" ", "-") + "/"
    return {
        key.rpartition("/")[2].partition(".")[0]: (one[cc]["native"], one[cc]["ptx"], one[cc]["of"])
        for key, one in told.items()
        if key.startswith(prefix) and cc in one
    }


def reported(root: Path) -> tuple[Mapping[str, Any], ...]:
    """Return what others reported."""
    found: list[Mapping[str, Any]] = []
    for path in sorted((root / "results" / "reported").glob("*.yaml")):
        found += [{**row, "file": str(path.relative_to(root))} for row in _yaml(path)]
    return tuple(found)


def _own_pins(stack: Stack) -> dict[str, str]:
    folder = stack.root / "dockerfiles" / stack.name
    pins: dict[str, str] = {}
    for name in ("constraints.txt", "requirements.txt", "torch.txt"):
        file = folder / name
        if file.is_file():
            pins |= {found[1].lower(): found[2] for found in _PIN.finditer(file.read_text(encoding="utf-8"))}
    return pins


def _cuda_of(pins: Mapping[str, str]) -> str:
    """Return the CUDA whose runtime is pinned: ``nvidia-cuda-runtime-cu12==12.8.90`` is 12.8."""
    runtime = next((version for name, version in pins.items() if name.startswith("nvidia-cuda-runtime")), "")
    return ".".join(runtime.split(".")[:2]) or "-"


def _record(path: Path) -> Mapping[str, Any] | None:
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BlockedError(f"{path} is no JSON", why=str(error), fix="git checkout -- results") from error
    return data if isinstance(data, dict) else None


@cache
def _yaml(path: Path) -> Any:  # noqa: ANN401 - a tree of YAML
    return YAML(typ="safe").load(path)
