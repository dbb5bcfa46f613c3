"""A plan held against a card: does its model, with its flags, fit? The arithmetic is `fit`'s; nothing is asked here.

What cannot be judged (a model that is not in the catalogue, an engine without rules) gives no finding: a guess is no
reason to refuse.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from blackstack import fit
from blackstack.catalog import Stack, template
from blackstack.errors import UsageError
from blackstack.finding import Finding
from blackstack.fit.gpus import GIB
from blackstack.plan import Plan

SLACK = 0.05  # what the arithmetic may be wrong by: within it we warn, and let the engine decide
_MODEL_FLAGS = ("--model", "--model-path", "-m")


def check_fit(plan: Plan, gpu: str, memory_mib: int) -> Finding | None:
    """Say whether a plan's server cannot start on a card, and with which knobs it could.

    Args:
        plan: what would be run.
        gpu: the card's name as its driver prints it.
        memory_mib: its memory.
    """
    asked = ask_of(plan, gpu, memory_mib)
    if asked is None:
        return None
    found = fit.estimate(asked)
    if found.fits:
        return None
    # One request of the full length must fit, or vLLM ends with «No available memory for the cache blocks».
    roomier = fit.estimate(replace(asked, pool_gib=max(found.pool + SLACK * found.budget.total, 1) / GIB))
    return Finding(
        code="model-does-not-fit",
        severity="warning" if roomier.fits else "error",
        title=f"{asked.model.name} with {found.context:,} tokens of context does not fit {gpu}",
        evidence=(
            f"weights: {found.weights / GIB:.2f} GiB of the card's {asked.card.usable_gib:.2f}",
            f"left for context at {found.load.utilisation:.0%} of the card: {max(found.pool, 0) / GIB:.2f} GiB",
            f"each token takes {found.bytes_a_token:,} B; the longest request that fits: {found.max_context:,} tokens",
        ),
        cause="the engine loads the weights first, for minutes, and ends where the rest cannot hold one request",
        fix=_fix(plan, asked),
        verify=f"inv fit --model {asked.model.name} --gpu {shlex.quote(gpu)} --engine {asked.engine.pinned}",
        source="blackstack/fit/data/engines.yaml",
    )


def ask_of(plan: Plan, gpu: str, memory_mib: int) -> fit.Ask | None:
    """Return the question that a plan puts to the arithmetic, or None where it cannot be put."""
    stack = plan.stack
    values = {key: setting.value for key, setting in plan.settings.items()}
    words = [template.fill(str(word), values) for word in stack.service.get("command", ())]
    words += plan.extra.flags  # behind the others: an engine takes the last one
    given = flags_of(words)
    version = f"=={stack.x.engine_version}" if stack.x.engine_version else ""
    try:
        engine = fit.engine(f"{stack.x.engine}{version}")
        model = fit.find_model(_model_of(words, stack.x.model), online=False)
        card = fit.gpus.with_memory(gpu, memory_mib)
        names = fit.flag_names(engine.name)
        context = given.get(names["context"])
        share = given.get(names.get("utilisation", ""))
        return fit.Ask(
            model=model,
            card=card,
            engine=engine,
            context=min(int(context), model.max_positions) if context and context.isdecimal() else None,
            kv_dtype=given.get(names["kv"], "auto"),
            utilisation=float(share) if share else None,
            sequences=int(most) if (most := given.get(names["concurrency"], "")).isdecimal() else None,
        )
    except (UsageError, ValueError):
        return None


def knob_of_flag(stack: Stack) -> Mapping[str, str]:
    """Return which knob sets which flag of the server's command: ``--max-model-len`` → ``MAX_MODEL_LEN``."""
    found: dict[str, str] = {}
    words = [str(word) for word in stack.service.get("command", ())]
    for flag, value in pairwise(words):
        knobs = [name for name, _ in template.variables(value)]
        if flag.startswith("--") and len(knobs) == 1:
            found[flag] = knobs[0]
    return found


def flags_of(words: Sequence[str]) -> Mapping[str, str]:
    """Return the flags of a command that take a value, ``--flag value`` or ``--flag=value``; the last one counts."""
    given: dict[str, str] = {}
    for word, following in pairwise((*words, "")):
        flag, joined, value = word.partition("=")
        if flag.startswith("-"):
            given[flag] = value if joined else following
    return given


def _model_of(words: Sequence[str], served: str) -> str:
    """Return what is loaded: the command's own word, where it is one that we know, else the served name."""
    given = flags_of(words)
    named = next((given[flag] for flag in _MODEL_FLAGS if flag in given), None)
    first = words[0] if words and not words[0].startswith("-") else None
    return named or first or served


def _fix(plan: Plan, asked: fit.Ask) -> tuple[str, ...]:
    helping = fit.flags_that_fit(asked)
    if helping is None:
        return ("a smaller model or a stronger quantisation: inv fit --model list", "a card with more memory")
    knobs, names = knob_of_flag(plan.stack), fit.flag_names(asked.engine.name)
    pairs = {knobs[flag]: value for flag, value in helping.items() if flag in knobs and flag != names["concurrency"]}
    if not pairs:
        return ("flags that fit: " + " ".join(f"{flag} {value}" for flag, value in helping.items()),)
    kept = [wish for wish in plan.wishes.overrides if wish.partition("=")[0] not in pairs]
    wishes = replace(plan.wishes, overrides=(*kept, *(f"{key}={value}" for key, value in pairs.items())))
    return (wishes.typed("up", plan.stack.name),)
