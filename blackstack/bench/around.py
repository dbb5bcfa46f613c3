"""What of a run's surroundings a reader must know before believing its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

FULL_KV: Final = 0.95  # from which a server begins to preempt
BUSY: Final = 0.1  # of all processors, from which others are felt


def remarks(surroundings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was out of the ordinary, a line each (``surroundings`` of a run)."""
    server = surroundings["server"]
    during, more = server["during"], server["increase"]
    if waiting := _most(during, "waiting"):
        yield f"server: up to {waiting:.0f} requests waited in its queue, {_most(during, 'running'):.0f} ran"
    if (full := _most(during, "kv_usage")) >= FULL_KV:
        yield f"server: its KV cache was {full:.0%} full"
    if count := more.get("preemptions"):
        yield f"server: {count:.0f} preemptions, work that was done twice"
    if more.get("prefix_cache_queries") and (hits := more.get("prefix_cache_hits")):
        yield f"server: {hits / more['prefix_cache_queries']:.0%} of the prompt tokens came from its prefix cache"
    others = (surroundings.get("cpu") or {}).get("others_share")
    if others is not None and others >= BUSY:
        yield f"machine: other processes than the server's and this client's used {others:.0%} of its processors"
    for index, card in enumerate(surroundings["gpu"]):
        if reasons := card.get("throttle_reasons"):
            yield f"GPU {index} slowed itself down: {', '.join(reasons)}"
        for one in card.get("processes", ()):
            if one["server"] is False:
                held = f", with {one['used_mib']:,} MiB" if one["used_mib"] is not None else ""
                who = f"process {one['pid']} {one['name']}".rstrip()
                yield f"GPU {index} was also used by {who}{held}: not the server's"


def _most(samples: list[dict[str, Any]], key: str) -> float:
    return max((float(sample[key]) for sample in samples if key in sample), default=0.0)
