"""A second look at answers that look degenerate: is the server broken, or does a small model loop?

Both give «0000000», but not in the same way. A model loops on a question, so it loops again when the same question is
asked alone, and it answers most others. A broken server does not keep to questions: it spoils most answers, or those
that happened to be in a batch, and the same question alone is answered. So the doubtful answers of a run are the
model's way when they are less than half of all, *and* each of them that is asked again, alone, is degenerate again.
"""

from __future__ import annotations

from typing import Final

from blackstack.bench.probe import ask
from blackstack.bench.request import Request
from blackstack.bench.stream import Dialer
from blackstack.bench.tally import Tally
from blackstack.bench.target import Target

MOST: Final = 0.5  # of a run's requests; from there on it is no question's fault
ASKED_AGAIN: Final = 8  # of the doubtful answers of a run


async def look_again(tally: Tally, target: Target, *, timeout_s: float) -> None:
    """Acquit the doubtful answers of a run where they are the model's way; else they stay failures."""
    doubtful = tally.doubtful
    if not doubtful or tally.failures["garbage"] >= MOST * tally.requests or tally.given_up:
        return
    dialer = Dialer(target.address)
    for reply, _ in doubtful[:ASKED_AGAIN]:
        try:
            again = await ask(dialer, Request(wire=reply.wire, output_tokens=reply.asked_tokens), timeout_s=timeout_s)
        except (OSError, TimeoutError):
            return
        if again.failure is None or again.failure.kind != "garbage":
            return
    tally.acquit()
