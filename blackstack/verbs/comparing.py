"""Compare: two records, or two stacks that are started and measured in turn."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from blackstack import catalog, comparison, console, results
from blackstack.bench import Workload
from blackstack.comparison import Comparison
from blackstack.errors import BlockedError, UsageError, unknown_name
from blackstack.interrupt import undisturbed
from blackstack.plan import Wishes
from blackstack.report import compared, tables
from blackstack.results import Record
from blackstack.verbs import measuring, running
from blackstack.verbs.choose import ROOT, find

BASELINES: Final = ROOT / "results/baselines"
TOO_SLOW: Final = 1
ATTEMPTS: Final = 3  # at a round in which other work took the client's time


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared, and how it is shown.

    Attributes:
        a: the baseline: a file, the name of a committed baseline, or a stack (``NAME`` or ``NAME:PROFILE``).
        b: what is held against it; a stack, if ``a`` is one.
        fail_if_slower: a share such as 0.05.
        rounds: of stacks: how often each is started and measured, in turn.
        runtime: of stacks.
    """

    a: str
    b: str
    fail_if_slower: float | None = None
    as_json: bool = False
    as_markdown: bool = False
    rounds: int = 3
    runtime: str = "auto"


def compare(sides: Sides, workload: Workload) -> int:
    """Compare, print, and return the exit code."""
    words = (sides.a, sides.b)
    stacks = [_stack(word) for word in words]
    if all(stacks):
        records = in_turn([one for one in stacks if one], sides, workload)
    elif alone := [word for word, stack in zip(words, stacks, strict=True) if stack and not _baseline(word)]:
        raise UsageError(
            f"{sides.a} and {sides.b} are a file and a stack",
            why="two stacks are measured in turn, on the same machine in the same hour; a file was measured elsewhen",
            fix=f"compare two files, or two stacks; {alone[0]} has no baseline in results/baselines/",
        )
    else:
        records = read(words)
    found = comparison.compare(*records, interleaved=all(stacks))
    found = replace(found, notes=(*found.notes, *(note for record in records for note in stale(record))))
    share = sides.fail_if_slower
    if share is not None and not any(one.basis == "repeats" for one in found.effects):
        raise UsageError(
            "--fail-if-slower needs repeats",
            why="one run a side cannot tell a slower server from a slower moment",
            fix="inv bench --repeats 3 (or more) for both, or compare two stacks",
        )
    if sides.as_json:
        console.raw(json.dumps(found.as_dict(), ensure_ascii=False))
    elif sides.as_markdown:
        console.raw(compared.markdown(found))
    else:
        show(found)
    return _gate(found, share) if share is not None else 0


def show(found: Comparison) -> None:
    """Print a comparison for people."""
    console.prose(compared.headline(found))
    if found.effects:
        heads, rows = tables.terminal(tables.effects(found))
        console.pairs({"A": found.a.name, "B": found.b.name})  # so that they need not stand in the heads
        console.table([head.partition(": ")[0] for head in heads], rows)
    for line in compared.footnotes(found):
        console.prose(line)


def read(words: Sequence[str]) -> list[Record]:
    """Read records: files, or committed baselines by their names. Two files of one name get their folders' as well."""
    records = [_read(word) for word in words]
    names = [record.name for record in records]
    return [
        record if names.count(record.name) == 1 else record.model_copy(update={"name": word.removesuffix(".json")})
        for word, record in zip(words, records, strict=True)
    ]


def _read(word: str) -> Record:
    path = Path(word)
    if path.is_file() or path.suffix == ".json" or "/" in word:
        return results.load(path)
    if _baseline(word):
        return results.load(BASELINES / f"{word}.json")
    names = [each.stem for each in BASELINES.glob("*.json")]
    raise unknown_name(
        "file, baseline or stack", word, {*names, *catalog.names(ROOT)}, see="ls results/ results/baselines/"
    )


