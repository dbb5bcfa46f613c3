"""What `inv lint` says that Compose refuses, Compose refuses; an engine is not asked."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lint.test_faults import BASES, FAULTS, broken

OF_COMPOSE = {"compose-shape", "compose-value", "compose-reference"}
ONLY_THE_ENGINE = "no restart policy"  # Compose hands it on, and the engine refuses it


def accepted(path: Path) -> bool:
    """Ask Compose whether it takes a file."""
    words = ["docker", "compose", "--project-name", "lint", "--file", str(path), "config", "--quiet"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS if fault["code"] in OF_COMPOSE and fault.get("says") != ONLY_THE_ENGINE],
    ids=lambda fault: f"{fault['code']}: {fault['new'].strip()[:40]}",
)
def test_compose_refuses_what_is_called_a_fault_of_its_shape(fault: dict[str, Any], tmp_path: Path) -> None:
    assert not accepted(broken(fault, tmp_path))


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_compose_takes_the_files_without_a_fault(base: Path) -> None:
    assert accepted(base)
