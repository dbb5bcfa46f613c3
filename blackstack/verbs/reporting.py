"""Report: from records to one HTML file, or to Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blackstack import comparison, console, results
from blackstack.comparison import Comparison
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.report import html, markdown
from blackstack.results import Record
from blackstack.verbs.choose import ROOT
from blackstack.verbs.comparing import read
from blackstack.verbs.measuring import shown

MOST: Final = 6  # records in one report: as many as there are colours that can be told apart
PAIR: Final = 2


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What goes into a report.

    Attributes:
        records: files, or names of baselines; none takes the newest record, of ``stack`` where that is given.
        out: the file to write.
        as_markdown: print Markdown instead.
    """

    records: tuple[str, ...] = ()
    stack: str | None = None
    out: str = "report.html"
    as_markdown: bool = False


def report(wanted: Wanted) -> None:
    """Write or print a report; of two records it is also their comparison."""
    records = read(wanted.records) or [_newest(wanted.stack)]
    if len(records) > MOST:
        raise UsageError(f"{len(records)} records are too many for one report", why=f"{MOST} can be told apart")
    compared = _compared(records)
    if wanted.as_markdown:
        console.raw(markdown.page(records, compared).rstrip())
        return
    path = Path(wanted.out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(html.page(records, compared), encoding="utf-8")
    except OSError as error:
        raise BlockedError(f"cannot write {path}", why=error.strerror or str(error), fix="--out FILE") from error
    console.say(f"written: {shown(path)}  ({', '.join(record.name for record in records)})")


def _compared(records: Sequence[Record]) -> Comparison | None:
    if len(records) != PAIR:
        return None
    try:
        return comparison.compare(*records)
    except BlackstackError as error:  # a report may show what cannot be compared; it says why
        console.tell(f"without a comparison: {error}")
        return None


def _newest(stack: str | None) -> Record:
    """Return the record that was written last."""
    files = sorted((ROOT / "results").glob(f"{stack or ''}*.json"), key=lambda path: path.stat().st_mtime)
    for path in reversed(files):
        try:
            record = results.load(path)
        except UsageError:  # other things lie there too
            continue
        if record.runs and stack in {None, record.stack}:
            return record
    of = f" of {stack}" if stack else ""
    raise UsageError(
        f"there is no record{of} in results/", fix=["inv up bench down", "or name a file: inv report --file FILE"]
    )
