"""A report as Markdown, for an issue or a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from blackstack.comparison import Comparison
from blackstack.report import compared, tables
from blackstack.results import Record


def page(records: Sequence[Record], comparison: Comparison | None = None) -> str:
    """Return the tables of a report."""
    parts = []
    for record in records:
        parts += [f"## {record.name}", "", tables.summary(record).markdown(), ""]
        parts += [f"> {one.provenance}. {one.what}." for one in record.reported]
        failed = tables.failures(record)
        parts += [failed.markdown(), ""] if failed.rows else []
    if comparison is not None:
        parts += ["## Comparison", "", compared.markdown(comparison)]
    return "\n".join(parts).rstrip() + "\n"
