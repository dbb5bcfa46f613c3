"""One HTML file with everything in it: no network, no font, no library, and no script but our own.

Names of models and messages of servers come from outside. Every text goes through ``escape``, and should one ever
not, the page's policy lets no script run whose hash is not that of ``page.js``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from blackstack.comparison import Comparison
from blackstack.report import charts, compared, tables
from blackstack.report.loads import Load, Of, brief, in_order, loads, repeats, run_of
from blackstack.report.tables import Table, number
from blackstack.results import Record, Run

HERE: Final = Path(__file__).parent
FOOTER: Final = (
    "Made by <code>inv report</code> of blackstack. No figure is the best of several: of repeats the middle one is "
    "told. Warm-up and failed requests are in no figure of latency or throughput, the cool-down is in none of "
    "throughput. Gap: between two events of a stream. TPOT: per request, over all its tokens."
)
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_RIDGES: Final = 24
MOST_TIMELINES: Final = 12

# What stands under each picture: how to read it.
READ_CURVE: Final = (
    "A point is a load (its concurrency, or its rate), of repeats the middle one; the dot is the median, the whisker "
    "the 99th percentile where there are samples enough for one. Further right is more throughput, further down is a "
    "shorter wait."
)
READ_RIDGE: Final = (
    "c is the concurrency. Solid mark: median. Dashed: 99th percentile. Heights are square roots, so that thin tails "
    "are seen."
)
READ_FOREST: Final = (
    "A dot is the change, the bar its 95 % interval. Green is faster, red slower; grey shows no difference, because "
    "the interval holds zero, or because there is none. More tokens/s is better, more milliseconds are worse."
)
READ_TIMELINE: Final = "Orange: waiting for the first token. Blue: tokens coming."


def page(records: Sequence[Record], comparison: Comparison | None = None) -> str:
    """Return the report of some records, and of their comparison where there is one."""
    measured = [record for record in records if record.runs]
    sections = [
        ("summary", "Summary", _summary(records)),
        ("comparison", "Comparison", _comparison(comparison) if comparison else ""),
        ("curves", "Throughput against latency", _curves(measured)),
        ("distributions", "Distributions", _distributions(measured)),
        ("timeline", "Timeline", _timelines(measured)),
        ("failures", "Failures", _failures(measured)),
        ("surroundings", "What else went on", _surroundings(measured)),
        ("details", "All measures", _details(measured)),
        ("provenance", "Provenance", _provenance(records)),
    ]
    shown = [(name, title, body) for name, title, body in sections if body]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    bodies = "".join(f'<section id="{name}"><h2>{title}</h2>{body}</section>' for name, title, body in shown)
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = f"{POLICY}; script-src '{hash_of(script)}'"
    title = " and ".join(record.name for record in records)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body>'
        f"<header><h1>{escape(title)}</h1>{_about(records)}</header>"
        f"<nav>{links}</nav><main>{bodies}</main>"
        f"<footer>{FOOTER}</footer><script>{script}</script></body></html>\n"
    )


def hash_of(script: str) -> str:
    """Return a script's hash, as a policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def table(whole: Table, *, words: bool = False, fold: bool = False) -> str:
    """Return a table with buttons that copy it, whole.

    Args:
        whole: the table.
        words: set it for reading and not for adding up.
        fold: say once in its title what is the same in all rows.
    """
    if not whole.rows:
        return ""
    told = whole.folded() if fold else whole
    marks = told.marks or ("",) * len(told.rows)
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in told.heads)
    rows = "".join(
        f'<tr class="{escape(mark)}">{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>'
        for row, mark in zip(told.rows, marks, strict=True)
    )
    kind = "words" if words else "two" if told.names > 1 else ""
    buttons = "".join(
        f'<button type="button" data-copy="{escape(text)}">Copy as {name}</button>'
        for name, text in (("Markdown", whole.markdown()), ("CSV", whole.csv()))
    )
    caption = f"<caption>{escape(told.title)}</caption>"
    body = f'<table class="{kind}">{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    around = f'<div class="table" tabindex="0" role="region" aria-label="{escape(told.title)}">'
    return f'{around}{body}</div><div class="copy">{buttons}</div>'


def _about(records: Sequence[Record]) -> str:
    lines = []
    for index, record in enumerate(records):
        asked = record.asked_for
        model, where = asked.get("model", "an unnamed model"), asked.get("url") or asked.get("runtime") or ""
        words = [str(model), str(where), record.measured_at]
        letter = f"<b>{charts.LETTERS[index]}</b> {escape(record.name)}: " if len(records) > 1 else ""
        lines.append(f'<p class="soft">{letter}{escape(", ".join(word for word in words if word))}</p>')
    return "".join(lines)


