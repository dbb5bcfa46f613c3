"""Which share of the card's bound a measurement reached; the arithmetic is `fit`'s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from blackstack import catalog, fit
from blackstack.errors import UsageError
from blackstack.facts import gpus
from blackstack.fit import measured
from blackstack.results import Result
from blackstack.verbs.choose import ROOT


def with_shares(result: Result) -> Result:
    """Return the record with its shares, where the model and the card are known; else as it is."""
    card = _card_of(result)
    told = card and measured.shares({**result.as_dict(), "runs": result.measured["runs"]}, card)
    return replace(result, measured={**result.measured, "roofline": told}) if told else result


def lines(result: Result) -> Iterator[str]:
    """Yield what people see of it."""
    if told := result.measured.get("roofline"):
        yield from measured.lines(told)


def _card_of(result: Result) -> fit.Card | None:
    """Return the card of this machine, if the stack that was measured runs on one."""
    name = result.asked_for.get("stack")
    if name not in catalog.names(ROOT) or not catalog.load(ROOT, str(name)).x.needs.vram_gib:
        return None
    cards = gpus.look().cuda_cards
    try:
        return fit.gpus.with_memory(cards[0].name, cards[0].total_mib) if cards else None
    except UsageError:  # a card without a data sheet here
        return None
