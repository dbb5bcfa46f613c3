"""Prompts of an exact number of tokens, as the server's own tokenizer counts them.

Tokenizers of our time cut text at spaces first, so the tokens of words add up. It is enough, then, to find words that
are one token each; any sequence of k of them has k tokens, and the order alone makes every prompt a new one.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blackstack.bench.probe import fetch
from blackstack.bench.reading import OK
from blackstack.bench.request import Envelope
from blackstack.bench.sources import Prompt
from blackstack.bench.stream import Dialer
from blackstack.bench.target import Target
from blackstack.errors import UsageError

FIRST: Final = "The"
COMMON: Final = """
time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money
story fact month lot right study book eye job word business issue side kind head house service friend father power hour
game line end member law car city community name president team minute idea body information back parent face others
level office door health person art war history party result change morning reason research
"""
WORDS: Final = COMMON.split()
FEWEST_WORDS: Final = 16

Count = Callable[[str], Awaitable[int | None]]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words of one token each.

    Attributes:
        base: tokens of a prompt that has only its first word, with what the server adds of itself.
        exact: the server's tokenizer was asked; else a word is taken for a token.
    """

    words: tuple[str, ...]
    base: int
    exact: bool

    def prompts(self, tokens: int, *, seed: str) -> Iterator[Prompt]:
        """Yield prompts of so many tokens for ever."""
        if tokens < self.base:
            raise UsageError(f"a prompt of {tokens} tokens cannot be made", why=f"the shortest has {self.base}")
        draw = random.Random(f"synthetic/{seed}")  # noqa: S311 - reproducible, not secret
        while True:
            yield Prompt(text=" ".join([FIRST, *draw.choices(self.words, k=tokens - self.base)]))


async def vocabulary(target: Target, dialer: Dialer) -> Vocabulary:
    """Find words of one token each; where the server has no ``/tokenize``, take all words for such."""
    count = tokenizer(target, dialer)
    base = await count(FIRST)
    if base is not None:
        words = await single(count, base, WORDS)
        if len(words) >= FEWEST_WORDS:
            return Vocabulary(words=tuple(words), base=base, exact=True)
    return Vocabulary(words=tuple(WORDS), base=1, exact=False)


def tokenizer(target: Target, dialer: Dialer, **options: bool) -> Count:
    """Return what asks the server how many tokens a text has; it says None where the server has no ``/tokenize``."""
    envelope = Envelope(target, target.address)

    async def count(text: str) -> int | None:
        # vLLM and SGLang call it prompt, llama.cpp content; each ignores the other's name
        asked = {"model": target.model, "prompt": text, "content": text, **options}
        try:
            page = await fetch(dialer, envelope.post("/tokenize", asked))
        except (OSError, TimeoutError):
            return None
        told = page.json()
        if page.status != OK or not isinstance(told, dict):
            return None
        counted = told.get("count")
        return counted if isinstance(counted, int) else len(told.get("tokens") or ()) or None

    return count


async def count_again(target: Target, dialer: Dialer, answers: Sequence[tuple[str, int]]) -> dict[str, int | bool]:
    """Count some answers with the server's tokenizer, and return how that agrees with what it said, ready for JSON.

    A text can have fewer tokens than were made to write it: what was two may be one when read. A count that is far
    off, or below, is another matter.
    """
    count = tokenizer(target, dialer, add_special_tokens=False, add_special=False)
    pairs = [(said, await count(text)) for text, said in answers]
    known = [(said, counted) for said, counted in pairs if counted is not None]
    return {
        "available": bool(known),
        "answers": len(known),
        "differing": sum(said != counted for said, counted in known),
        "tokens_said": sum(said for said, _ in known),
        "tokens_counted": sum(counted for _, counted in known),
    }


async def single(count: Count, base: int, words: list[str]) -> list[str]:
    """Return the words that are one token each: if all together are as many tokens, each is; else halve."""
    counted = await count(" ".join([FIRST, *words]))
    if counted == base + len(words):
        return words
    if counted is None or len(words) == 1:
        return []
    middle = len(words) // 2
    return await single(count, base, words[:middle]) + await single(count, base, words[middle:])