def _summary(records: Sequence[Record]) -> str:
    parts = []
    for record in records:
        if len(records) > 1:
            parts.append(f"<h3>{escape(record.name)}</h3>")
        parts += [_tiles(record), _warnings(record), table(tables.summary(record), fold=True)]
    return "".join(parts)


def _tiles(record: Record) -> str:
    tiles = [(_span(one.tokens_per_s), f"tokens/s, {one.what}") for one in record.reported]
    if measured := loads(record):
        most = max(measured, key=lambda load: load.middle(_rate))
        quick = min(measured, key=lambda load: load.middle(_ttft))
        tiles += [
            _tile(most, _rate, "", "output tokens/s"),
            _tile(quick, _ttft, " ms", "to the first token (p50)"),
            _tile(quick, _gap, " ms", "between tokens (p50)"),
        ]
    if record.runs:
        failed, asked = (sum(one) for one in zip(*((run.failed, run.requests) for run in record.runs), strict=True))
        tiles.append((str(failed), f"of {asked} requests failed"))
    if record.knee:
        tiles.append(
            (str(record.knee.get("concurrency")), "is the knee: the concurrency that has nearly all throughput")
        )
    items = "".join(f"<li><b>{escape(big)}</b><span>{escape(small)}</span></li>" for big, small in tiles)
    return f'<ul class="tiles">{items}</ul>'


def _rate(run: Run) -> float | None:
    return run.output_tokens_per_s


def _ttft(run: Run) -> float | None:
    return run.ttft_ms.p50


def _gap(run: Run) -> float | None:
    return run.gap_ms.p50


def _tile(load: Load, of: Of, unit: str, about: str) -> tuple[str, str]:
    """Return a figure of a load and what it is: of repeats the middle one, with the others' span."""
    low, high = load.span(of)
    count = len(load.runs)
    spread = f"; median of {count} repeats, {number(low)} to {number(high)}" if count > 1 else ""
    return number(load.middle(of)) + unit, f"{about}, {load.name}{spread}"


def _span(told: Mapping[Any, float]) -> str:
    ends = list(dict.fromkeys(f"{told[key]:g}" for key in ("low", "high")))
    return f"{told['mean']:g}" if "mean" in told else " to ".join(ends)


def _warnings(record: Record) -> str:
    """Say what a reader must know before any figure."""
    said = [f"{one.provenance}. {one.what}." for one in record.reported]
    if record.missing:
        said.append(f"Incomplete, so no baseline: not known are {', '.join(record.missing)}.")
    bound = sorted({reason for run in record.runs for reason in run.client.bound_reasons})
    said += [f"The client was too busy: {reason}. Such figures may be the client's own." for reason in bound]
    if any(run.tokens_counted_by != "server" for run in record.runs):
        said.append("The server sent no token counts: one token is counted for each event.")
    if looping := [run for run in record.runs if run.looping_replies]:
        count, good = (sum(each) for each in zip(*((run.looping_replies, run.ok) for run in looping), strict=True))
        said.append(
            f"{count} of {good} answers come to a loop ({looping[0].looping_examples[0]}), and again when the "
            "question is asked alone: it is the model's way, and they count as good."
        )
    return "".join(f'<p class="notice">{escape(line)}</p>' for line in said)


def _comparison(comparison: Comparison) -> str:
    parts = [f"<p><b>{escape(compared.headline(comparison))}</b></p>"]
    if comparison.effects:
        parts.append(_figure(charts.forest(comparison), READ_FOREST))
        parts.append(table(tables.effects(comparison)))
    parts.append(f'<p class="soft">Intervals: {escape(comparison.method)}.</p>')
    parts += [f'<p class="notice calm">{escape(note)}</p>' for note in comparison.notes]
    if comparison.differences:
        count = len(comparison.differences)
        folded = table(tables.layer_differences(comparison), words=True)
        parts.append(f"<details><summary>What else differs ({count})</summary>{folded}</details>")
    return "".join(parts)


def _curves(records: Sequence[Record]) -> str:
    if not any(len({run.concurrency for run in record.runs}) > 1 for record in records) and len(records) < 2:  # noqa: PLR2004
        return ""
    key = _key(records)
    return "".join(
        _figure(charts.curve(records, title, of), READ_CURVE if first else "", key)
        for first, title, of in (
            (True, "time to first token", lambda run: run.ttft_ms),
            (False, "time per output token", lambda run: run.tpot_ms),
        )
    )


