"""A measurement held against the bound: which share of what the card could do was reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from blackstack.errors import UsageError
from blackstack.fit.engines import engine
from blackstack.fit.gpus import Card
from blackstack.fit.model import Model
from blackstack.fit.sources import find_model
from blackstack.fit.speed import ceiling, share


def shares(record: Mapping[str, Any], card: Card) -> dict[str, Any] | None:
    """Return the bounds of a record's runs and the share that each reached, or None where the model is not known.

    Args:
        record: ``asked_for``, ``found_inside`` and ``runs`` of a measurement.
        card: on which its server ran.
    """
    asked, found = record["asked_for"], record["found_inside"]
    settings = asked.get("settings")
    names = [settings.get("MODEL") if isinstance(settings, Mapping) else None, asked.get("model")]
    model = _known(names)
    if model is None or not asked.get("engine"):
        return None
    version = str((found.get("engine") or {}).get("version", ""))
    try:
        rules = engine(f"{asked['engine']}=={version}" if version[:1].isdecimal() else str(asked["engine"]))
    except UsageError:
        return None
    told = []
    for run in record["runs"]:
        # On the average a request has its prompt behind it and half of its answer.
        behind = (run["input_tokens"] + run["output_tokens"] / 2) / max(run["ok"], 1)
        bound = ceiling(
            model, card, rules.expert_padding(card.cc), batch=max(int(run["concurrency"]), 1), context=int(behind)
        )
        told.append({**asdict(bound), "share": round(share(run["output_tokens_per_s"], bound), 4)})
    return {"model": model.name, "gpu": card.name, "gb_s": card.gb_s, "runs": told}


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for people."""
    reached = ", ".join(f"{run['share']:.0%} at {run['batch']}" for run in told["runs"])
    yield f"of what {told['gpu']} could do at most ({told['gb_s']:,} GB/s): {reached}   # inv fit tells the bound"


def _known(names: Sequence[object]) -> Model | None:
    for name in filter(None, names):
        try:
            return find_model(str(name), online=False)
        except UsageError:
            continue
    return None
