"""How fast a card could be at most: the bytes that a step must move, and the sums that it must do.

Decoding is bound by memory: a step reads the weights once for all requests, and each request's tokens. Prefill is
bound by arithmetic. No engine reaches either bound; the share that it reaches says how much is left to gain.
"""

from __future__ import annotations

from dataclasses import dataclass

from blackstack.fit import kv, weights
from blackstack.fit.engines import Padding
from blackstack.fit.gpus import Card
from blackstack.fit.model import Model


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """The bounds of one batch.

    Attributes:
        batch: requests at once; ``context`` tokens that each has behind it.
        step_bytes: moved in one decoding step.
        tokens_per_s: all requests together.
        prefill_tokens_per_s: of prompts; None where the card's arithmetic is not known.
    """

    batch: int
    context: int
    step_bytes: float
    tokens_per_s: float
    prefill_tokens_per_s: float | None


def ceiling(
    model: Model, card: Card, padding: Padding, *, batch: int = 1, context: int = 0, element_bytes: float = 2
) -> Ceiling:
    """Return the bounds.

    Args:
        model: which.
        card: on what.
        padding: how the engine lays MXFP4 experts out.
        batch: requests at once.
        context: tokens that each has behind it; 0: weights only.
        element_bytes: of one number of the cache.
    """
    moved = weights.read_bytes(model, padding, batch=batch)
    moved += batch * kv.bytes_at(model, context, element_bytes=element_bytes)
    by_memory = batch * card.gb_s * 1e9 / moved
    per_token = weights.flops_a_token(model)
    peak = _tflops(model, card)
    by_sums = peak * 1e12 / per_token if peak else None
    return Ceiling(
        batch=batch,
        context=context,
        step_bytes=moved,
        tokens_per_s=min(by_memory, by_sums) if by_sums else by_memory,
        prefill_tokens_per_s=by_sums,
    )


def share(measured_tokens_per_s: float, bound: Ceiling) -> float:
    """Return which part of the bound was reached: 0.55 of it, say."""
    return measured_tokens_per_s / bound.tokens_per_s


def _tflops(model: Model, card: Card) -> float | None:
    """Return the arithmetic that a kernel of the weights' format can use; 4-bit weights are multiplied in 16 bits."""
    label = model.quantisation.label
    if label.startswith("fp8") and "fp8" in card.tflops:
        return card.tflops["fp8"]
    return card.tflops.get("bf16")
