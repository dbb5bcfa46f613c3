"""The pictures of a report. Each is drawn for a width, so that a phone gets one with letters that can be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from blackstack.comparison import Comparison, Effect
from blackstack.report import svg
from blackstack.report.loads import load_of, loads
from blackstack.report.svg import Canvas, Scale, short
from blackstack.report.tables import change, number
from blackstack.results import Record, Run, Summary

WIDE: Final = 820
NARROW: Final = 350
PHONE: Final = 500  # pixels, below which a picture is drawn for a phone
ABOVE: Final = 18  # an axis' name above its end, so that a label of the highest point is not on it
COLOURS: Final = 6
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_ROWS: Final = 160  # of a timeline; of more requests each n-th is drawn
REACH: Final = 1000  # a logarithmic axis begins no lower than this part of its end; what is less stands at its border
SLICES: Final = 60  # of a timeline's throughput
PER_DECADE: Final = 20  # the bins of a record's histograms

Draw = Callable[[int], Canvas]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A load on a curve: what was asked, what came, and how long it took."""

    label: str
    rate: float
    middle: float
    far: float | None


def both(draw: Draw) -> str:
    """Return a picture for a screen and one for a phone; the page shows one of them."""
    return draw(WIDE).render(of="wide") + draw(NARROW).render(of="narrow")


def curve(records: Sequence[Record], title: str, of: Callable[[Run], Summary]) -> Draw:
    """Return throughput against a latency, a line for each record, a point for each load."""
    series = [_points(record, of) for record in records]
    flat = [point for points in series for point in points]
    heights_of = [fmean(point.middle for point in points) if points else 0.0 for points in series]
    highest = heights_of.index(max(heights_of))  # its labels stand above it, those of the others below

    def draw(width: int) -> Canvas:
        canvas = Canvas(width, 300, f"{title} against output tokens per second")
        left, right, top, bottom = 58, width - 26, 32, 252
        across = svg.linear((point.rate for point in flat), left, right)
        heights = [value for point in flat for value in (point.middle, point.far) if value is not None]
        up = svg.linear(heights, bottom, top)
        _frame(canvas, across, up, x="output tokens per second", y=f"{title}, ms", narrow=width < PHONE)
        for index, points in enumerate(series):
            tone = f"c{index % COLOURS}"
            canvas.path([(across(each.rate), up(each.middle)) for each in points], of=f"curve {tone}")
            for each in points:
                x, y = across(each.rate), up(each.middle)
                if each.far is not None:
                    canvas.line(x, y, x, up(each.far), of=f"whisker {tone}")
                    canvas.line(x - 4, up(each.far), x + 4, up(each.far), of=f"whisker {tone}")
                tip = f"{each.label}: {number(each.rate)} tokens/s, {title} {number(each.middle)} ms"
                canvas.dot(x, y, 4.5, of=f"point {tone}", tip=tip)
                canvas.text(x + 8, y + (-8 if index == highest else 16), each.label, of="label")
            if len(series) > 1 and points:
                x, y = across(points[-1].rate), up(points[-1].middle)
                canvas.text(x - 8, y - 8, LETTERS[index], of=f"name {tone}", at="end")
        return canvas

    return draw


def ridges(rows: Sequence[tuple[str, int, Run]], measure: str, of: Callable[[Run], Summary]) -> Draw:
    """Return distributions below each other on one logarithmic axis, with their median and 99th percentile.

    Args:
        rows: a label, a colour's number and the run.
        measure: the histogram's key, such as ``ttft_ms``.
        of: its statistics.
    """
    shown = [
        (label, colour, run.histograms[measure], of(run)) for label, colour, run in rows if measure in run.histograms
    ]

    def draw(width: int) -> Canvas:
        narrow = width < PHONE
        gap = 62 if narrow else 46
        canvas = Canvas(width, 34 + gap * len(shown) + 34, f"distribution of {measure}")
        left, right = (12, width - 12) if narrow else (170, width - 146)
        edges = [edge for *_, bins, _ in shown for edge, _ in bins]
        seen = [edge / 10 ** (1 / PER_DECADE) for edge in edges if edge > max(edges) / REACH]
        across = svg.logarithmic([*seen, max(edges, default=1.0)], left, right)
        floor = 20 + gap * len(shown)
        for tick in across.ticks():
            canvas.line(across(tick), 12, across(tick), floor, of="grid")
            canvas.text(across(tick), floor + 16, short(tick), of="tick", at="middle")
        canvas.text((left + right) / 2, floor + 34, "ms, logarithmic", of="axis", at="middle")
        for index, (label, colour, bins, told) in enumerate(shown):
            base, tone = 16 + gap * (index + 1), f"c{colour % COLOURS}"
            _ridge(canvas, across, bins, base=base, high=28, tone=tone)
            for name, value in (("p50", told.p50), ("p99", told.p99)):
                if value is not None:
                    x = across(value)
                    canvas.line(x, base - 26, x, base + 3, of=f"mark {name}")
            few = " (few)" if "p99" in told.too_few else ""
            figures = f"p50 {number(told.p50)}  p99 {number(told.p99)}{few}"
            if narrow:
                canvas.text(left, base - 34, f"{label}: {figures}", of="label")
            else:
                canvas.text(left - 12, base - 4, label, of="label", at="end")
                canvas.text(right + 10, base - 14, f"p50 {number(told.p50)} ms", of="label")
                canvas.text(right + 10, base + 1, f"p99 {number(told.p99)} ms{few}", of="label soft")
        return canvas

    return draw


