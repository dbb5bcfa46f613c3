"""The ways in which a request can fail. A failed request is counted by class and is in no statistic of latency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLASSES: Final[dict[str, str]] = {
    "connect": "no connection, or it was lost before the first byte of the answer",
    "http": "a status other than 200",
    "cut": "the connection or the stream ended before the answer did: no [DONE], no last chunk",
    "sse_error": "an error event inside a stream that began with 200",
    "timeout": "no end within the time allowed",
    "malformed": "bytes that are not HTTP, not server-sent events, or not JSON",
    "empty": "a complete stream without any text",
    "garbage": "degenerate text: one token or character for ever",
}


def reason(error: BaseException) -> str:
    """Return why a connection failed, in words; the system's own are a number and an address."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "no answer to the connection"
    return str(error) or type(error).__name__


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one request: a class, and what the server said.

    Attributes:
        doubtful: it may be the model's way and no failure; the same question, asked again alone, can tell.
    """

    kind: str
    detail: str = ""
    doubtful: bool = False

    def __post_init__(self) -> None:
        assert self.kind in CLASSES, self.kind  # noqa: S101 - a class that the result does not know
