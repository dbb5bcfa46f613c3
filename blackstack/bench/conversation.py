"""Conversations: what the server answered is part of the next thing that it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from blackstack.bench.request import Request
from blackstack.bench.sources import Prompt

Wrap = Callable[[Mapping[str, Any]], Request]


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What was said so far, and what the user will say.

    Attributes:
        said: what stands before the next words of the user.
        words: what the user says, the next first.
        turn: the number of the next turn.
        turns: how many there are in all.
        wrap: makes a request of a body.
        chat: the messages are sent as such; else as one text.
    """

    said: tuple[Mapping[str, str], ...] = ()
    words: Iterator[str]
    turn: int = 1
    turns: int
    wrap: Wrap
    chat: bool

    def request(self, prefix: str = "") -> Request:
        """Return the next turn; the answer to it makes the one after."""
        spoken = Prompt(text=prefix + next(self.words), before=self.said)
        request = self.wrap(spoken.body(chat=self.chat))

        def following(answer: str) -> Request:
            asked = {"role": "user", "content": spoken.text}
            said = (*self.said, asked, {"role": "assistant", "content": answer})
            return replace(self, said=said, turn=self.turn + 1).request()

        return replace(request, turn=self.turn, following=following if self.turn < self.turns else None)
