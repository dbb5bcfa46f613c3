"""Tables: made once from records and comparisons, and shown as Markdown, CSV, HTML or on a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from blackstack.comparison import Comparison, Effect
from blackstack.report.loads import Load, in_order, load_of, loads, repeats, run_of
from blackstack.results import Record, Run, Summary

NONE: Final = "-"
MIDDLE: Final = "median"  # what the row is called that stands for the repeats of a load
FOLDED_FROM: Final = 2  # rows, below which nothing is «the same in all»
DIGITS: Final = ((0.1, 3), (10, 2), (1000, 1))  # below each limit, so many after the point


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of texts, ready for people.

    Attributes:
        rows: shape (rows, columns); the first column names the row.
        marks: for a row, a word that colours it (``good``, ``bad``, ``sum``); shape (rows,), or empty.
        names: how many columns name the row.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()
    names: int = 1

    def folded(self) -> Table:
        """Return it without the columns that say the same in all rows, which its title then says once."""
        kept = [
            index
            for index, column in enumerate(zip(*self.rows, strict=True))
            if index < self.names or len(column) < FOLDED_FROM or len(set(column)) > 1
        ]
        same = [f"{head} {self.rows[0][at]}" for at, head in enumerate(self.heads) if self.rows and at not in kept]
        return replace(
            self,
            title=f"{self.title}; in all rows: {', '.join(same)}" if same else self.title,
            heads=tuple(self.heads[index] for index in kept),
            rows=tuple(tuple(row[index] for index in kept) for row in self.rows),
        )

    def without(self, head: str) -> Table:
        """Return it without one column."""
        at = self.heads.index(head)
        rows = tuple((*row[:at], *row[at + 1 :]) for row in self.rows)
        return replace(self, heads=(*self.heads[:at], *self.heads[at + 1 :]), rows=rows)

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
    """Return what most people look for first: a row for each run, and for repeats of a load first their median."""
    heads = (
        *("load", "repeat", "good", "tokens/s", "TTFT p50", "TTFT p99", "gap p50", "gap p99"),
        *("TPOT", "end to end p50", "failed"),
    )
    of, middles = repeats(record), {load.name: load for load in loads(record)}
    rows, marks = [], []
    for run in in_order(record.runs):
        if of > 1 and run.repeat == 0 and (load := middles.get(load_of(run))):
            rows.append(_middle(load, record))
            marks.append("sum")
        good = f"{run.ok} of {run.requests}"
        times = (
            number(run.ttft_ms.p50),
            _percentile(run.ttft_ms, "p99"),
            number(run.gap_ms.p50),
            _percentile(run.gap_ms, "p99"),
            number(run.tpot_ms.mean),
            number(run.e2e_ms.p50),
        )
        repeat = f"{run.repeat + 1} of {of}"
        rows.append((load_of(run), repeat, good, number(run.output_tokens_per_s), *times, str(run.failed)))
        marks.append("bad" if run.failed or run.client.bound else "")
    told = Table(
        title="Summary, times in ms", heads=heads, rows=tuple(rows), marks=tuple(marks), names=2 if of > 1 else 1
    )
    return told if of > 1 else told.without("repeat")


def _middle(load: Load, record: Record) -> tuple[str, ...]:
    """Return the row that stands for all repeats of a load: the median of each figure."""
    runs = [run for run in record.runs if load_of(run) == load.name]
    each = {f"{run.ok} of {run.requests}" for run in runs}
    good = each.pop() if len(each) == 1 else f"{sum(run.ok for run in runs)} of {sum(run.requests for run in runs)}"

    def middle(of: Callable[[Run], Summary], name: str) -> str:
        few = " (few)" * any(name in of(run).too_few for run in load.runs)
        return number(load.middle(lambda run: getattr(of(run), name))) + few * (name == "p99")

    return (
        load.name,
        f"{MIDDLE} of {len(load.runs)}",
        good,
        number(load.middle(lambda run: run.output_tokens_per_s)),
        middle(lambda run: run.ttft_ms, "p50"),
        middle(lambda run: run.ttft_ms, "p99"),
        middle(lambda run: run.gap_ms, "p50"),
        middle(lambda run: run.gap_ms, "p99"),
        middle(lambda run: run.tpot_ms, "mean"),
        middle(lambda run: run.e2e_ms, "p50"),
        str(sum(run.failed for run in runs)),
    )


def statistics(run: Run, of: int) -> Table:
    """Return every measure of one run, a column each, with its spread and its intervals."""
    measures = (
        ("time to first token", run.ttft_ms),
        ("gap between events", run.gap_ms),
        ("time per output token", run.tpot_ms),
        ("end to end", run.e2e_ms),
        ("queued before sending", run.queue_ms),
    )
    named = [(name, told) for name, told in measures if told.n]
    lines: tuple[tuple[str, Callable[[Summary], str]], ...] = (
        ("mean", lambda told: number(told.mean)),
        ("95 % interval of the mean", lambda told: _interval(told.ci95)),
        ("p50", lambda told: _percentile(told, "p50")),
        ("p90", lambda told: _percentile(told, "p90")),
        ("p95", lambda told: _percentile(told, "p95")),
        ("p99", lambda told: _percentile(told, "p99")),
        ("95 % interval of p99", lambda told: _interval(told.percentile_ci95.get("p99"))),
        ("max", lambda told: number(told.max)),
        ("samples", lambda told: f"{told.n:,}"),
    )
    return Table(
        title=f"{run_of(run, of)}: all measures, times in ms",
        heads=("", *(name for name, _ in named)),
        rows=tuple((name, *(show(told) for _, told in named)) for name, show in lines) if named else (),
    )


def failures(record: Record) -> Table:
    """Return what failed, by class, with what the server said."""
    of = repeats(record)
    rows = tuple(
        (run_of(run, of), kind, str(count), "; ".join(run.failure_examples.get(kind, ())) or NONE)
        for run in record.runs
        for kind, count in run.failures.items()
        if count
    )
    return Table(title="Failures", heads=("load", "class", "requests", "what the server said"), rows=rows)


def surroundings(record: Record) -> Table:
    """Return what else went on during each run; nothing where nothing was seen."""
    of = repeats(record)
    heads = (
        *("load", "most running", "most waiting", "KV cache", "prefix cache", "preemptions"),
        *("GPU W", "GPU MHz", "GPU °C", "GPU MiB", "slowed by", "CPU busy", "load average"),
    )
    rows = [(run_of(run, of), *_around(run)) for run in in_order(record.runs)]
    kept = [0, *(at for at in range(1, len(heads)) if any(row[at] != NONE for row in rows))]
    return Table(
        title="What else went on; of each GPU its mean",
        heads=tuple(heads[at] for at in kept),
        rows=tuple(tuple(row[at] for at in kept) for row in rows) if len(kept) > 1 else (),
    )


def _around(run: Run) -> tuple[str, ...]:
    """Return the cells of a run's surroundings."""
    server, cards = run.surroundings.get("server") or {}, run.surroundings.get("gpu") or ()
    cpu = run.surroundings.get("cpu") or {}
    more = server.get("increase") or {}

    def most(key: str) -> float | None:
        return max((float(one[key]) for one in server.get("during") or () if key in one), default=None)

    def of_cards(key: str) -> str:
        return " + ".join(number(card[key]["mean"]) for card in cards if key in card) or NONE

    return (
        _count(most("running")),
        _count(most("waiting")),
        _part(most("kv_usage"), 1),
        _part(more.get("prefix_cache_hits"), more.get("prefix_cache_queries")),
        _count(more.get("preemptions")),
        *(of_cards(key) for key in ("power_w", "graphics_mhz", "temperature_c", "memory_used_mib")),
        ", ".join(sorted({reason for card in cards for reason in card.get("throttle_reasons", ())})) or NONE,
        _part(cpu.get("busy_share"), 1),
        number(cpu.get("load_after")),
    )


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _part(value: float | None, of: float | None) -> str:
    return f"{value / of:.0%}" if value is not None and of else NONE


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
