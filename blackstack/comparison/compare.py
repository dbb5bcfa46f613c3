"""From two records to a comparison, or to the reason why there can be none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blackstack.comparison import differences
from blackstack.comparison.differences import Difference
from blackstack.comparison.effect import MEASURES, Effect, Verdict, effect
from blackstack.comparison.interval import RESAMPLES
from blackstack.errors import BlockedError, UsageError
from blackstack.results import Record, Run

Load = tuple[int, float | None]
LENGTHS_DIFFER: Final = 0.02  # of the tokens a request; more is another work, whatever was asked for
METHODS: Final = {
    "repeats": "95 % intervals of B / A over repeats: Student's t on logarithms, {how}",
    "requests": (
        f"95 % intervals of B / A from the requests of one run a side (bootstrap, {RESAMPLES} draws): a hint, because "
        "what differs from run to run is not in them; measure both with --repeats 3 or more to know"
    ),
    "nothing": "no intervals: they need three repeats a side, or one run a side with 8 requests or more",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B held against A.

    Attributes:
        effects: a row for each load and measure.
        differences: in the three layers.
        notes: what a reader must know before believing it.
        method: how the intervals were made, in a sentence.
    """

    a: Record
    b: Record
    effects: tuple[Effect, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    method: str

    @property
    def verdict(self) -> Verdict:
        """Return the verdict over all: that of the throughput at every load, where they agree."""
        said = {one.verdict for one in self.effects if one.more_is_better}
        shown = said & {"faster", "slower"}
        if len(shown) == 1 and said <= shown | {"no difference shown"}:
            return shown.pop()
        return "no difference shown" if said <= {"no difference shown"} and said else "not known"

    def too_slow(self, share: float) -> tuple[Effect, ...]:
        """Return the effects for which B is surely slower, by this share at least."""
        return tuple(one for one in self.effects if one.surely_slower(share))

    def unclear(self, share: float) -> tuple[Effect, ...]:
        """Return the effects for which being slower by this share is neither shown nor excluded."""
        return tuple(one for one in self.effects if one.perhaps_slower(share) and not one.surely_slower(share))

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison, ready for JSON."""
        return {
            "schema": 1,
            "a": _side(self.a),
            "b": _side(self.b),
            "verdict": self.verdict,
            "method": self.method,
            "effects": [
                {**dataclasses.asdict(one), "verdict": one.verdict, "slower_by": round(one.slower, 6)}
                for one in self.effects
            ],
            "differences": [dataclasses.asdict(one) for one in self.differences],
            "notes": list(self.notes),
        }


def compare(a: Record, b: Record, *, interleaved: bool = False) -> Comparison:
    """Hold a record against a baseline.

    Args:
        a: the baseline.
        b: what is held against it.
        interleaved: the repeats of both were made in turn, A B A B ….

    Raises:
        UsageError: they did different work, so that no ratio means anything.
        BlockedError: one of them is no honest measurement.
    """
    if a.reported or b.reported:
        return _looked_at(a, b)
    unlike = differences.of_work(a, b)
    loads = [load for load in _loads(a.runs) if load in _loads(b.runs)]
    if unlike:
        raise UsageError(
            f"{a.name} and {b.name} did different work",
            why=[str(one) for one in unlike],
            fix="measure both with the same workload: the same flags of inv bench",
        )
    if not loads:
        raise UsageError(
            f"{a.name} and {b.name} have no load in common",
            why=[f"{one.name}: {', '.join(_said(load) for load in _loads(one.runs)) or 'no runs'}" for one in (a, b)],
            fix="inv bench --concurrency with the same numbers",
        )
    for record in (a, b):
        _refuse(record, loads, baseline=record is a)
    pairs = [tuple([run for run in one.runs if _load(run) == load] for one in (a, b)) for load in loads]
    count = len(MEASURES) * len(loads)
    found = [
        effect(measure, mine, other, paired=interleaved, comparisons=count)
        for mine, other in pairs
        for measure in MEASURES
    ]
    effects = tuple(one for one in found if one)
    bases = [basis for basis in METHODS if any(one.basis == basis for one in effects)]
    how = "on neighbours (A B A B …)" if interleaved else "each side by itself (Welch)"
    return Comparison(
        a=a,
        b=b,
        effects=effects,
        differences=differences.of_layers(a, b),
        notes=tuple(_notes(a, b, pairs)),
        method="; ".join(METHODS[basis].format(how=how) for basis in bases[:1]),
    )


def _refuse(record: Record, loads: list[Load], *, baseline: bool) -> None:
    """Refuse what is no honest measurement at the loads that are compared."""
    runs = [run for run in record.runs if _load(run) in loads]
    role = "no baseline" if baseline else "nothing to compare"
    if failed := sum(run.failed for run in runs):
        kinds = sorted({kind for run in runs for kind, count in run.failures.items() if count})
        raise BlockedError(
            f"{record.name} is {role}: {failed} requests failed", why=", ".join(kinds), fix="inv logs, then inv bench"
        )
    if reasons := sorted({reason for run in runs for reason in run.client.bound_reasons}):
        raise BlockedError(
            f"{record.name} is {role}: the client was too busy to measure the server",
            why=reasons,
            fix=["inv bench --workers 2, or with less else running", "a client on another machine than the server"],
        )
    if baseline and record.missing:
        raise BlockedError(
            f"{record.name} is no baseline: it is incomplete",
            why=f"not known: {', '.join(record.missing)}",
            fix="inv bench of a stack that inv up has started",
        )


def _looked_at(a: Record, b: Record) -> Comparison:
    """Put a reported figure beside a measured one: to look at, without a verdict."""
    told = [f"{one.name}: {figure.what}, {_figures(figure.tokens_per_s)}" for one in (a, b) for figure in one.reported]
    measured = [
        f"{one.name}: {run.output_tokens_per_s:.1f} tokens/s at {_said(_load(run))}"
        for one in (a, b)
        for run in one.runs
    ]
    provenance = sorted({figure.provenance for one in (a, b) for figure in one.reported})
    return Comparison(
        a=a,
        b=b,
        effects=(),
        differences=(),  # nearly everything would be one: what was not told is not there
        notes=(*provenance, *told, *measured),
        method="none: a reported figure has no record, so nothing can be concluded from it",
    )


def _notes(a: Record, b: Record, pairs: Iterable[tuple[list[Run], ...]]) -> Iterable[str]:
    schemas = {record.schema_version for record in (a, b)}
    if len(schemas) > 1 and 1 in schemas:
        yield "one record is of schema 1, which counted the cool-down into the throughput"
    for mine, other in pairs:
        where = _said(_load(mine[0]))
        for what in ("input", "output"):
            lengths = [_length(side, what) for side in (mine, other)]
            if min(lengths) > 0 and abs(lengths[1] / lengths[0] - 1) > LENGTHS_DIFFER:
                told = f"{lengths[0]:.1f} and {lengths[1]:.1f}"
                yield f"{where}: {what} tokens a request differ, {told}: not quite the same work"
    if b.missing:
        yield f"{b.name} is incomplete, not known: {', '.join(b.missing)}"


def _length(runs: list[Run], what: str) -> float:
    good = sum(run.ok for run in runs)
    return sum(run.input_tokens if what == "input" else run.output_tokens for run in runs) / good if good else 0.0


def _loads(runs: Iterable[Run]) -> list[Load]:
    return list(dict.fromkeys(map(_load, runs)))


def _load(run: Run) -> Load:
    # In an open loop the concurrency is what came about, and not what was asked for.
    return (0, run.rate) if run.rate is not None else (run.concurrency, None)


def _said(load: Load) -> str:
    return f"concurrency {load[0]}" if load[1] is None else f"{load[1]:g} requests/s"


def _figures(told: Mapping[Any, float]) -> str:
    mean = f"{told['mean']:g} tokens/s" if "mean" in told else ""
    span = f"{told['low']:g} to {told['high']:g}" if told.get("low") != told.get("high") else ""
    return f"{mean} ({span})" if mean and span else mean or f"{span or format(told['low'], 'g')} tokens/s"


def _side(record: Record) -> dict[str, Any]:
    asked = record.asked_for
    about = {key: asked.get(key) for key in ("stack", "profile", "runtime", "model", "url") if asked.get(key)}
    return {"name": record.name, "measured_at": record.measured_at, **about}
