"""What the tokens of requests take, as each engine lays them out, and the number it prints.

vLLM deals in blocks of one size. Where layers differ (all tokens, a window, a fixed state) it sorts them into groups
of equally many layers; a block belongs to one group, and a request takes blocks of each. What it printed up to 0.20
(«even») takes for granted that every group gets equally many blocks, which a long request of a model with sliding
windows does not do: it holds nearly twice as many tokens of gpt-oss as the line says. From 0.21 on it prints how many
requests of the full length fit, times that length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from blackstack.fit.engines import Engine
from blackstack.fit.model import Layer, Model

BLOCK = 16  # tokens, vLLM's on NVIDIA cards
CELLS = 256  # llama.cpp rounds a context up to this
Kind = Literal["full", "window", "state"]


class Cache(Protocol):
    """How an engine keeps the tokens of requests."""

    def printed(self, pool: float, context: int) -> int:
        """Return the tokens that the engine says fit into so many bytes, at this longest context."""

    def requests(self, pool: float, context: int) -> float:
        """Return how many requests of this length really fit."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Layers that share their blocks.

    Attributes:
        kind: all tokens, the last ones, or a state that does not grow.
        block: tokens in a block.
        window: tokens that are kept, with ``kind="window"``.
        count: how many such groups there are.
        copies: blocks of one state: two, where prefixes of it are kept too.
    """

    kind: Kind
    block: int
    count: int
    window: int = 0
    copies: int = 1

    def blocks(self, context: int, in_flight: int) -> int:
        """Return the blocks that one request of this length takes in all these groups.

        A window keeps the tokens that are just being worked on too, and may begin inside a block.
        """
        if self.kind == "state":
            return self.count * self.copies
        if self.kind == "full":
            return self.count * _up(context, self.block)
        return self.count * (_up(min(self.window - 1 + in_flight, context), self.block) + 1)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """vLLM's cache.

    Attributes:
        block_bytes: of one block of one group, all its layers.
        in_flight: tokens that may be at work at once.
        even: the line of vLLM up to 0.20.
    """

    groups: tuple[Group, ...]
    block_bytes: int
    in_flight: int
    even: bool

    def printed(self, pool: float, context: int) -> int:
        """Return the tokens of «GPU KV cache size»."""
        count = int(max(pool, 0) // self.block_bytes)
        if self.even:
            groups = sum(group.count for group in self.groups)
            return count // groups * min(group.block for group in self.groups)
        return int(count / self.blocks(context) * context)

    def requests(self, pool: float, context: int) -> float:
        """Return how many requests of this length fit."""
        return int(max(pool, 0) // self.block_bytes) / self.blocks(context)

    def blocks(self, context: int) -> int:
        """Return the blocks of one request."""
        return sum(group.blocks(context, self.in_flight) for group in self.groups)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """SGLang's and llama.cpp's caches: a fixed number of tokens in each layer, and states beside them.

    Attributes:
        full_bytes: of one token in all layers that keep every token; ``window_bytes`` in those that slide.
        window_share: cells of the sliding layers for each cell of the others; 1: as many.
        state_share: of the pool, for states that do not grow.
        page: cells are counted in pages of this size.
        window_cells: cells of the sliding layers for each request, where the engine counts them so (llama.cpp).
        state_bytes: of one request, where the engine counts them so.
    """

    full_bytes: int
    window_bytes: int
    window_share: float = 1.0
    state_share: float = 0.0
    page: int = 1
    window_cells: int | None = None
    state_bytes: int = 0

    def printed(self, pool: float, context: int) -> int:
        """Return the number of tokens that the pool is made for."""
        rest = max(pool, 0) * (1 - self.state_share)
        if self.window_cells is None:
            each = self.full_bytes + self.window_bytes * self.window_share
            return int(rest / each) // self.page * self.page if each else 0
        fixed = self.window_bytes * min(self.window_cells, _up(context, self.page) * self.page) + self.state_bytes
        return int(max(rest - fixed, 0) / max(self.full_bytes, 1)) // self.page * self.page

    def requests(self, pool: float, context: int) -> float:
        """Return how many requests of this length fit."""
        if self.window_cells is None:
            return self.printed(pool, context) / context
        cells = _up(context, self.page) * self.page
        each = self.full_bytes * cells + self.window_bytes * min(self.window_cells, cells) + self.state_bytes
        return max(pool, 0) * (1 - self.state_share) / each


def cache_of(model: Model, engine: Engine, *, element_bytes: float, batched_tokens: int) -> Cache:
    """Return how an engine keeps the tokens of a model.

    Args:
        model: whose.
        engine: which.
        element_bytes: of one number: 2 for 16 bits, 1 for fp8.
        batched_tokens: the most that one step works on.
    """
    return _CACHES[engine.printed](model, engine, element_bytes, batched_tokens)


def bytes_a_token(model: Model, *, element_bytes: float) -> int:
    """Return what one token takes in all layers that still keep it: what «KV bytes per token» means everywhere."""
    return int(sum(model.kv_elements) * element_bytes)


def bytes_at(model: Model, context: int, *, element_bytes: float) -> float:
    """Return the bytes that a step reads of one request of this length: windows and states do not grow."""
    total = 0.0
    for layer, elements in zip(model.layers, model.kv_elements, strict=True):
        if layer.mixer == "linear" and model.linear:
            total += model.linear.bytes_a_request(model.plain_bytes)
        else:
            total += elements * element_bytes * min(context, layer.window or context)
    return total


def _vllm(model: Model, engine: Engine, element_bytes: float, batched_tokens: int) -> Blocks:
    in_flight, even = batched_tokens * engine.in_flight, engine.printed == "even"
    kinds = Counter(_kind(layer) for layer in model.layers)
    tokens = {
        kind: int(next(_elements(layer) for layer in model.layers if _kind(layer) == kind) * element_bytes)
        for kind in kinds
    }
    state = model.linear.bytes_a_request(model.plain_bytes) if model.linear else 0
    page = max(size * BLOCK for size in tokens.values())
    if state and len(kinds) > 1:
        # The attention's block grows until its page holds a state; states are padded to that page.
        grown = max(size for kind, size in tokens.items() if kind[0] != "state")
        page = max(page, _up(state, BLOCK * grown) * BLOCK * grown)
    size = min(kinds.values())
    if max(kinds.values()) < size * engine.padding:
        size = max(kinds.values())
    if len(kinds) == 1:
        size = len(model.layers)
    groups = tuple(
        Group(
            kind=kind[0],
            window=kind[1],
            block=page // tokens[kind] if tokens[kind] else page,
            count=_up(count, size),
            copies=engine.state_blocks,
        )
        for kind, count in kinds.items()
    )
    return Blocks(groups=groups, block_bytes=page * size, in_flight=in_flight, even=even)


def _sglang(model: Model, engine: Engine, element_bytes: float, _batched_tokens: int) -> Cells:
    full, window = _sums(model, element_bytes)
    return Cells(
        full_bytes=full,
        window_bytes=window,
        window_share=engine.swa_ratio if full and window else 1.0,
        # mamba_full_memory_ratio 0.9: states get 0.9 for each 1 of the tokens
        state_share=0.9 / 1.9 if model.linear else 0.0,
    )


def _llamacpp(model: Model, _engine: Engine, element_bytes: float, batched_tokens: int) -> Cells:
    full, window = _sums(model, element_bytes)
    widest = max((layer.window or 0 for layer in model.layers), default=0)
    state = model.linear.bytes_a_request(4) if model.linear else 0
    return Cells(
        full_bytes=full,
        window_bytes=window,
        page=CELLS,
        window_cells=_up(widest + min(batched_tokens, 512), CELLS) * CELLS if window else 0,
        state_bytes=state * sum(layer.mixer == "linear" for layer in model.layers),
    )


def _sums(model: Model, element_bytes: float) -> tuple[int, int]:
    full = sum(_elements(layer) for layer in model.layers if not layer.window and layer.mixer != "linear")
    window = sum(_elements(layer) for layer in model.layers if layer.window)
    return int(full * element_bytes), int(window * element_bytes)


def _kind(layer: Layer) -> tuple[Kind, int]:
    if layer.mixer == "linear":
        return "state", 0
    return ("window", layer.window) if layer.window else ("full", 0)


def _elements(layer: Layer) -> int:
    return 0 if layer.mixer == "linear" else layer.kv_heads * (layer.head_dim + layer.value_dim)


def _up(size: int, step: int) -> int:
    return -(-size // step)


_CACHES: Mapping[str, Callable[[Model, Engine, float, int], Cache]] = {
    "even": _vllm,
    "concurrency": _vllm,
    "sglang": _sglang,
    "cells": _llamacpp,
}