def timeline(run: Run) -> Draw:
    """Return each request as a bar from its sending to its end, and above them what came out of all."""
    told = run.samples
    rows = list(zip(told.sent_ms, told.ttft_ms, told.e2e_ms, told.tokens, strict=True))
    every = max(1, math.ceil(len(rows) / MOST_ROWS))
    span_s = max((sent + e2e for sent, _, e2e, _ in rows), default=1000.0) / 1000
    flow = _flow(rows, span_s, told.every)

    def draw(width: int) -> Canvas:
        drawn = rows[::every]
        size = max(1.5, min(9.0, 230 / max(1, len(drawn))))
        top, high = 12, 70
        begin = top + high + 30
        floor = begin + size * len(drawn)
        canvas = Canvas(width, round(floor + 44), f"timeline of {load_of(run)}")
        left, right = 58, width - 14
        across = Scale(low=0, high=span_s, begin=left, end=right)
        up = svg.linear(flow, top + high, top)
        for tick in up.ticks(2):
            canvas.line(left, up(tick), right, up(tick), of="grid")
            canvas.text(left - 7, up(tick) + 4, short(tick), of="tick", at="end")
        steps = [(across(span_s * (i + 0.5) / len(flow)), up(rate)) for i, rate in enumerate(flow)]
        canvas.path([(steps[0][0], up(0)), *steps, (steps[-1][0], up(0))], of="area c0", closed=True)
        canvas.path(steps, of="curve c0")
        canvas.text(left, top + high + 20, "output tokens/s (above), requests (below)", of="label soft")
        for tick in across.ticks(5 if width < PHONE else 9):
            canvas.line(across(tick), begin, across(tick), floor, of="grid")
            canvas.text(across(tick), floor + 16, short(tick), of="tick", at="middle")
        for index, (sent, ttft, e2e, tokens) in enumerate(drawn):
            y = begin + index * size
            first, last = across((sent + ttft) / 1000), across((sent + e2e) / 1000)
            tip = f"sent at {number(sent / 1000)} s, first token after {number(ttft)} ms, "
            tip += f"{tokens} tokens in {number(e2e)} ms"
            thick = max(1.0, size - 0.8)
            canvas.box(across(sent / 1000), y, first - across(sent / 1000), thick, of="waiting", tip=tip)
            canvas.box(first, y, last - first, thick, of="streaming", tip=tip)
        canvas.text((left + right) / 2, floor + 36, "seconds from the first request", of="axis", at="middle")
        return canvas

    return draw


def forest(comparison: Comparison) -> Draw:
    """Return every effect as a point with its interval, beside the line of «no change»."""
    told = comparison.effects

    def draw(width: int) -> Canvas:
        narrow = width < PHONE
        step = 44 if narrow else 26
        canvas = Canvas(width, 46 + step * len(told) + 30, "the change of each measure, with its 95 % interval")
        left, right = (28, width - 28) if narrow else (236, width - 96)
        ends = [100 * (end - 1) for one in told for end in (*(one.ci95 or ()), one.ratio)]
        reach = min(200.0, max(5.0, *map(abs, ends))) * 1.1
        across = Scale(low=-reach, high=reach, begin=left, end=right)
        floor = 24 + step * len(told)
        for tick in across.ticks(6):
            canvas.line(across(tick), 20, across(tick), floor, of="zero" if not tick else "grid")
            canvas.text(across(tick), floor + 16, f"{tick:+g} %" if tick else "0", of="tick", at="middle")
        canvas.text((left + right) / 2, floor + 36, "B against A", of="axis", at="middle")
        for index, one in enumerate(told):
            y = 24 + step * (index + 0.5) + (9 if narrow else 0)
            _whiskers(canvas, across, one, y)
            where = f"{one.rate:g}/s" if one.rate is not None else f"c={one.concurrency}"
            if narrow:
                canvas.text(4, y - 14, f"{one.measure}, {where}: {change(one.ratio)}", of="label")
            else:
                canvas.text(left - 14, y + 4, f"{one.measure}, {where}", of="label", at="end")
                canvas.text(right + 10, y + 4, change(one.ratio), of="label")
        return canvas

    return draw


