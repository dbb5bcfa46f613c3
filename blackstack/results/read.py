"""Reading records, of this schema and of older ones, as typed values; what is none is refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackstack.errors import UsageError
from blackstack.results.write import LAYERS, SCHEMA

Interval = tuple[float, float]


class _Part(BaseModel):
    """A part of a record: newer keys are let be, and nothing is changed after it was read."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Summary(_Part):
    """The statistics of one measure of one run, in milliseconds; all but ``n`` are absent where nothing was measured.

    Attributes:
        too_few: percentiles that rest on a handful of samples.
        percentile_ci95: the 95 % interval of each percentile; None where there are too few samples for one.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    min: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    ci95: Interval | None = None
    too_few: tuple[str, ...] = ()
    percentile_ci95: Mapping[str, Interval | None] = Field(default_factory=dict)


class Samples(_Part):
    """Good requests as columns, shape (rows,): each ``every``-th of ``of``."""

    every: int = 1
    of: int = 0
    sent_ms: tuple[float, ...] = ()
    ttft_ms: tuple[float, ...] = ()
    tpot_ms: tuple[float, ...] = ()
    e2e_ms: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()


class Client(_Part):
    """What the client saw of itself."""

    bound: bool = False
    bound_reasons: tuple[str, ...] = ()
    delivered_concurrency: float | None = None
    cpu_share: float | None = None
    max_loop_lag_ms: float | None = None
    p99_loop_lag_ms: float | None = None


class Run(_Part):
    """One load and what came of it.

    Attributes:
        output_tokens_per_s: without warm-up and cool-down. Schema 1 counted the cool-down in, and had no
            ``cooldown``.
    """

    concurrency: int
    repeat: int = 0
    rate: float | None = None
    warmup_excluded: int = 0
    requests: int
    ok: int
    duration_s: float
    output_tokens: int
    input_tokens: int = 0
    output_tokens_per_s: float
    tokens_counted_by: str = "server"
    short_replies: int = 0
    looping_replies: int = 0
    looping_examples: tuple[str, ...] = ()
    cooldown: Mapping[str, float] | None = None
    ttft_ms: Summary
    gap_ms: Summary
    tpot_ms: Summary
    e2e_ms: Summary
    queue_ms: Summary = Summary(n=0)
    failures: Mapping[str, int] = Field(default_factory=dict)
    failure_examples: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    failed_at_s: tuple[float, ...] = ()
    samples: Samples = Samples()
    histograms: Mapping[str, tuple[tuple[float, float], ...]] = Field(default_factory=dict)
    goodput: Mapping[str, Any] | None = None
    surroundings: Mapping[str, Any] = Field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    client: Client = Client()

    @property
    def failed(self) -> int:
        """Return how many requests failed."""
        return sum(self.failures.values())


class Reported(_Part):
    """A figure that somebody wrote down, without a record: it can be looked at, and proves nothing.

    Attributes:
        provenance: who, when, and that it was not reproduced.
        tokens_per_s: ``low`` and ``high``, and the ``mean`` where it was told.
    """

    provenance: str
    what: str
    tokens_per_s: Mapping[Literal["low", "mean", "high"], float]


class Record(_Part):
    """A measurement, or a reported figure.

    Attributes:
        name: the file's name without its ending; how people call it.
        schema_version: of the file as it was written.
    """

    name: str = ""
    schema_version: int = Field(alias="schema")
    measured_at: str = ""
    complete: bool = False
    missing: tuple[str, ...] = ()
    asked_for: Mapping[str, Any] = Field(default_factory=dict)
    found_inside: Mapping[str, Any] = Field(default_factory=dict)
    ran_on: Mapping[str, Any] = Field(default_factory=dict)
    knee: Mapping[str, Any] | None = None
    runs: tuple[Run, ...] = ()
    reported: tuple[Reported, ...] = ()

    @property
    def stack(self) -> str | None:
        """Return the stack that was measured, where it was one of ours."""
        name = self.asked_for.get("stack")
        return name if isinstance(name, str) else None

    @property
    def workload(self) -> Mapping[str, Any]:
        """Return what was asked of the server."""
        told = self.asked_for.get("workload")
        return told if isinstance(told, Mapping) else {}

    @property
    def layers(self) -> dict[str, Mapping[str, Any]]:
        """Return the three layers; the workload, which is compared by itself, is not in them."""
        told = {layer: dict(getattr(self, layer)) for layer in LAYERS}
        told["asked_for"].pop("workload", None)
        return dict(told)


def load(path: Path) -> Record:
    """Read a record.

    Raises:
        UsageError: it cannot be read, is no record, or was written by a newer version of this program.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}", why=error.strerror or str(error), fix="inv bench writes one") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON", why=str(error), fix="inv bench writes a record") from None
    return parse(data, name=path.stem)


def parse(data: object, *, name: str) -> Record:
    """Read a record that is in memory already."""
    version = data.get("schema") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(version, int):
        raise UsageError(f"{name} is no record of a measurement", why="it has no schema", fix="inv bench writes one")
    if version > SCHEMA:
        raise UsageError(
            f"{name} was written by a newer version", why=f"schema {version}; here {SCHEMA} is known", fix="git pull"
        )
    told = {**data, "name": name}
    if "found" in told:  # of `python -m blackstack.bench`, which has its own word
        told["found_inside"] = told["found"]
        told["missing"] = [layer for layer in LAYERS if not told.get(layer)]
        told["complete"] = not told["missing"]
        told["measured_at"] = told.get("started_at", "")
    try:
        return Record.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{name} is no whole record", why=f"{where}: {first['msg']}", fix="measure again") from None
