"""How much of a card is left for the tokens of requests, by the engine's own rule of what it takes first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from blackstack.fit.engines import Engine
from blackstack.fit.gpus import GIB, Card
from blackstack.fit.model import Model

MIB = 1 << 20
_BIG_GIB = 70  # vLLM takes a card of this size for a server's
_GRAPH_FIRST = 50 * MIB  # what the first capture leaves


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the server is set up for.

    Attributes:
        sequences: the most at once.
        batched_tokens: the most in one step.
        utilisation: the share of the card, between 0 and 1.
    """

    sequences: int
    batched_tokens: int
    utilisation: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Where the card's memory goes, in bytes; ``pool`` below zero: the weights alone are too big."""

    total: float
    weights: float
    peak: float
    graphs: float
    other: float
    unused: float

    @property
    def pool(self) -> float:
        """What is left for tokens."""
        return self.total - self.weights - self.peak - self.graphs - self.other - self.unused


def load_of(card: Card, engine: Engine, *, utilisation: float | None, sequences: int | None) -> Load:
    """Return what an engine sets itself up for on a card, unless asked otherwise."""
    rule = _LOADS[engine.printed](card, engine)
    return Load(
        sequences=sequences or rule.sequences,
        batched_tokens=rule.batched_tokens,
        # In steps that a flag can say, rounded down: the flags must give what was computed.
        utilisation=math.floor((utilisation if utilisation is not None else rule.utilisation) * 1e4 + 1e-9) / 1e4,
    )


def budget(card: Card, engine: Engine, model: Model, load: Load, *, weights: float) -> Budget:
    """Divide a card's memory.

    Args:
        card: whose.
        engine: whose rules.
        model: what is loaded.
        load: the set-up.
        weights: bytes, as the engine loads them.
    """
    total = card.usable_gib * GIB
    peak = profile_peak(model, engine, load) if engine.sampler_bytes else 0.0
    graphs = _GRAPH_FIRST + engine.graph_bytes * len(model.layers) * model.hidden if engine.graph_bytes else 0.0
    other = engine.non_torch_gib * GIB
    asked = total - other if engine.printed == "sglang" else total
    # SGLang takes its fraction of what is free once the context stands; the others of the whole card.
    unused = asked * (1 - load.utilisation)
    if engine.printed == "cells":
        peak = 512.0 * model.vocabulary * 4
    return Budget(total=total, weights=weights, peak=peak, graphs=graphs, other=other, unused=unused)


def profile_peak(model: Model, engine: Engine, load: Load) -> float:
    """Return the most that vLLM's profile run holds beside the weights: one full step, or the sampler after it."""
    tokens, size = load.batched_tokens, model.plain_bytes
    wide = 3 * model.width
    if model.experts:
        # gate and up, their product, and the result, for each expert of each token
        wide = model.experts.active * (3 * model.experts.width + model.hidden)
    attention = model.heads * model.head_dim * 3
    step = tokens * size * (3 * model.hidden + max(wide, attention))
    rows = min(load.sequences, load.batched_tokens)
    sampler = rows * model.vocabulary * engine.sampler_bytes + tokens * size * model.hidden
    return max(step, sampler)


def _vllm(card: Card, engine: Engine) -> Load:
    big = card.usable_gib >= _BIG_GIB and not card.name.startswith("a100")
    return Load(
        sequences=1024 if big else 256,
        batched_tokens=8192 if big else 2048,
        utilisation=engine.utilisation or 0.9,
    )


def _sglang(card: Card, _engine: Engine) -> Load:
    """SGLang's rule (`_handle_gpu_memory_settings`): what prefill and graphs need is left out, in MiB."""
    steps = ((20, 2048, 8), (35, 2048, 24), (60, 4096, 32), (160, 8192, 256), (float("inf"), 16384, 512))
    prefill, batch = next((tokens, graphs) for gib, tokens, graphs in steps if card.memory_mib < gib * 1024)
    reserved = 512 + prefill * 1.5 + batch * 2 + 128
    if card.memory_mib > 60 * 1024:
        reserved = max(reserved, 10 * 1024)
    share = round((card.memory_mib - reserved) / card.memory_mib, 3)
    return Load(sequences=batch, batched_tokens=prefill, utilisation=share)


def _llamacpp(_card: Card, _engine: Engine) -> Load:
    return Load(sequences=1, batched_tokens=2048, utilisation=1.0)


_LOADS: Mapping[str, Callable[[Card, Engine], Load]] = {
    "even": _vllm,
    "concurrency": _vllm,
    "sglang": _sglang,
    "cells": _llamacpp,
}
