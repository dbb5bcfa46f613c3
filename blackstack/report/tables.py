"""Tables: made once from records and comparisons, and shown as Markdown, CSV, HTML or on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blackstack.comparison import Comparison, Effect
from blackstack.results import Record, Run, Summary

NONE: Final = "-"
DIGITS: Final = ((0.1, 3), (10, 2), (1000, 1))  # below each limit, so many after the point


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts, ready for people.

    Attributes:
        rows: shape (rows, columns); the first column names the row.
        marks: for a row, a word that colours it (``good``, ``bad``); shape (rows,), or empty.
        names: how many columns name the row.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()
    names: int = 1

    def markdown(self) -> str:
        """Return it as GitHub shows it; a bar in a text is escaped."""
        lines = [self.heads, tuple("---" for _ in self.heads), *self.rows]
        return "\n".join(f"| {' | '.join(in_a_cell(cell) for cell in line)} |" for line in lines)

    def csv(self) -> str:
        """Return it as comma-separated values; a spreadsheet is kept from taking a text for a formula."""
        text = io.StringIO()
        csv.writer(text).writerows([[_harmless(cell) for cell in line] for line in (self.heads, *self.rows)])
        return text.getvalue()


def in_a_cell(text: str) -> str:
    """Return a text as a cell of a Markdown table shows it: no sign of it means anything, and it is one line."""
    escaped = "".join(f"\\{sign}" if sign in "\\|`*_[]<>#" else sign for sign in text)
    return " ".join(escaped.split())


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t"} and not _is_number(cell) and cell != NONE else cell


def _is_number(text: str) -> bool:
    try:
        float(text.removesuffix(" %"))
    except ValueError:
        return False
    return True


def summary(record: Record) -> Table:
    """Return a row for each run: what most people look for first."""
    heads = (
        "load",
        "good",
        "tokens/s",
        "TTFT p50",
        "TTFT p99",
        "gap p50",
        "gap p99",
        "TPOT",
        "end to end p50",
        "failed",
    )
    rows, marks = [], []
    for run in record.runs:
        times = (
            number(run.ttft_ms.p50),
            _percentile(run.ttft_ms, "p99"),
            number(run.gap_ms.p50),
            _percentile(run.gap_ms, "p99"),
            number(run.tpot_ms.mean),
            number(run.e2e_ms.p50),
        )
        rows.append(
            (load_of(run), f"{run.ok} of {run.requests}", number(run.output_tokens_per_s), *times, str(run.failed))
        )
        marks.append("bad" if run.failed or run.client.bound else "")
    return Table(title="Summary, times in ms", heads=heads, rows=tuple(rows), marks=tuple(marks))


def statistics(run: Run) -> Table:
    """Return every measure of one run with its spread and its intervals."""
    heads = ("measure, ms", "mean", "95 % interval", "p50", "p90", "p95", "p99", "95 % interval of p99", "max", "n")
    named = (
        ("time to first token", run.ttft_ms),
        ("gap between events", run.gap_ms),
        ("time per output token", run.tpot_ms),
        ("end to end", run.e2e_ms),
        ("queued before sending", run.queue_ms),
    )
    rows = tuple(
        (
            name,
            number(told.mean),
            _interval(told.ci95),
            *(_percentile(told, each) for each in ("p50", "p90", "p95", "p99")),
            _interval(told.percentile_ci95.get("p99")),
            number(told.max),
            f"{told.n:,}",
        )
        for name, told in named
        if told.n
    )
    return Table(title=f"{load_of(run)}: all measures", heads=heads, rows=rows)


def failures(record: Record) -> Table:
    """Return what failed, by class, with what the server said."""
    rows = tuple(
        (load_of(run), kind, str(count), "; ".join(run.failure_examples.get(kind, ())) or NONE)
        for run in record.runs
        for kind, count in run.failures.items()
        if count
    )
    return Table(title="Failures", heads=("load", "class", "requests", "what the server said"), rows=rows)


def effects(comparison: Comparison) -> Table:
    """Return the comparison."""
    a, b = comparison.a.name, comparison.b.name
    heads = ("load", "measure", f"A: {a}", f"B: {b}", "B against A", "95 % interval", "verdict")
    marks = {"faster": "good", "slower": "bad"}
    return Table(
        title="Comparison",
        heads=heads,
        rows=tuple(_effect(one) for one in comparison.effects),
        marks=tuple(marks.get(one.verdict, "") for one in comparison.effects),
        names=2,
    )


def layer_differences(comparison: Comparison) -> Table:
    """Return what else is not the same."""
    rows = tuple(
        (one.name, *(NONE if value is None else str(value) for value in (one.a, one.b)))
        for one in comparison.differences
    )
    return Table(title="What else differs", heads=("value", "A", "B"), rows=rows)


def number(value: float | None) -> str:
    """Return a number with as many digits as mean something here: three figures, or four."""
    if value is None:
        return NONE
    size = abs(value)
    digits = next((digits for limit, digits in DIGITS if size < limit), 0) if size else 0
    return f"{value:,.{digits}f}"


def load_of(run: Run) -> str:
    """Name a run's load, and its repeat where it is not the first."""
    load = f"{run.rate:g} requests/s" if run.rate is not None else f"concurrency {run.concurrency}"
    return f"{load}, repeat {run.repeat + 1}" if run.repeat else load


def brief(run: Run) -> str:
    """Name a run's load where there is little room."""
    load = f"{run.rate:g}/s" if run.rate is not None else f"c={run.concurrency}"
    return f"{load}, run {run.repeat + 1}" if run.repeat else load


def change(ratio: float) -> str:
    """Return a ratio as a change: 1.05 is +5.0 %."""
    return f"{100 * (ratio - 1):+.1f} %"


def terminal(table: Table) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return heads and rows as a terminal shows them."""
    return [head.upper() if head.islower() else head for head in table.heads], table.rows


def _effect(one: Effect) -> tuple[str, ...]:
    load = f"{one.rate:g} requests/s" if one.rate is not None else f"concurrency {one.concurrency}"
    unit = "" if one.unit in one.measure else f" {one.unit}"
    span = f"{change(one.ci95[0])} to {change(one.ci95[1])}" if one.ci95 else NONE
    return (load, one.measure, number(one.a) + unit, number(one.b) + unit, change(one.ratio), span, one.verdict)


def _percentile(told: Summary, name: str) -> str:
    value = number(getattr(told, name))
    return f"{value} (few)" if name in told.too_few and value != NONE else value


def _interval(ends: tuple[float, float] | None) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if ends else NONE
