"""An answer as one screen of text; it can be pasted anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blackstack.fit.estimate import Fit
from blackstack.fit.gpus import GIB

BAR = 44  # cells of the memory bar
_PARTS = (("weights", "█"), ("tokens", "▓"), ("reserve", "▒"), ("left alone", "░"))


def lines(fit: Fit) -> Iterator[str]:
    """Yield the lines of an answer."""
    ask = fit.ask
    cards = f"{ask.tensor_parallel} x " if ask.tensor_parallel > 1 else ""
    yield f"{ask.model.name} ({ask.model.quantisation.label}) on {cards}{ask.card.name} with {ask.engine.pinned}"
    yield f"  {_verdict(fit)}"
    yield ""
    yield from _memory(fit)
    yield ""
    yield f"  tokens   {fit.printed:,} as the engine prints them, at --context {_at(fit):,};"
    yield f"           {fit.bytes_a_token:,} B for each; {fit.long_requests:.1f} requests of that length really fit"
    yield "  longest  " + "".join(f"{f'{count} at once' if count > 1 else 'alone':>12}" for count, _ in _contexts(fit))
    yield "  context  " + "".join(f"{f'{longest:,}' if longest else 'none':>12}" for _, longest in _contexts(fit))
    yield ""
    yield from _speed(fit)
    yield ""
    if fit.fits:
        yield "  flags    " + " ".join(f"{flag} {value}" for flag, value in fit.flags.items())
    yield from (f"  note     {note}" for note in fit.notes)


def _verdict(fit: Fit) -> str:
    wish = f"{fit.ask.concurrency} request{'s' if fit.ask.concurrency > 1 else ''} of {_at(fit):,} tokens"
    if fit.fits:
        return f"fits: {wish} in {fit.pool / GIB:.2f} GiB"
    if fit.pool <= 0:
        return f"does not fit: {-fit.pool / GIB:.2f} GiB too little before the first token"
    if fit.max_context:
        return f"does not fit: {wish}; the longest that does is {fit.max_context:,}"
    many = int(fit.long_requests)
    room = f"only {many:,} of that length {'does' if many == 1 else 'do'}" if many else "not one token does"
    return f"does not fit: {wish}; {room}"


def _memory(fit: Fit) -> Iterator[str]:
    spent = fit.budget
    reserve = spent.peak + spent.graphs + spent.other
    sizes = (spent.weights, max(fit.pool, 0), reserve, spent.unused)
    shares = [round(size / spent.total * BAR) for size in sizes]
    bar = "".join(mark * max(share, 0) for share, (_, mark) in zip(shares, _PARTS, strict=True))[:BAR]
    yield f"  memory   {bar:<{BAR}} {spent.total / GIB:.2f} GiB"
    yield "           " + "  ".join(
        f"{mark} {name} {size / GIB:.2f}" for size, (name, mark) in zip(sizes, _PARTS, strict=True)
    )


def _speed(fit: Fit) -> Iterator[str]:
    alone, long, many = fit.ceilings
    behind = f"{long.tokens_per_s:,.0f} with {long.context:,} tokens behind it"
    yield f"  at most  {alone.tokens_per_s:,.0f} tokens/s for one request, {behind}"
    yield (
        f"           {many.tokens_per_s:,.0f} tokens/s for {many.batch} requests with {many.context:,} each: "
        f"memory at {fit.ask.card.gb_s:,} GB/s"
    )
    if alone.prefill_tokens_per_s:
        yield f"           {alone.prefill_tokens_per_s:,.0f} tokens/s of prompt, by arithmetic"


def _contexts(fit: Fit) -> Sequence[tuple[int, int]]:
    return fit.contexts()[:5]  # what 80 columns hold


def _at(fit: Fit) -> int:
    return fit.context or min(2048, fit.ask.model.max_positions)
