"""Backends: start a stack once in each way, and write the table of what works."""

from __future__ import annotations

from collections.abc import Sequence

from blackstack.trial import axes
from blackstack.verbs.choose import named
from blackstack.verbs.trying import Order, trying


def backends(stack: str | None, order: Order, *, names: Sequence[str], only: Sequence[str], cross: bool) -> None:
    """Start the stack once in each way, and write the table of what works."""
    with trying("backends", order) as it:
        one = named(stack)
        cells = axes.cells(one, order.wishes, names, only, cross=cross)
        it.begin({one.name: order.wishes}, {"cells": [cell.as_dict() for cell in cells]})
        it.run.all(cells, of=len(cells))
    trials = it.run.judged()
    asked = {"stack": one.name, "axes": list(names), "only": list(only), "cross": cross}
    found = [trial for trial in trials if trial.label != axes.DEFAULT]
    able = sum(trial.works for trial in found)
    closing = [f"{able} of {len(found)} work as asked; {it.ground.checked}"]
    it.write(one.name, asked, trials, {}, closing)
    it.refuse_if_nothing_works(one.name, trials, {})
