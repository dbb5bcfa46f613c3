"""Cells and trials without a server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blackstack.plan import Wishes
from blackstack.trial.cell import Cell, Quality, Seen, Trial


@pytest.fixture
def cell() -> Callable[[str], Cell]:
    """Make a cell of a label."""
    return lambda label: Cell(label=label, stack="toy", wishes=Wishes())


def trial(label: str, *rates: float, outcome: str = "works", right: int | None = None, seconds: float = 1.0) -> Trial:
    """Make a trial with these tokens a second, one a repeat."""
    quality = None if right is None else Quality(asked=5, right=right, degenerate=0)
    return Trial(
        label=label,
        stack="toy",
        about="",
        outcome=outcome,  # type: ignore[arg-type]
        why="" if outcome == "works" else "a reason",
        load_s=2.0,
        seen=Seen(rates=rates, e2e_ms=tuple(1000 / rate for rate in rates), quality=quality),
        peak_memory_bytes=1 << 30,
        seconds=seconds,
    )
