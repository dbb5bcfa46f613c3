"""What is sent, as the bytes that go on the wire; made before the clock starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blackstack.bench.target import Address, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, ready to be written to a socket.

    Attributes:
        wire: the HTTP/1.1 message, head and body.
        output_tokens: how many tokens were asked for; 0 where that means nothing.
        judged: whether degenerate text in the answer is a failure.
        turn: which one of a conversation it is, from 1; 0 where there is none.
        following: makes the next turn from the answer to this one; None where this is the last.
    """

    wire: bytes
    output_tokens: int = 0
    judged: bool = True
    turn: int = 0
    following: Callable[[str], Request] | None = None


class Envelope:
    """Wraps bodies into HTTP messages; all that never changes is formatted once."""

    def __init__(self, target: Target, address: Address) -> None:
        key = f"Authorization: Bearer {target.api_key}\r\n" if target.api_key else ""
        self._base = address.base
        self._judged = not target.noise
        self._common = f"Host: {address.authority}\r\nUser-Agent: blackstack-bench\r\n{key}"

    def get(self, path: str) -> Request:
        """Ask for a page."""
        return Request(wire=f"GET {self._base}{path} HTTP/1.1\r\n{self._common}Accept: */*\r\n\r\n".encode())

    def post(self, path: str, body: Mapping[str, Any], *, output_tokens: int = 0) -> Request:
        """Send a JSON body. UTF-8 is not escaped, as most clients send it."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        head = (
            f"POST {self._base}{path} HTTP/1.1\r\n{self._common}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return Request(wire=head.encode() + data, output_tokens=output_tokens, judged=self._judged)
