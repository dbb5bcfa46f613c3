"""Where an HTTP/1.1 answer ends, found without parsing it.

While the load runs, each packet is only stamped and kept; the parser looks at it when there is time. One question
cannot wait, because the next request hangs on it: was this packet the last one? That takes the head of the
answer, read once, and then a look at the end of each packet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# The last chunk: a size of zero, perhaps an extension, perhaps trailers, and an empty line.
# Server-sent events cannot hold it by accident: JSON escapes its line breaks.
LAST_CHUNK = re.compile(rb"\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n\Z")
SHORT = 7  # the length of the plainest last chunk together with the line break before it
TAIL_PACKETS = 16
TAIL_BYTES = 1024

BODILESS = frozenset({b"204", b"304"})
HEADER = re.compile(rb"\r\n(transfer-encoding|content-length|connection)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)

Ended = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of an answer says about its end.

    Attributes:
        length: bytes of the whole message, head and body; None where the head does not tell.
        chunked: the body comes in chunks.
        closing: the server closes the connection afterwards.
    """

    length: int | None
    chunked: bool
    closing: bool


def read_head(data: bytes) -> Head | None:
    """Read the head of an answer, or return None while it is incomplete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    fields = {name.lower(): value.lower() for name, value in HEADER.findall(data, 0, end + 2)}
    chunked = b"chunked" in fields.get(b"transfer-encoding", b"")
    options = fields.get(b"connection", b"")
    closing = b"close" in options or (data.startswith(b"HTTP/1.0") and b"keep-alive" not in options)
    body = fields.get(b"content-length", b"").strip()
    length: int | None = None
    if data[9:12] in BODILESS:
        length, chunked = end + 4, False
    elif not chunked and body.isdigit():
        length = end + 4 + int(body)
    return Head(length=length, chunked=chunked, closing=closing or (length is None and not chunked))


def ends_with_last_chunk(data: bytes, packets: list[bytes]) -> bool:
    """Tell whether ``data``, the newest of ``packets``, completes a chunked answer.

    Nearly every packet fails the first comparison, which is all that the busy path pays.
    """
    if not (data.endswith(b"\r\n\r\n") or len(data) < SHORT):
        return False
    tail = data if len(data) >= TAIL_BYTES else b"".join(packets[-TAIL_PACKETS:])
    return LAST_CHUNK.search(tail, max(0, len(tail) - TAIL_BYTES)) is not None
