"""The whole sum: a model, a card, an engine and a wish → a `Fit`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from blackstack.errors import UsageError
from blackstack.fit import kv, weights
from blackstack.fit.engines import Engine
from blackstack.fit.gpus import GIB, Card
from blackstack.fit.model import Model
from blackstack.fit.pool import Budget, Load, budget, load_of
from blackstack.fit.speed import Ceiling, ceiling

LEAST_CONTEXT = 2048  # with less, hardly a question fits
STEP = 256  # contexts are advised in steps of this
BATCHES = (1, 2, 4, 8, 16, 32)
_FP8: Mapping[str, float] = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
# Bytes of one number, by the words of each engine; with ``auto`` it is the weights' 16 bits.
_ELEMENT_BYTES: Mapping[str, Mapping[str, float]] = {
    "vllm": {"bfloat16": 2, "float16": 2, **_FP8},
    "sglang": {"bfloat16": 2, **_FP8},
    "llamacpp": {"f16": 2, "bf16": 2, "q8_0": 34 / 32, "q4_0": 18 / 32},  # a 16-bit scale for each 32
}
_AUTO = "auto"
_SPELLED = {("sglang", "fp8"): "fp8_e4m3"}  # SGLang's flag has no short name


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question.

    Attributes:
        model, card, engine: which.
        context: tokens of one request, prompt and answer; None: as many as fit, up to the model's own limit.
        concurrency: requests of that length at once.
        kv_dtype: of the cache: ``auto`` is the weights' 16 bits.
        utilisation: the share of the card; None: the engine's own.
        sequences: the engine's limit of requests at once, which its profile run pays for; None: the engine's own.
        tensor_parallel: cards that share the model.
        pool_gib: a pool that an engine has stated; None: computed from the card.
    """

    model: Model
    card: Card
    engine: Engine
    context: int | None = None
    concurrency: int = 1
    kv_dtype: str = _AUTO
    utilisation: float | None = None
    sequences: int | None = None
    tensor_parallel: int = 1
    pool_gib: float | None = None

    def __post_init__(self) -> None:
        known = (_AUTO, *_ELEMENT_BYTES[self.engine.name])
        if self.kv_dtype not in known:
            raise UsageError(f"{self.engine.name} has no --kv-dtype {self.kv_dtype}", fix=f"one of: {', '.join(known)}")
        if self.utilisation is not None and not 0 < self.utilisation <= 1:
            raise UsageError(f"--utilization takes a number above 0, up to 1, not {self.utilisation:g}")
        if self.context is not None and self.context > self.model.max_positions:
            raise UsageError(
                f"--context {self.context}: {self.model.name} was made for {self.model.max_positions:,} tokens",
                fix=f"--context {self.model.max_positions}",
            )
        if self.tensor_parallel > 1 and self.model.heads % self.tensor_parallel:
            raise UsageError(
                f"--tp {self.tensor_parallel}: the {self.model.heads} heads of {self.model.name} do not divide"
            )
        if self.pool_gib is not None and not 0 < self.pool_gib < math.inf:
            raise UsageError(f"--pool-gib takes a number above 0, not {self.pool_gib}")

    @property
    def element_bytes(self) -> float:
        """Bytes of one number of the cache."""
        return _ELEMENT_BYTES[self.engine.name].get(self.kv_dtype, self.model.plain_bytes)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The answer.

    Attributes:
        ask: the question.
        load: how the engine would be set up.
        budget: where the card's memory goes; of each card, with several.
        pool: bytes for tokens.
        context: tokens of a request that the flags allow.
        max_context: the longest that fits ``concurrency`` times.
        printed: the tokens that the engine would print at that context.
        long_requests: how many requests of that context really fit.
        fits: the weights, and the wished requests (or one of 2,048 tokens where none was wished).
        ceilings: bounds of speed, at one request and at more.
        flags: what to start the engine with.
    """

    ask: Ask
    load: Load
    budget: Budget
    pool: float
    weights: float
    checkpoint: float
    context: int
    max_context: int
    printed: int
    long_requests: float
    fits: bool
    ceilings: tuple[Ceiling, ...]
    flags: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def bytes_a_token(self) -> int:
        """What a token takes in all layers."""
        return kv.bytes_a_token(self.ask.model, element_bytes=self.ask.element_bytes)

    def contexts(self) -> tuple[tuple[int, int], ...]:
        """Return numbers of requests, and the longest context of each; 0: not even the shortest."""
        cache = _cache(self.ask, self.load)
        return tuple((count, _longest(cache, self.pool, count, self.ask.model.max_positions)) for count in BATCHES)

    def as_dict(self) -> dict[str, Any]:
        """Return the answer for machines; the first ten keys stay as they are."""
        first = self.ceilings[0]
        ask = self.ask
        return {
            "weights_gib": round(self.weights / GIB, 3),
            "kv_bytes_per_token": self.bytes_a_token,
            "kv_tokens_printed": self.printed,
            "long_requests": round(self.long_requests, 2),
            "max_context": self.max_context,
            "roofline_tokens_per_s": round(first.tokens_per_s, 1),
            "fits": self.fits,
            "flags": dict(self.flags),
            "pool_gib": round(self.pool / GIB, 3),
            "context": self.context,
            "concurrency": ask.concurrency,
            "checkpoint_gib": round(self.checkpoint / GIB, 3),
            "model": ask.model.name,
            "architecture": ask.model.architecture,
            "quantisation": ask.model.quantisation.label,
            "gpu": ask.card.name,
            "engine": ask.engine.pinned,
            "tensor_parallel": ask.tensor_parallel,
            "kv_dtype": ask.kv_dtype,
            "utilisation": self.load.utilisation,
            "budget_gib": {key: round(value / GIB, 3) for key, value in asdict(self.budget).items()},
            "contexts": [{"concurrency": count, "max_context": longest} for count, longest in self.contexts()],
            "ceilings": [asdict(one) for one in self.ceilings],
            "notes": list(self.notes),
            "sources": {"engine": ask.engine.source, "sampler": ask.engine.sampler, "gpu": ask.card.seen},
        }


def estimate(ask: Ask) -> Fit:
    """Answer a question. Nothing is loaded and nothing is asked of a machine."""
    engine, card, model, shards = ask.engine, ask.card, ask.model, ask.tensor_parallel
    padding = engine.expert_padding(card.cc)
    load = load_of(card, engine, utilisation=ask.utilisation, sequences=ask.sequences)
    loaded = weights.loaded_bytes(model, padding, load_gib=engine.load_gib) / shards
    spent = budget(card, engine, model, load, weights=loaded)
    pool = spent.pool if ask.pool_gib is None else ask.pool_gib * GIB
    cache = _cache(ask, load)
    longest = _longest(cache, pool, ask.concurrency, model.max_positions)
    context = ask.context or longest
    enough = ask.context or min(LEAST_CONTEXT, model.max_positions)
    fits = longest >= enough
    shown = context if context > 0 else enough
    many = max(ask.concurrency, 1)
    bounds = tuple(
        replace(one, tokens_per_s=one.tokens_per_s * shards)
        for one in (
            ceiling(model, card, padding, element_bytes=ask.element_bytes),
            ceiling(model, card, padding, batch=1, context=shown, element_bytes=ask.element_bytes),
            ceiling(
                model, card, padding, batch=max(many, 8), context=min(shown, 4096), element_bytes=ask.element_bytes
            ),
        )
    )
    return Fit(
        ask=ask,
        load=load,
        budget=spent,
        pool=pool,
        weights=loaded,
        checkpoint=weights.checkpoint_bytes(model),
        context=context,
        max_context=longest,
        printed=cache.printed(pool, shown),
        long_requests=cache.requests(pool, shown),
        fits=fits,
        ceilings=bounds,
        flags=_flags(ask, load, longest if ask.context is None or longest < ask.context else ask.context),
        notes=tuple(_notes(ask)),
    )


def flags_that_fit(ask: Ask) -> Mapping[str, str] | None:
    """Return flags with which the same model would fit the card, the mildest change first; None: nothing helps."""
    shorter = [replace(ask, context=None), replace(ask, context=None, concurrency=1)]
    # llama.cpp takes what it needs and has no flag for a share.
    shares = (0.95, 0.97) if "utilisation" in _FLAGS[ask.engine.name] else ()
    fuller = [replace(one, utilisation=share) for one in shorter for share in shares]
    packed = [replace(one, kv_dtype="fp8") for one in (*shorter, *fuller) if ask.engine.name != "llamacpp"]
    for one in (*shorter, *fuller, *packed):
        answer = estimate(one)
        if answer.fits:
            return answer.flags
    return None


def flag_names(engine: str) -> Mapping[str, str]:
    """Return an engine's flags by what they say: ``context``, ``utilisation``, ``concurrency``, ``kv``, ``shards``."""
    return _FLAGS[engine]


