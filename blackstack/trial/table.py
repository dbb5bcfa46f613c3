"""Trials as rows, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from blackstack.report.tables import Table
from blackstack.trial import sure
from blackstack.trial.cell import Trial

HEADS = ("TRIAL", "OUTCOME", "USED", "TOKENS/S", "95 %", "ANSWERS", "LOAD", "MEMORY", "WHY")


def rows(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return a row a trial, under HEADS."""
    return [_row(trial) for trial in trials]


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table."""
    return Table(title="", heads=tuple(heads), rows=tuple(map(tuple, rows))).markdown() + "\n"


def _row(trial: Trial) -> tuple[str, ...]:
    rate = sure.rate(trial.seen.rates)
    quality = trial.seen.quality
    between = f"{rate.low:.1f} to {rate.high:.1f}" if rate and rate.low is not None and rate.high is not None else "-"
    memory = trial.seen.gpu_mib << 20 if trial.seen.gpu_mib is not None else trial.peak_memory_bytes
    why = trial.why + (f" [{trial.code}]" if trial.code else "")
    return (
        trial.label,
        trial.outcome,
        trial.used or ("not said" if trial.asked else "-"),
        f"{rate.value:.1f}" if rate else "-",
        between,
        f"{quality.right}/{quality.asked}" if quality else "-",
        f"{trial.load_s:.1f} s" if trial.load_s is not None else "-",
        f"{memory / (1 << 30):.2f} GiB" if memory else "-",
        why,
    )
