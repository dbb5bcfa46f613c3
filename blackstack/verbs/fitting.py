"""Fit: does a model fit a card, and with which flags; nothing is loaded, no GPU is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from blackstack import catalog, console, fit, shell
from blackstack.catalog import Stack
from blackstack.doctor.checks.gpu import too_old, too_small
from blackstack.errors import BlackstackError, UsageError
from blackstack.facts import gpus
from blackstack.facts.gpu import Gpu
from blackstack.fit import show
from blackstack.fit.engines import NEWEST
from blackstack.fitcheck import knob_of_flag
from blackstack.verbs.choose import ROOT

LIST = "list"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was typed; see the task's help."""

    model: str
    gpu: str | None
    engine: str
    context: int | None
    concurrency: int
    kv_dtype: str
    utilization: float | None
    sequences: int | None
    tp: int
    pool_gib: float | None
    assume: str | None
    as_json: bool


def answer(question: Question) -> int:
    """Print the answer and return the exit code: 0 it fits, 1 it does not."""
    if LIST in {question.model, question.gpu}:
        _list_known(as_json=question.as_json)
        return 0
    found = fit.estimate(
        fit.Ask(
            model=fit.find_model(question.model, assume=question.assume),
            card=_card(question.gpu),
            engine=fit.engine(question.engine),
            context=question.context,
            concurrency=question.concurrency,
            kv_dtype=question.kv_dtype,
            utilisation=question.utilization,
            sequences=question.sequences,
            tensor_parallel=question.tp,
            pool_gib=question.pool_gib,
        )
    )
    if question.as_json:
        console.raw(json.dumps({**found.as_dict(), "overrides": overrides(found)}, ensure_ascii=False))
        return int(not found.fits)
    for line in show.lines(found):
        console.say(line)
    for stack, words in overrides(found).items():
        console.say(f"  up       {shell.typed(['inv', 'up', '--stack', stack, *words])}")
    if not found.fits:
        helping = fit.flags_that_fit(found.ask)
        told = " ".join(f"{flag} {value}" for flag, value in helping.items()) if helping else ""
        console.say(f"  next     {told or 'a smaller model, a stronger quantisation, or more cards (--tp)'}")
    return int(not found.fits)


def overrides(found: fit.Fit) -> Mapping[str, list[str]]:
    """Return, for each stack that serves this model with this engine, the words for `inv up`."""
    told: dict[str, list[str]] = {}
    try:
        stacks: tuple[Stack, ...] = catalog.load_all(ROOT)
    except BlackstackError:  # a stack with faults is told about by `inv stacks`; the sum stands without it
        return told
    names, card = _names(found.ask.model.name), found.ask.card
    wanted = Gpu(index=0, name=card.name, total_mib=card.memory_mib, compute_capability=card.cc)
    for stack in stacks:
        if not found.fits or stack.x.engine != found.ask.engine.name or not names & _names(stack.x.model):
            continue
        other_version = found.ask.engine.version not in {NEWEST, stack.x.engine_version}
        needs = stack.x.needs
        if not needs.vram_gib or other_version or too_old(wanted, needs) or too_small(wanted, needs):
            continue
        knobs = knob_of_flag(stack)
        shards = fit.flag_names(stack.x.engine).get("shards", "")
        if shards in found.flags and shards not in knobs:  # its container gets one card
            continue
        pairs = [("--set", f"{knobs[flag]}={value}") for flag, value in found.flags.items() if flag in knobs]
        told[stack.name] = [word for pair in pairs for word in pair]
        if others := [word for flag, value in found.flags.items() if flag not in knobs for word in (flag, value)]:
            told[stack.name].append(f"--extra={shell.typed(others)}")
    return told


def _names(model: str) -> set[str]:
    return {model.lower(), model.lower().rpartition("/")[2]}


def _card(name: str | None) -> fit.Card:
    if name:
        return fit.card(name)
    here = gpus.look()
    if not here.cuda_cards:
        why = f"CUDA_VISIBLE_DEVICES={here.visible}" if here.cards else here.detail or str(here.why_none)
        raise UsageError("which card? there is none here", why=why, fix=["--gpu rtx-5090", "see them all: --gpu list"])
    return fit.gpus.with_memory(here.cuda_cards[0].name, here.cuda_cards[0].total_mib)


def _list_known(*, as_json: bool) -> None:
    if as_json:
        data = {"models": list(fit.model_names()), "gpus": [vars(one) for one in fit.cards()]}
        console.raw(json.dumps(data, default=list, ensure_ascii=False))
        return
    known = ", ".join(fit.model_names())
    console.pairs({"models": f"{known}, or a folder with a config.json, or a hub's id"})
    console.say()
    rows = [
        (one.name, one.cc, f"{one.memory_mib:,} MiB", f"{one.gb_s:g} GB/s", ", ".join(one.not_verified) or "-")
        for one in fit.cards()
    ]
    console.table(("CARD", "CC", "MEMORY", "BANDWIDTH", "NOT VERIFIED"), rows)