def _whiskers(canvas: Canvas, across: Scale, one: Effect, y: float) -> None:
    tone = {"faster": "good", "slower": "bad"}.get(one.verdict, "even")
    if one.ci95:
        low, high = (across(100 * (end - 1)) for end in one.ci95)
        canvas.line(low, y, high, y, of=f"span {tone}")
        for end in (low, high):
            canvas.line(end, y - 4, end, y + 4, of=f"span {tone}")
    canvas.dot(across(100 * (one.ratio - 1)), y, 4.5, of=f"point {tone}", tip=f"{one.measure}: {one.verdict}")


def _ridge(
    canvas: Canvas, across: Scale, bins: Iterable[tuple[float, float]], *, base: float, high: float, tone: str
) -> None:
    """Draw a histogram whose bins grow by a factor as a filled outline."""
    told = list(bins)
    most = max((count for _, count in told), default=1)
    points: list[tuple[float, float]] = []
    before = None
    for edge, count in told:
        begin = edge / 10 ** (1 / PER_DECADE)
        if before is None or begin > before * 1.01:  # a hole: down to the floor and up again
            points += [(across(before), base)] if before else []
            points.append((across(begin), base))
        y = base - high * math.sqrt(count / most)  # the root lets a thin tail be seen
        points += [(across(begin), round(y, 1)), (across(edge), round(y, 1))]
        before = edge
    if points:
        points.append((points[-1][0], base))
        canvas.path(points, of=f"ridge {tone}", closed=True)


def _points(record: Record, of: Callable[[Run], Summary]) -> list[Point]:
    """Return a point for each load, of repeats the middle one."""
    return [
        Point(
            label=load.short,
            rate=load.middle(lambda run: run.output_tokens_per_s),
            middle=load.middle(lambda run: of(run).p50),
            far=load.middle(lambda run: None if "p99" in of(run).too_few else of(run).p99) or None,
        )
        for load in loads(record)
        if any(of(run).n for run in load.runs)
    ]


def _flow(rows: Sequence[tuple[float, float, float, int]], span_s: float, every: int) -> list[float]:
    """Return tokens a second in each slice of time, a request's tokens spread evenly over its stream."""
    width_ms = span_s * 1000 / SLICES
    slices = [0.0] * SLICES
    for sent, ttft, e2e, tokens in rows:
        begin, end = sent + ttft, max(sent + e2e, sent + ttft + 1e-6)
        for index in range(int(begin / width_ms), min(SLICES - 1, int(end / width_ms)) + 1):
            inside = min(end, (index + 1) * width_ms) - max(begin, index * width_ms)
            slices[index] += tokens * max(0.0, inside) / (end - begin)
    return [tokens * every / (width_ms / 1000) for tokens in slices]


def _frame(canvas: Canvas, across: Scale, up: Scale, *, x: str, y: str, narrow: bool) -> None:
    """Draw grid, ticks and the axes' names."""
    for tick in up.ticks():
        canvas.line(across.begin, up(tick), across.end, up(tick), of="grid")
        canvas.text(across.begin - 7, up(tick) + 4, short(tick), of="tick", at="end")
    for tick in across.ticks(4 if narrow else 7):
        canvas.line(across(tick), up.begin, across(tick), up.begin + 5, of="grid")
        canvas.text(across(tick), up.begin + 18, short(tick), of="tick", at="middle")
    canvas.line(across.begin, up.begin, across.end, up.begin, of="zero")
    canvas.text((across.begin + across.end) / 2, up.begin + 38, x, of="axis", at="middle")
    canvas.text(across.begin, up.end - ABOVE, y, of="axis")
