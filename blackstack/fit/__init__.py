"""Does a model fit a card, how many tokens will the engine say it holds, and how fast could it be at most?

::

    config.json ──► model ──► tensors ──► weights ─┐
                      │                            ├──► estimate ──► Fit
    gpus.yaml ────────┼──► pool ◄── engines.yaml ──┤
                      └──► kv (groups, blocks) ────┘

Arithmetic only: nothing is loaded, no GPU is needed. The data files say where each number comes from, and
``tests/unit/fit/observed.yaml`` holds what real engines printed against what comes out here.
"""

from __future__ import annotations

from blackstack.fit import gpus
from blackstack.fit.engines import Engine, engine
from blackstack.fit.estimate import Ask, Fit, estimate, flag_names, flags_that_fit
from blackstack.fit.gpus import Card, card, cards
from blackstack.fit.model import Model
from blackstack.fit.sources import find_model, model_names
from blackstack.fit.speed import Ceiling, ceiling, share

__all__ = [
    "Ask",
    "Card",
    "Ceiling",
    "Engine",
    "Fit",
    "Model",
    "card",
    "cards",
    "ceiling",
    "engine",
    "estimate",
    "find_model",
    "flag_names",
    "flags_that_fit",
    "gpus",
    "model_names",
    "share",
]
