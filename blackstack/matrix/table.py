"""Evidence → cells: for each stack and each class of GPU what is known, or that nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from blackstack import fit
from blackstack.catalog import Stack
from blackstack.errors import UsageError
from blackstack.matrix import evidence
from blackstack.matrix.evidence import Pins

Provenance = Literal["measured here", "reported by the seeds", "from upstream docs", "not verified"]
CLASSES: Mapping[str, str] = {"cpu": "CPU", "9.0": "cc 9.0 (H100, H200)", "12.0": "cc 12.0 (RTX 5090)"}
_KERNELS = ("sgl-kernel", "sglang-kernel")
SUBJECTS = ("builds", "loads", "runs on", "smokes", "serves", "attention", "tokens/s")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One answer.

    Attributes:
        text: ``yes``, ``no``, a number, a name; ``-`` where nothing is known.
        provenance: how it is known.
        source: the file of this repository that shows it, or a document's name.
        date: of the evidence.
    """

    text: str = "-"
    provenance: Provenance = "not verified"
    source: str = ""
    date: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stack: its pins, and a cell for each subject of each class it is for."""

    name: str
    model: str
    status: str
    pins: Pins
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The whole."""

    rows: tuple[Row, ...]
    reported: tuple[Mapping[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "classes": dict(CLASSES),
            "rows": [asdict(row) for row in self.rows],
            "reported": [{**row, "date": str(row["date"])} for row in self.reported],
        }


def build(root: Path, stacks: tuple[Stack, ...]) -> Matrix:
    """Read everything that is known.

    Raises:
        BlockedError: a record cannot be read.
    """
    return Matrix(rows=tuple(_row(root, stack) for stack in stacks), reported=evidence.reported(root))


def class_of(record: Mapping[str, Any], stack: Stack) -> str:
    """Return the class of GPU that a record was measured on, as it says itself."""
    if not stack.x.needs.vram_gib:
        return "cpu"
    ran_on = record.get("ran_on", {})
    cards = ran_on.get("gpus") or ran_on.get("gpu") or ()
    first = cards[0] if isinstance(cards, list) and cards else cards
    if not isinstance(first, Mapping):
        return "not said"
    if told := first.get("compute_capability") or first.get("cc"):
        return str(told)
    try:
        return fit.card(str(first.get("name"))).cc
    except UsageError:
        return "not said"


def _row(root: Path, stack: Stack) -> Row:
    pins = evidence.pins_of(stack)
    classes = ["cpu"] if not stack.x.needs.vram_gib else ["9.0", "12.0"]
    return Row(
        name=stack.name,
        model=stack.x.model,
        status=stack.x.status,
        pins=pins,
        cells={one: _cells(root, stack, pins, one) for one in classes},
    )


def _cells(root: Path, stack: Stack, pins: Pins, cc: str) -> dict[str, Cell]:
    found = {subject: Cell() for subject in SUBJECTS}
    found["builds"] = _builds(root, stack)
    found["loads"] = _loads(root, stack, pins)
    found["runs on"] = _sealed_runs(root, stack, cc) or _runs_on(root, pins, cc)
    found["smokes"] = _smokes(root, stack, cc)
    record = next(((p, r) for p, r in evidence.results(root) if _is_of(r, stack, cc)), None)
    if record:
        path, data = record
        where = {"source": str(path.relative_to(root)), "date": str(data["measured_at"])[:10]}
        found["serves"] = Cell(text="yes", provenance="measured here", **where)
        found["tokens/s"] = Cell(text=_speed(data["runs"]), provenance="measured here", **where)
        if backend := data.get("found_inside", {}).get("attention_backend"):
            found["attention"] = Cell(text=str(backend), provenance="measured here", **where)
    elif cc == "12.0":
        found |= _reported_cells(root, stack)
    return found


def _is_of(record: Mapping[str, Any], stack: Stack, cc: str) -> bool:
    """Tell whether a record is a whole measurement of this stack: not of random weights, and no request failed."""
    if record["asked_for"]["stack"] != stack.name or not record.get("complete") or record["asked_for"].get("noise"):
        return False
    return class_of(record, stack) == cc and not any(any(run.get("failures", {}).values()) for run in record["runs"])


def _builds(root: Path, stack: Stack) -> Cell:
    if stack.x.build is None and stack.x.process is not None:
        return Cell(text="brought along")
    if stack.x.build is None:
        return Cell(text="upstream's image", provenance="from upstream docs")
    for path, record in evidence.builds(root):
        if record.get("asked_for", {}).get("stack") == stack.name:
            size = record.get("found_inside", {}).get("size_bytes", 0) / 1e9
            verdict = record.get("found_inside", {}).get("seal", {}).get("audit", {}).get("verdict", "")
            text = f"yes, {size:.1f} GB" + (f", audit: {verdict}" if verdict else "")
            date = str(record.get("measured_at", ""))[:10]
            return Cell(text=text, provenance="measured here", source=str(path.relative_to(root)), date=date)
    for path, record in evidence.results(root):
        inside = record.get("found_inside", {})
        if record["asked_for"]["stack"] == stack.name and (inside.get("image_id") or inside.get("packages")):
            date = str(record["measured_at"])[:10]
            return Cell(text="yes", provenance="measured here", source=str(path.relative_to(root)), date=date)
    return Cell()


def _loads(root: Path, stack: Stack, pins: Pins) -> Cell:
    if seal := evidence.sealed(root, stack.name):
        audit, source, date = seal
        fine = [package["loads"] == "ok" for package in audit.get("packages", {}).values()]
        text = f"yes, {len(fine)} packages" if fine and all(fine) else f"{fine.count(False)} of {len(fine)} do not"
        return Cell(text=text, provenance="measured here", source=source, date=date)
    names = [f"{stack.x.engine} {stack.x.engine_version}", pins.kernels]
    told = [answer for name in names if (answer := evidence.loads(root, name, pins.torch))]
    if not told:
        return Cell()
    source = told[0][1]
    good = all(fine for fine, _ in told)
    return Cell(text="yes" if good else "no", provenance="measured here", source=source)


def _sealed_runs(root: Path, stack: Stack, cc: str) -> Cell | None:
    """Return what the gate found in the image of the engine's own kernels, where it asked for this class."""
    seal = evidence.sealed(root, stack.name)
    if seal is None or str(seal[0].get("gpu")) != cc:
        return None
    audit, source, date = seal
    counts = [audit["packages"][name].get("runs") for name in (stack.x.engine, *_KERNELS) if name in audit["packages"]]
    told = [one for one in counts if one]
    if not told:
        return None
    native, jit, total = (sum(int(one[key]) for one in told) for key in ("native", "ptx", "total"))
    text = f"{'yes' if native + jit else 'no'}: {native} native, {jit} by JIT, of {total}"
    return Cell(text=text, provenance="measured here", source=source, date=date)


def _runs_on(root: Path, pins: Pins, cc: str) -> Cell:
    if cc == "cpu":
        return Cell()
    torch = evidence.coverage(root, f"torch {pins.torch.partition('+')[0]}", cc)
    kernels: dict[str, tuple[int, int, int]] = {}
    for package in (pins.engine, pins.kernels):
        kernels |= evidence.coverage(root, package, cc)
    told = {**torch, **kernels}
    if not told:
        return Cell()
    none = [name for name, (native, jit, _) in told.items() if not native + jit]
    by_jit = [name for name, (native, jit, _) in told.items() if jit and not native]
    text = "no" if "libtorch_cuda" in none or len(none) == len(told) else "yes"
    text = text if kernels else f"torch: {text}"
    text += f"; by JIT: {', '.join(by_jit)}" if by_jit else ""
    text += f"; not: {', '.join(none)}" if none and text != "no" else ""
    return Cell(text=text, provenance="measured here", source="results/audit/coverage.json")


def _smokes(root: Path, stack: Stack, cc: str) -> Cell:
    if told := evidence.smoked(root, stack.name):
        text, source, date = told
        return Cell(text=text, provenance="measured here", source=source, date=date)
    tests = f"tests/images/test_{stack.x.engine}.py"
    if cc == "cpu" and stack.x.status == "verified" and (stack.root / tests).is_file():
        return Cell(text="yes", provenance="measured here", source=tests)
    return Cell()


def _reported_cells(root: Path, stack: Stack) -> dict[str, Cell]:
    """Return what others reported of the recipe that a stack is."""
    row = next((row for row in evidence.reported(root) if row.get("stack") == stack.name), None)
    if row is None:
        return {}
    told = {"serves": row["serves"], "attention": row["attention"], "tokens/s": row["tokens_per_s"]}
    return {
        key: Cell(text=str(text), provenance="reported by the seeds", source=row["file"], date=str(row["date"]))
        for key, text in told.items()
        if text not in {"", "-"}
    }


def _speed(runs: list[Mapping[str, Any]]) -> str:
    """Return the tokens a second of one request, with the interval that its tokens' times give."""
    one = min(runs, key=lambda run: run["concurrency"])
    times = one.get("tpot_ms", {})
    told = f"{one['output_tokens_per_s']:.1f} at concurrency {one['concurrency']}"
    if interval := times.get("ci95"):
        told += f" (decode {1000 / times['mean']:.1f}, 95 %: {1000 / interval[1]:.1f} to {1000 / interval[0]:.1f})"
    return told
