"""Cards as data sheets and logs describe them: `data/gpus.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from blackstack.errors import UsageError, unknown_name
from blackstack.fit.tables import table

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Card:
    """One card.

    Attributes:
        name: how we call it; ``names`` what nvidia-smi and people call it.
        cc: compute capability, such as ``12.0``.
        memory_mib: what nvidia-smi prints.
        usable_gib: what an engine sees as the whole; utilisation is a share of it.
        gb_s: memory bandwidth in 10^9 bytes a second.
        watt: board power.
        tflops: dense tensor throughput in 10^12 a second, by number format; may be empty.
        not_verified: the fields that were held against nothing.
    """

    name: str
    names: tuple[str, ...]
    cc: str
    memory_mib: int
    usable_gib: float
    gb_s: float
    watt: float
    tflops: Mapping[str, float] = field(default_factory=dict)
    unified: bool = False
    seen: str = ""
    not_verified: tuple[str, ...] = ()


@cache
def cards() -> tuple[Card, ...]:
    """Return every card that is known."""
    return tuple(
        Card(**{**row, "name": row["names"][0], "names": tuple(row["names"]), "not_verified": _words(row)})
        for row in table("gpus.yaml")
    )


def card(name: str) -> Card:
    """Return a card by any of its names, as nvidia-smi prints it or as people type it.

    Raises:
        UsageError: no such card; the nearest is offered.
    """
    by_name = {_plain(known): one for one in cards() for known in one.names}
    if found := by_name.get(_plain(name)):
        return found
    raise unknown_name("card", name, (one.name for one in cards()), see="inv fit --gpu list")


def with_memory(name: str, memory_mib: int) -> Card:
    """Return the card that a driver reports, with the memory that it reports; where that is 0, the data sheet's.

    Raises:
        UsageError: its bandwidth is not known here.
    """
    try:
        known = card(name)
    except UsageError:
        near = next((one for one in cards() if _plain(one.names[-1]) in _plain(name)), None)
        if near is None:
            raise
        known = near
    if not memory_mib:  # of a chip that shares the machine's memory the driver tells none
        return known
    taken = known.memory_mib / 1024 - known.usable_gib
    usable = known.usable_gib if memory_mib == known.memory_mib else memory_mib / 1024 - taken
    return Card(**{**vars(known), "memory_mib": memory_mib, "usable_gib": usable})


def _words(row: Mapping[str, object]) -> tuple[str, ...]:
    words = row.get("not_verified", ())
    return tuple(map(str, words)) if isinstance(words, list | tuple) else ()


def _plain(name: str) -> str:
    return "".join(
        letter for letter in name.lower().removeprefix("nvidia ").removeprefix("geforce ") if letter.isalnum()
    )
