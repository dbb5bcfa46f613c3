"""What the simulator does: one frozen object, and the named profiles of failure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Fault = Literal["http_503", "cut", "sse_error", "stall", "garbage", "phrase", "malformed", "empty", "no_done"]
FAULTS: Final[tuple[Fault, ...]] = (
    "http_503",
    "cut",
    "sse_error",
    "stall",
    "garbage",
    "phrase",
    "malformed",
    "empty",
    "no_done",
)

Stage = Literal["import", "weights", "compile", "kv-cache", "graph-capture", "serving"]
STAGES: Final[tuple[Stage, ...]] = ("import", "weights", "compile", "kv-cache", "graph-capture", "serving")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the process ends.

    Attributes:
        code: its exit code; negative: the signal that kills it, as `subprocess` has it.
        last_words: a file of ``last_words/`` that it prints before, without its ending; none: not a word.
        by: what brings it to its end: ``memory`` takes all that it is given, and is killed for it; ``disk`` fills its
            temporary folder; ``cache`` makes a cache folder where none can be made. Where nothing limits it, it ends
            as if something had.
    """

    code: int
    last_words: str = ""
    by: Literal["", "memory", "disk", "cache"] = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How the server starts, when it is served as an engine.

    Attributes:
        stage_s: seconds that each stage takes.
        slow: the stages that take longer, and how many seconds.
        ends_at: the stage in which the process ends, and ``ending`` how; none: it comes to serve.
    """

    stage_s: float = 0.05
    slow: Mapping[Stage, float] = field(default_factory=lambda: MappingProxyType({}))
    ends_at: Stage | None = None
    ending: Ending = Ending(code=1)


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
        loops: a prompt, one of so many, is always answered with one short phrase for ever, as a small model does; 0
            none is.
        faults: a fault, and that each n-th request (from 1) has it; the first that fits is taken.
        api_key: refuse requests without it.
        models: the names that are served.
        hang_at: the number of the request from which none is answered, while ``/health`` says 200; 0 never.
        die_at: the number of the request at which the process dies; 0 never.
        death: how it dies then.
        unhealthy: ``/health`` and completions are answered with 503, for ever.
        start: how it starts, as an engine.
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
    loops: int = 0
    faults: Mapping[Fault, int] = field(default_factory=lambda: MappingProxyType({}))
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ("simulated",)
    hang_at: int = 0
    die_at: int = 0
    death: Ending = Ending(code=-signal.SIGSEGV)
    unhealthy: bool = False
    start: Start = Start()
    tokenizer: bool = True
    seed: int = 0

    def fault_of(self, number: int) -> Fault | None:
        """Return the fault of the n-th request, counted from 1."""
        for fault, every in self.faults.items():
            if number % every == 0:
                return fault
        return None


def _engine(**changed: object) -> Behaviour:
    """Return an engine of ordinary speed."""
    return Behaviour(**{"ttft_ms": 50, "itl_ms": 10, **changed})  # type: ignore[arg-type]


PROFILES: Final[dict[str, Behaviour]] = {
    "healthy": _engine(),
    # It answers, in every way in which an engine may.
    "jittery": _engine(ttft_ms=200, itl_ms=5, jitter_ms=40),
    "speculative": _engine(itl_ms=40, tokens_per_event=4),
    "fragmented": _engine(split=7, comments=True),
    "coalesced": _engine(coalesce=16),
    "late-headers": _engine(ttft_ms=500, late_head=True),
    "reasoning": _engine(reasoning=True),
    "overloaded": _engine(slots=4),
    # It does not come up.
    "slow-start": _engine(start=Start(slow={"weights": 8.0})),
    "never-ready": _engine(unhealthy=True),
    "dies-while-loading": _engine(
        start=Start(ends_at="kv-cache", ending=Ending(code=1, last_words="kv-cache-too-small"))
    ),
    "cuda-oom": _engine(start=Start(ends_at="weights", ending=Ending(code=1, last_words="cuda-out-of-memory"))),
    "silent-segfault": _engine(start=Start(ends_at="graph-capture", ending=Ending(code=-signal.SIGSEGV))),
    "silent-abort": _engine(start=Start(ends_at="weights", ending=Ending(code=-signal.SIGABRT))),
    "oom": _engine(start=Start(ends_at="weights", ending=Ending(code=-signal.SIGKILL, by="memory"))),
    "disk-full": _engine(start=Start(ends_at="weights", ending=Ending(code=1, by="disk"))),
    "cache-not-writable": _engine(start=Start(ends_at="compile", ending=Ending(code=1, by="cache"))),
    "exits-0": _engine(start=Start(ends_at="weights", ending=Ending(code=0))),
    # It says that it is up.
    "dies-on-first-request": _engine(die_at=1),
    "dies-with-last-words": _engine(die_at=1, death=Ending(code=1, last_words="illegal-memory-access")),
    "hangs-behind-200": _engine(hang_at=1),
    "garbage": _engine(faults={"garbage": 1}),
    "error-events": _engine(faults={"sse_error": 1}),
    # It answered once.
    "dies-later": _engine(die_at=3),
    "hangs-later": _engine(hang_at=3),
    "stalls": _engine(faults={"stall": 3}),
    "garbage-later": _engine(faults={"garbage": 2}),
    "unreliable": _engine(faults={"http_503": 8, "cut": 9, "sse_error": 11}),
}