def _baseline(word: str) -> bool:
    return word in {each.stem for each in BASELINES.glob("*.json")}


def stale(record: Record) -> Iterator[str]:
    """Say where the stack's pin has moved since a record was made: what it tells is of another version."""
    if record.stack not in catalog.names(ROOT):
        return
    then, now = record.asked_for.get("pins"), measuring.pins(catalog.load(ROOT, record.stack))
    if not isinstance(then, dict):
        yield f"{record.name} does not say which version of {record.stack} was pinned"
        return
    moved = [f"{key} {then.get(key)} → {now.get(key)}" for key in {**then, **now} if then.get(key) != now.get(key)]
    if moved:
        again = f"inv up --stack {record.stack} && inv bench --repeats 3 --out FILE"
        yield f"{record.name} is stale: the pin of {record.stack} has moved ({', '.join(moved)}); measure anew: {again}"


def in_turn(stacks: list[tuple[str, str | None]], sides: Sides, workload: Workload) -> list[Record]:
    """Start, measure and stop each stack, A B A B …, and return a record for each, its rounds as repeats.

    Whatever changes slowly on the machine meets both alike; what differs from start to start is in the spread.
    """
    for name, _ in stacks:
        if found := find(catalog.load(ROOT, name)):
            raise BlockedError(
                f"{name} is up already ({found.running.identity})",
                why="it is started and stopped for each round of a comparison",
                fix=f"inv down --stack {name}",
            )
    taken: list[list[results.Result]] = [[] for _ in stacks]
    with contextlib.redirect_stdout(sys.stderr):  # the way there is no result
        for round_ in range(sides.rounds):
            for side, (name, profile) in enumerate(stacks):
                console.tell(f"round {round_ + 1} of {sides.rounds}, {'AB'[side]}: {_title(name, profile)}")
                taken[side].append(_one_round(name, Wishes(runtime=sides.runtime, profile=profile), workload, round_))
    records = []
    for (name, profile), rounds in zip(stacks, taken, strict=True):
        whole = measuring.merged(rounds, repeats=sides.rounds)
        path = measuring.save(whole, None, _title(name, profile).replace(":", "-"))
        console.tell(f"written: {measuring.shown(path)}")
        record = results.load(path)
        records.append(record.model_copy(update={"name": _title(name, profile)}))
    return records


def _one_round(name: str, wishes: Wishes, workload: Workload, round_: int) -> results.Result:
    """Start, measure and stop; what a busy client spoiled is measured again, a few times."""
    running.up(name, wishes)
    try:
        again = replace(workload, repeats=1, seed=workload.seed + round_)  # other prompts, the same for both sides
        for _ in range(ATTEMPTS):
            result = measuring.measured(measuring.Order(stack=name), again)
            reasons = [reason for run in result.measured["runs"] for reason in run["client"]["bound_reasons"]]
            if not reasons:
                break
            console.tell(f"the client was too busy to measure the server: {reasons[0]}")
        return result
    finally:
        with undisturbed():
            running.down(name)


def _gate(found: Comparison, share: float) -> int:
    slow, unclear = found.too_slow(share), found.unclear(share)
    for one in slow:
        console.tell(
            f"FAIL: {one.measure} at concurrency {one.concurrency} is {one.slower:.1%} slower, {share:.1%} allowed"
        )
    if unclear and not slow:
        console.tell(
            f"{len(unclear)} of {len(found.effects)} measures are neither shown nor excluded to be {share:.1%} slower: "
            "more repeats would tell"
        )
    return TOO_SLOW if slow else 0


def _stack(word: str) -> tuple[str, str | None] | None:
    """Return the stack and the profile that a word names; None where it names no stack."""
    name, _, profile = word.partition(":")
    known = name in catalog.names(ROOT) and not Path(word).is_file()
    return (name, profile or None) if known else None


def _title(name: str, profile: str | None) -> str:
    return f"{name}:{profile}" if profile else name
