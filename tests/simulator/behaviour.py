"""What the simulator does: one frozen object, and the named profiles of failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Fault = Literal["http_503", "cut", "sse_error", "stall", "garbage", "malformed", "empty", "no_done"]
FAULTS: Final[tuple[Fault, ...]] = (
    "http_503",
    "cut",
    "sse_error",
    "stall",
    "garbage",
    "malformed",
    "empty",
    "no_done",
)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the server answers.

    Attributes:
        ttft_ms: from a request read to its first token.
        itl_ms: between two events.
        jitter_ms: up to this much more before each event, drawn from the seed and the request's number.
        tokens_per_event: as with speculative decoding.
        coalesce: events in one write.
        split: bytes of one write; 0 writes events whole.
        late_head: the head comes with the first token, not at once.
        comments: ``: keep-alive`` lines before the first token and now and then afterwards.
        role_chunk: a chat stream begins with a chunk that has a role and no text.
        reasoning: the first half of a chat answer is ``reasoning_content``.
        usage: the token counts are sent where they are asked for.
        crlf: lines end with CR LF.
        close: no chunks, no length: the answer ends with the connection.
        let_go: announce keep-alive, and close after each answer all the same, as llama.cpp's server does.
        slots: answers at a time; the others wait. 0 is no limit.
        stop_after: tokens after which the answer ends by itself unless ``ignore_eos`` is sent; 0 never.
        faults: a fault, and that each n-th request (from 1) has it; the first that fits is taken.
        api_key: refuse requests without it.
        models: the names that are served.
        hang: completions are never answered, while ``/health`` says 200.
        die_at: the number of the request at which the process dies; 0 never.
        tokenizer: ``/tokenize`` exists; a token is a word.
        seed: of the jitter.
    """

    ttft_ms: float = 2.0
    itl_ms: float = 0.5
    jitter_ms: float = 0.0
    tokens_per_event: int = 1
    coalesce: int = 1
    split: int = 0
    late_head: bool = False
    comments: bool = False
    role_chunk: bool = True
    reasoning: bool = False
    usage: bool = True
    crlf: bool = False
    close: bool = False
    let_go: bool = False
    slots: int = 0
    stop_after: int = 0
    faults: Mapping[Fault, int] = field(default_factory=lambda: MappingProxyType({}))
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ("simulated",)
    hang: bool = False
    die_at: int = 0
    tokenizer: bool = True
    seed: int = 0

    def fault_of(self, number: int) -> Fault | None:
        """Return the fault of the n-th request, counted from 1."""
        for fault, every in self.faults.items():
            if number % every == 0:
                return fault
        return None


PROFILES: Final[dict[str, Behaviour]] = {
    "healthy": Behaviour(ttft_ms=50, itl_ms=10),
    "jittery": Behaviour(ttft_ms=200, itl_ms=5, jitter_ms=40),
    "speculative": Behaviour(ttft_ms=50, itl_ms=40, tokens_per_event=4),
    "fragmented": Behaviour(ttft_ms=50, itl_ms=10, split=7, comments=True),
    "coalesced": Behaviour(ttft_ms=50, itl_ms=10, coalesce=16),
    "late-headers": Behaviour(ttft_ms=500, itl_ms=10, late_head=True),
    "reasoning": Behaviour(ttft_ms=50, itl_ms=10, reasoning=True),
    "overloaded": Behaviour(ttft_ms=50, itl_ms=10, slots=4),
    "unreliable": Behaviour(ttft_ms=50, itl_ms=10, faults={"http_503": 8, "cut": 9, "sse_error": 11}),
    "stalls": Behaviour(ttft_ms=50, itl_ms=10, faults={"stall": 3}),
    "garbage": Behaviour(ttft_ms=50, itl_ms=10, faults={"garbage": 1}),
    "hangs": Behaviour(hang=True),
    "dies-on-first-request": Behaviour(die_at=1),
}