def _distributions(records: Sequence[Record]) -> str:
    rows = [
        (f"{charts.LETTERS[index]}, {label}" if len(records) > 1 else label, index, run)
        for index, record in enumerate(records)
        for run in record.runs
        if run.ok
        for label in (brief(run, repeats(record)),)
    ]
    rows = sorted(rows, key=lambda row: (row[2].concurrency, row[2].repeat, row[1]))
    left_out = f" {len(rows) - MOST_RIDGES} further runs are left out." if len(rows) > MOST_RIDGES else ""
    return "".join(
        f"<h3>{title}</h3>"
        + _figure(charts.ridges(rows[:MOST_RIDGES], measure, of), READ_RIDGE + left_out, _key(records))
        for title, measure, of in (
            ("Time to first token", "ttft_ms", lambda run: run.ttft_ms),
            ("Gap between events", "gap_ms", lambda run: run.gap_ms),
        )
        if any(measure in run.histograms for _, _, run in rows)
    )


def _timelines(records: Sequence[Record]) -> str:
    named = [(record, run) for record in records for run in in_order(record.runs) if run.samples.sent_ms]
    parts = []
    for index, (record, run) in enumerate(named[:MOST_TIMELINES]):
        name = run_of(run, repeats(record))
        title = f"{record.name}, {name}" if len(records) > 1 else name
        thin = f" Each {run.samples.every}th of {run.samples.of} requests." if run.samples.every > 1 else ""
        opened = " open" if index == 0 else ""
        figure = _figure(charts.timeline(run), READ_TIMELINE + thin)
        parts.append(f"<details{opened}><summary>{escape(title)}</summary>{figure}</details>")
    if len(named) > MOST_TIMELINES:
        parts.append(f'<p class="soft">{len(named) - MOST_TIMELINES} further runs are left out.</p>')
    return "".join(parts)


def _failures(records: Sequence[Record]) -> str:
    found = [(record, tables.failures(record)) for record in records]
    parts = [
        (f"<h3>{escape(record.name)}</h3>" if len(records) > 1 else "") + table(told, words=True)
        for record, told in found
        if told.rows
    ]
    asked = sum(run.requests for record in records for run in record.runs)
    return "".join(parts) or (f"<p>None of {asked} requests failed.</p>" if records else "")


def _surroundings(records: Sequence[Record]) -> str:
    parts = []
    for record in records:
        body = table(tables.surroundings(record), fold=True)
        said = dict.fromkeys(line for run in record.runs for line in run.remarks)
        notices = "".join(f'<p class="notice calm">{escape(line)}</p>' for line in said)
        title = f"<h3>{escape(record.name)}</h3>" if len(records) > 1 and (body or said) else ""
        parts.append(title + notices + body)
    return "".join(parts)


def _details(records: Sequence[Record]) -> str:
    return "".join(
        f"<details><summary>{escape(f'{record.name}, ' if len(records) > 1 else '')}"
        f"{escape(run_of(run, repeats(record)))}</summary>{table(tables.statistics(run, repeats(record)))}</details>"
        for record in records
        for run in in_order(record.runs)
    )


def _provenance(records: Sequence[Record]) -> str:
    titles = {"asked_for": "Asked for", "found_inside": "Found inside the running server", "ran_on": "Ran on"}
    parts = []
    for record in records:
        parts.append(f"<h3>{escape(record.name)}</h3>")
        layers: list[tuple[str, Mapping[str, object]]] = [(titles[name], told) for name, told in record.layers.items()]
        layers.insert(1, ("Workload", record.workload))
        for title, told in layers:
            rows = tuple((str(key), _said(value)) for key, value in told.items())
            body = table(Table(title=title, heads=("what", "value"), rows=rows), words=True)
            parts.append(f"<details><summary>{title}</summary>{body or '<p>Not known.</p>'}</details>")
    return "".join(parts)


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _key(records: Sequence[Record]) -> str:
    if len(records) < 2:  # noqa: PLR2004 - one needs no key
        return ""
    items = "".join(
        f'<li><i class="c{index % charts.COLOURS}"></i>{charts.LETTERS[index]} {escape(record.name)}</li>'
        for index, record in enumerate(records)
    )
    return f'<ul class="key">{items}</ul>'


def _figure(draw: charts.Draw, caption: str, key: str = "") -> str:
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{key}{charts.both(draw)}{said}</figure>"
