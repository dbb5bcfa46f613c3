"""Bench: measure a server that is up, and write down what was asked for, found inside and run on."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from blackstack import catalog, console, host, inside, results
from blackstack.bench import Target, Workload, measure
from blackstack.bench.table import knee_line, notes
from blackstack.catalog import Stack
from blackstack.errors import BlockedError, UsageError
from blackstack.interrupt import interruptible
from blackstack.report import loads
from blackstack.verbs import broken, ceilings
from blackstack.verbs.choose import ROOT, Found, chosen, find, placeless


@dataclass(frozen=True, kw_only=True)
class Order:
    """Where to measure and where to write.

    Attributes:
        stack: a name, or None for the one that is up.
        url: a server that need not be a stack of ours; then ``model`` is its model's name.
        api_key_env: the variable that holds the key for ``url``; no key is sent without it.
        out: the file to write; None: a new one in ``results/``.
        as_json: print the record, and nothing else, on standard output.
    """

    stack: str | None = None
    url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    out: str | None = None
    as_json: bool = False

    @staticmethod
    def name_of(result: results.Result) -> str:
        """Return what a record is called after."""
        return str(result.asked_for.get("stack") or "url")


def bench(order: Order, workload: Workload) -> None:
    """Measure, print and write the record."""
    if order.out and Path(order.out).is_dir():
        raise UsageError(
            f"{order.out} is a folder", why="--out names a file", fix=f"--out {Path(order.out) / 'NAME.json'}"
        )
    target, found, result = _measure(order, workload)
    path, unsaved = _kept(result, order)
    if order.as_json:
        console.raw(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        _show(target, result, path)
    if error := unsaved or broken.failure(result.measured["runs"], target.url, found):
        error.why = (*error.why, f"the record tells more: {shown(path)}")
        raise error


def measured(order: Order, workload: Workload) -> results.Result:
    """Measure, and return the record without writing it; a server that did not live to the end has none."""
    target, found, result = _measure(order, workload)
    runs = result.measured["runs"]
    if any(run["given_up"] for run in runs) and (error := broken.failure(runs, target.url, found)):
        raise error
    return result


def merged(rounds: Sequence[results.Result], *, repeats: int) -> results.Result:
    """Return one record of several measurements of one thing, each of them a repeat."""
    first = rounds[0]
    runs = [{**run, "repeat": repeat} for repeat, each in enumerate(rounds) for run in each.measured["runs"]]
    asked_for = {**first.asked_for, "workload": {**first.asked_for["workload"], "repeats": repeats}}
    return replace(first, asked_for=asked_for, measured={**first.measured, "runs": runs, "repeats": []})


def _kept(result: results.Result, order: Order) -> tuple[Path, BlockedError | None]:
    """Write a record where it was asked for, or else in ``results/``: minutes of work are not lost for a name."""
    name = order.name_of(result)
    try:
        return save(result, order.out, name), None
    except BlockedError as error:
        if not order.out:
            raise
        return save(result, None, name), error


def save(result: results.Result, out: str | None, name: str) -> Path:
    """Write a record, where it was asked for or to a new file in ``results/``."""
    path = Path(out) if out else results.default_path(ROOT / "results", name, result.measured_at)
    try:
        return results.save(result, path)
    except OSError as error:
        raise BlockedError(f"cannot write {path}", why=error.strerror or str(error), fix="--out FILE") from error


def shown(path: Path) -> Path:
    """Return a path as a person in the repository would write it."""
    return path.relative_to(ROOT) if path.is_absolute() and path.is_relative_to(ROOT) else path


def pins(stack: Stack) -> dict[str, str | None]:
    """Return which version a stack is pinned to: what makes a record of it old."""
    settings = catalog.settle(stack, profile=None, overrides=(), from_shell={})
    image = settings["IMAGE"].value if "IMAGE" in settings else None
    return {"engine_version": stack.x.engine_version, "image": image}


def _measure(order: Order, workload: Workload) -> tuple[Target, Found | None, results.Result]:
    if order.url and order.stack:
        raise UsageError("--url measures a server, --stack a stack: give one of the two")
    with interruptible() as interruption, console.progress() as progress:
        interruption.leaves = "nothing was written"
        found = None if order.url else _server(order.stack)
        if found:
            interruption.leaves = f"nothing was written; {found.stack.name} is still up"
        target = _target(order, found)
        progress.stage(f"bench {target.url}")
        with broken.explained(found):
            measurement = measure(target, workload, progress=progress.line, pulse=progress.line, warn=progress.note)
        progress.stage("look inside")
        told = measurement.as_dict()
        result = results.Result(
            asked_for=placeless({**_asked_for(found, measurement.target), "workload": workload.as_dict()}),
            found_inside=placeless({**told["found"], **_found_inside(found, target)}),
            ran_on={**told["ran_on"], **inside.ran_on(host.look(ROOT))},
            measured={key: told[key] for key in ("tool", "runs", "knee", "repeats")},
        )
    return measurement.target, found, ceilings.with_shares(result)


def _server(name: str | None) -> Found:
    stack = chosen(name, "measure")
    found = find(stack, include_dead=True)
    if found is None:
        raise UsageError(f"{stack.name} is not up", fix=f"inv up --stack {stack.name}")
    if not found.alive:
        raise UsageError(
            f"{stack.name} is not up any more",
            why=found.running.ended,
            fix=[f"inv diagnose --stack {stack.name}", f"inv up --stack {stack.name}"],
        )
    return found


def _target(order: Order, found: Found | None) -> Target:
    if found is None:
        key = _key_of(order)
        return Target(url=(order.url or "").rstrip("/").removesuffix("/v1"), model=order.model, api_key=key)
    profile = found.note.get("asked_for", {}).get("profile")
    settings = catalog.settle(found.stack, profile=profile, overrides=(), from_shell=os.environ)
    key = settings["API_KEY"].value if "API_KEY" in settings else None
    return Target(url=found.running.url, model=order.model or found.model, api_key=key or None, noise=found.noise)


def _key_of(order: Order) -> str | None:
    """Return the key for somebody else's server: only the one that was pointed at, never one of ours."""
    if order.api_key_env is None:
        return None
    if key := os.environ.get(order.api_key_env):
        return key
    raise UsageError(f"the variable {order.api_key_env} is not set", fix=f"export {order.api_key_env}=…")


