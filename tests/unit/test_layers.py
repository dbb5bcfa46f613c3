"""The arrows between the modules point down, and what stands alone stands alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import REPOSITORY

# Each room may import what stands before it; rooms on one line may not import each other.
FLOORS = (
    ("files", "finding", "generated", "heartbeat", "loopback", "nvml", "student", "versions"),
    ("errors",),
    ("interrupt",),
    ("shell", "progress", "engines", "results", "bench", "diagnose", "audit", "registry", "fit", "flags"),
    ("catalog", "host", "console", "comparison", "forensics", "change", "archive", "promotions"),
    ("plan", "facts", "pins", "report", "matrix", "lint"),
    ("fitcheck",),
    ("doctor", "runtime", "export"),
    ("ready",),
    ("aftermath",),
    ("serving", "inside"),
    ("trial",),
    ("verbs",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ALONE = {
    "bench": {"errors", "loopback", "nvml", "student"},
    "diagnose": {"errors", "finding", "generated"},
    "results": {"errors", "files"},
    "comparison": {"errors", "results", "bench", "student"},
    "report": {"results", "comparison"},
    "audit": set(),
    "registry": {"errors", "loopback"},
    "errors": {"finding"},
    "fit": {"errors", "versions"},
    "heartbeat": set(),
    "nvml": set(),
    "files": set(),
    "generated": set(),
    "loopback": set(),
    "student": set(),
    "versions": set(),
    "flags": set(),
    "finding": set(),
}
PACKAGE = REPOSITORY / "blackstack"


def rooms() -> list[str]:
    """Return the modules and folders of the package."""
    return sorted(
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem != "__init__"
    )


def imports(path: Path) -> Iterator[str]:
    """Yield the rooms that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides which way it points"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "blackstack" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


def files(room: str) -> list[Path]:
    """Return the files of a room."""
    return sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]


def test_every_room_has_its_floor() -> None:
    assert rooms() == sorted(FLOOR_OF)


@pytest.mark.parametrize("room", rooms())
def test_every_room_is_in_the_picture_and_in_the_table(room: str) -> None:
    page = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]

    assert re.search(rf"\b{room}\b", page.split("```")[1]), "not in the picture"
    assert any(re.search(rf"`{room}/?`", names) for names in named), "not in the table"


@pytest.mark.parametrize("room", rooms())
def test_imports_point_down(room: str) -> None:
    upwards = {
        f"{path.relative_to(REPOSITORY)} imports {target}"
        for path in files(room)
        for target in imports(path)
        if target != room and FLOOR_OF[target] >= FLOOR_OF[room]
    }

    assert not upwards


@pytest.mark.parametrize("room", ALONE)
def test_what_stands_alone_imports_nothing_else_of_ours(room: str) -> None:
    used = {target for path in files(room) for target in imports(path)}

    assert used - {room} <= ALONE[room]


def test_the_package_knows_nothing_of_invoke_or_nox() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        named |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not named & {"invoke", "nox"}, path
