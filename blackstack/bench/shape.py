r"""The fast path through a stream: an event with the shape of the last one needs no second parse.

An engine repeats itself. From event to event only one JSON string changes::

    data: {"id":"cmpl-7","choices":[{"index":0,"text":" moon","finish_reason":null}]}
    └──────────────── prefix ───────────────────────┘     └──────── suffix ────────┘

Once one event has been parsed and its text found in the bytes, any event that has the same prefix and suffix, and
between them no quote, is the same JSON with another string. That is proof, not a guess, and it costs a comparison of
bytes. Everything else (a quote in the text, the usage, the end) is parsed as JSON, and a new shape is learned.
"""

from __future__ import annotations

import json
import re

from blackstack.bench.sse import TEXT_KEYS

OPENING = re.compile(rb'"(?:' + "|".join(TEXT_KEYS).encode() + rb')": ?"')
CLOSING = re.compile(rb'(?:[^"\\]|\\.)*')


class Shape:
    """The bytes before and after the text of an event."""

    __slots__ = ("_prefix", "_skip", "_suffix", "_trim")

    def __init__(self, prefix: bytes, suffix: bytes) -> None:
        self._prefix = prefix
        self._suffix = suffix
        self._skip = len(prefix)
        self._trim = -len(suffix)

    @classmethod
    def learn(cls, event: bytes, text: str) -> Shape | None:
        """Find a parsed event's text in its bytes; None unless it is there exactly once, under a known key."""
        opening = list(OPENING.finditer(event))
        if len(opening) != 1 or not text:
            return None
        start = opening[0].end()
        closing = CLOSING.match(event, start)
        if closing is None or unescape(closing.group()) != text:
            return None
        return cls(event[:start], event[closing.end() :])

    def text(self, event: bytes) -> bytes | None:
        """Return the escaped text of an event, or None if it has another shape."""
        if event.startswith(self._prefix) and event.endswith(self._suffix):
            text = event[self._skip : self._trim]
            if b'"' not in text and not text.endswith(b"\\") and len(event) >= self._skip - self._trim:
                return text
        return None

    def texts(self, events: list[bytes], end: bytes = b"") -> list[bytes] | None:
        """Return the escaped texts of many events, or None if one of them has another shape.

        The same as :meth:`text` for each, at a fraction of the cost: cut all, and see whether putting them together
        again gives what was there.

        Args:
            events: what to read.
            end: what each of them ends with, after the event itself.
        """
        suffix = self._suffix + end
        skip, trim = self._skip, -len(suffix)
        texts = [event[skip:trim] for event in events]
        joined = b"\n".join(texts)
        if b'"' in joined or b"\\\n" in joined or joined.endswith(b"\\"):
            return None  # a quote, or a backslash that would escape the closing one
        if self._prefix + (suffix + self._prefix).join(texts) + suffix != b"".join(events):
            return None
        return texts


def unescape(text: bytes) -> str:
    """Return what a JSON string means, given without its quotes; what cannot be decoded is shown as such."""
    try:
        return str(json.loads(b'"' + text + b'"', strict=False))
    except ValueError:
        return text.decode(errors="replace")
