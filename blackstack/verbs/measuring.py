"""Bench: measure a server that is up, and write down what was asked for, found inside and run on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from blackstack import catalog, console, host, results
from blackstack.bench import Measurement, Target, Workload, measure
from blackstack.engines import ENGINES
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.interrupt import interruptible
from blackstack.ready import PROBE_S
from blackstack.verbs.choose import ROOT, Found, chosen, find

ANSWER_S = 10.0  # for a question about versions; the server may be busy


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


def bench(order: Order, workload: Workload) -> None:
    """Measure, print and write the record."""
    if order.url and order.stack:
        raise UsageError("--url measures a server, --stack a stack: give one of the two")
    with interruptible() as interruption, console.progress() as progress:
        interruption.leaves = "nothing was written"
        found = None if order.url else _server(order.stack)
        if found:
            interruption.leaves = f"nothing was written; {found.stack.name} is still up"
        target = _target(order, found)
        progress.stage(f"bench {target.url}")
        measured = measure(target, workload, progress=progress.line)
        progress.stage("look inside")
        told = measured.as_dict()
        result = results.Result(
            asked_for={**_asked_for(found, measured.target), "workload": workload.as_dict()},
            found_inside={**told["found"], **_found_inside(found, target)},
            ran_on={**told["ran_on"], **host.look(ROOT).as_record()},
            measured={key: told[key] for key in ("tool", "runs", "repeats")},
        )
    name = found.stack.name if found else "url"
    path = Path(order.out) if order.out else results.default_path(ROOT / "results", name, result.measured_at)
    try:
        results.save(result, path)
    except OSError as error:
        raise BlockedError(f"cannot write {path}", why=error.strerror or str(error), fix="--out FILE") from error
    if order.as_json:
        console.raw(json.dumps(result.as_dict(), ensure_ascii=False))
    else:
        _show(target, measured, result, path)
    if failed := sum(sum(run["failures"].values()) for run in measured.as_dict()["runs"]):
        raise BlackstackError(f"{failed} requests failed", why=f"the record tells how: {path}", fix="inv logs")


def _server(name: str | None) -> Found:
    stack = chosen(name, "measure")
    found = find(stack)
    if found is None:
        raise UsageError(f"{stack.name} is not up", fix=f"inv up --stack {stack.name}")
    return found


def _target(order: Order, found: Found | None) -> Target:
    if found is None:
        key = _key_of(order)
        return Target(url=(order.url or "").rstrip("/").removesuffix("/v1"), model=order.model, api_key=key)
    profile = found.note.get("asked_for", {}).get("profile")
    settings = catalog.settle(found.stack, profile=profile, overrides=(), from_shell=os.environ)
    key = settings["API_KEY"].value if "API_KEY" in settings else None
    return Target(url=found.running.url, model=order.model or found.model, api_key=key or None)


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
    return found.note.get("asked_for") or {
        "stack": found.stack.name,
        "settings": "not known: not started by inv up",
    }


def _found_inside(found: Found | None, target: Target) -> dict[str, Any]:
    """Ask the running server; a thing that does not answer is left out, never guessed."""
    inside: dict[str, Any] = {}
    served = _get(target, "/v1/models").get("data") or []
    if served:
        inside["model"] = {key: served[0][key] for key in ("id", "root", "max_model_len", "meta") if key in served[0]}
    if found is None:
        return inside
    engine = ENGINES[found.stack.x.engine]
    if version := _get(target, engine.version_path).get(engine.version_key):
        inside["engine"] = {"name": found.stack.x.engine, "version": version}
    with contextlib.suppress(BlackstackError, ValueError):
        inside["packages"] = json.loads(found.runtime.ask(found.stack, _versions(engine.packages)))
    stages = found.note.get("stage_seconds")
    return {**inside, **found.running.found_inside, **({"start_up_seconds": stages} if stages else {})}


def _versions(packages: Sequence[str]) -> str:
    return (
        "import json, platform, importlib.metadata as m; "
        f"names = {list(packages)!r}; have = {{d.metadata['Name'] for d in m.distributions()}}; "
        "print(json.dumps({'python': platform.python_version(), **{n: m.version(n) for n in names if n in have}}))"
    )


def _get(target: Target, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}
    with requests.Session() as session, contextlib.suppress(requests.RequestException):
        session.trust_env = False
        answer = session.get(target.url + path, headers=headers, timeout=(PROBE_S, ANSWER_S))
        data = answer.json() if answer.ok else {}
        return data if isinstance(data, dict) else {}
    return {}


def _show(target: Target, measured: Measurement, result: results.Result, path: Path) -> None:
    console.say(f"{target.url}  model {target.model}")
    heads = ("CONCURRENCY", "REQUESTS", "TTFT p50", "p99", "GAP p50", "p99", "TOKENS/S", "FAILED")
    rows = []
    for run in measured.as_dict()["runs"]:
        ttft, gap = run["ttft_ms"], run["gap_ms"]
        rows.append(
            (
                str(run["concurrency"]),
                str(run["requests"]),
                *(f"{value:.1f} ms" if value is not None else "-" for value in (ttft.get("p50"), ttft.get("p99"))),
                *(f"{value:.1f} ms" if value is not None else "-" for value in (gap.get("p50"), gap.get("p99"))),
                f"{run['output_tokens_per_s']:.1f}",
                str(sum(run["failures"].values())),
            )
        )
    console.table(heads, rows)
    if result.missing:
        console.say(f"incomplete, no baseline: {', '.join(result.missing)} could not be found out")
    where = path.relative_to(ROOT) if path.is_absolute() and path.is_relative_to(ROOT) else path
    console.say(f"written: {where}")