def _asked_for(found: Found | None, target: Target) -> Mapping[str, Any]:
    if found is None:
        return {"url": target.url, "model": target.model}
    # A server that somebody started by hand has no note; then the record is honest about it.
    asked_for = found.note.get("asked_for") or {
        "stack": found.stack.name,
        "settings": "not known: not started by inv up",
    }
    return {**asked_for, "pins": pins(found.stack)}


def _found_inside(found: Found | None, target: Target) -> dict[str, Any]:
    if found is None:
        return inside.model_of(target)
    return inside.found(found.stack, found.runtime, found.running, found.note, target)


def _show(target: Target, result: results.Result, path: Path) -> None:
    console.say(f"{target.url}  model {target.model}")
    record = results.parse(result.as_dict(), name=path.stem)
    console.table(*_table(record))
    for line in _noted(result, record):
        console.say(line)
    if warmup := result.measured["runs"][0]["warmup_excluded"]:
        console.say(f"in no figure: {warmup} warm-up requests before each run, and requests that failed")
    if knee := result.measured.get("knee"):
        console.say(knee_line(knee))
    if quality := result.found_inside.get("quality"):
        console.say(f"quality: {quality['right']} of {quality['asked']} right, {quality['degenerate']} degenerate")
    for line in ceilings.lines(result):
        console.say(line)
    if result.missing:
        console.say(f"incomplete, no baseline: {', '.join(result.missing)} could not be found out")
    console.say(f"written: {shown(path)}")


def _table(record: results.Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a row for each run, and of repeats of a load one more that has their medians."""
    of = loads.repeats(record)
    by_rate = any(run.rate is not None for run in record.runs)
    heads = ("RATE" if by_rate else "CONCURRENCY", *("REPEAT",) * (of > 1), "REQUESTS")
    rows: list[tuple[str, ...]] = []
    for load in loads.loads(record, failed=True):
        rows += [
            (load.short, *(f"{run.repeat + 1} of {of}",) * (of > 1), str(run.requests), *_figures([run]))
            for run in load.runs
        ]
        if of > 1:
            rows.append((load.short, "median", str(sum(run.requests for run in load.runs)), *_figures(load.runs)))
    return (*heads, "TTFT p50", "TTFT p99", "GAP p50", "GAP p99", "TOKENS/S", "FAILED"), rows


def _noted(result: results.Result, record: results.Record) -> Iterator[str]:
    """Yield what a reader must know of the runs; what holds for all of them is said once."""
    of, said = loads.repeats(record), dict[str, list[str]]()
    for told, run in zip(result.measured["runs"], record.runs, strict=True):
        for note in notes(told):
            said.setdefault(note, []).append(loads.run_of(run, of))
    for note, runs in said.items():
        whose = "each run: " if len(runs) == len(record.runs) else f"{'; '.join(runs)}: "
        yield note if len(record.runs) == 1 else whose + note


def _figures(runs: Sequence[results.Run]) -> tuple[str, ...]:
    times = (
        [getattr(getattr(run, measure), percent) for run in runs if run.ok]
        for measure in ("ttft_ms", "gap_ms")
        for percent in ("p50", "p99")
    )
    known = ([value for value in values if value is not None] for values in times)
    rate = statistics.median(run.output_tokens_per_s for run in runs)
    shown = (f"{statistics.median(values):.1f} ms" if values else "-" for values in known)
    return (*shown, f"{rate:.1f}", str(sum(run.failed for run in runs)))