def _cache(ask: Ask, load: Load) -> kv.Cache:
    return kv.cache_of(
        _shard(ask.model, ask.tensor_parallel),
        ask.engine,
        element_bytes=ask.element_bytes,
        batched_tokens=load.batched_tokens,
    )


def _shard(model: Model, shards: int) -> Model:
    """Return the model as one of several cards keeps its tokens: heads are divided, a latent is copied."""
    if shards == 1:
        return model
    layers = tuple(
        layer if layer.mixer == "mla" else replace(layer, kv_heads=max(layer.kv_heads // shards, 1))
        for layer in model.layers
    )
    linear = model.linear and replace(
        model.linear,
        key_heads=max(model.linear.key_heads // shards, 1),
        value_heads=max(model.linear.value_heads // shards, 1),
    )
    return replace(model, layers=layers, linear=linear)


def _longest(cache: kv.Cache, pool: float, count: int, limit: int) -> int:
    """Return the longest context of which so many requests fit; longer ones never need less, so halve the span."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if cache.requests(pool, middle) >= count:
            low = middle
        else:
            high = middle - 1
    return low


def _flags(ask: Ask, load: Load, context: int) -> dict[str, str]:
    stepped = context if context <= STEP or context == ask.model.max_positions else context // STEP * STEP
    stepped = ask.context if ask.context and ask.context <= context else stepped
    names, shared = _FLAGS[ask.engine.name], ask.engine.shared_context
    values = {
        "context": str(stepped * (ask.concurrency if shared else 1)),
        "utilisation": f"{load.utilisation:g}",
        "concurrency": str(ask.concurrency if ask.concurrency > 1 or shared else load.sequences),
        **({"kv": _SPELLED.get((ask.engine.name, ask.kv_dtype), ask.kv_dtype)} if ask.kv_dtype != _AUTO else {}),
        **({"shards": str(ask.tensor_parallel)} if ask.tensor_parallel > 1 else {}),
    }
    return {names[key]: value for key, value in values.items() if key in names}


_FLAGS: Mapping[str, Mapping[str, str]] = {
    "vllm": {
        "context": "--max-model-len",
        "utilisation": "--gpu-memory-utilization",
        "concurrency": "--max-num-seqs",
        "kv": "--kv-cache-dtype",
        "shards": "--tensor-parallel-size",
    },
    "sglang": {
        "context": "--context-length",
        "utilisation": "--mem-fraction-static",
        "concurrency": "--max-running-requests",
        "kv": "--kv-cache-dtype",
        "shards": "--tp-size",
    },
    "llamacpp": {"context": "--ctx-size", "concurrency": "--parallel", "kv": "--cache-type-k"},
}


def _notes(ask: Ask) -> list[str]:
    notes = list(ask.model.notes)
    unsure = [field for field in ask.card.not_verified if field in {"usable_gib", "gb_s", "memory_mib"}]
    if unsure:
        notes.append(f"{ask.card.name}: {', '.join(unsure)} from memory of the data sheet, not verified")
    if ask.model.vision:
        notes.append("the vision tower's weights are a rough count, and images take memory that is not counted here")
    if ask.tensor_parallel > 1:
        notes.append("with several cards: weights divided evenly, all-reduce buffers and its time not counted")
    return notes
