"""Is this text an answer, or the noise of a broken kernel?

A wrong attention backend or a bad quantisation shows as one token for ever: «!!!!!!!!». It is fast, and it is wrong,
so it must not count as speed. The detector is narrow on purpose: a small model that repeats a *sentence* is poor but
works, and is no failure.

A small model can also come to repeat a very short phrase, or one token after a few others, above all when `ignore_eos`
drives it on past its end. That looks like a broken server, and is told from one by a second look
(:mod:`blackstack.bench.second_look`); one token for ever from the first or the second on needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

FEWEST = 16  # characters, or events: below that, nothing can be said
LOOKED_AT = 2048  # characters; what is broken is so from the beginning
SHARE = 0.9  # of the characters


def degenerate(text: str, events: int) -> str:
    """Return why a text is degenerate, or an empty string.

    Args:
        text: the whole answer.
        events: in how many pieces it came.
    """
    dense = "".join(text[:LOOKED_AT].split())
    if not dense:
        return f"{events} events of nothing but white space" if events >= FEWEST else ""
    if len(dense) < FEWEST:
        return ""
    sample = set(dense[:: max(1, len(dense) // FEWEST)])  # what is nearly everywhere is here too
    count, character = max((dense.count(character), character) for character in sample)
    if count >= SHARE * len(dense):
        return f"{character!r} is {count} of {len(dense)} characters"
    if len(dense) >= 2 * FEWEST and (unit := period(dense)):
        return f"{unit!r} repeated {len(dense) // len(unit)} times"
    return ""


def one_token(pieces: Sequence[bytes]) -> bool:
    """Tell whether a degenerate text is one token, or one character, for ever, from the first or the second on.

    A prefill can be right where the decoding after it is broken, so the first piece may be another one.

    Args:
        pieces: as they came, a token or a few each.
    """
    rest = pieces[1:]
    return len(set(rest)) <= 1 or len(set(b"".join(b"".join(rest).split()))) <= 1


def period(text: str, longest: int = FEWEST // 2) -> str:
    """Return the shortest unit of which the whole text is a repetition, the last one perhaps cut; else an empty one."""
    for size in range(1, longest + 1):
        if text[size:] == text[:-size]:
            return text[:size]
    return ""
