"""The least that a Python client can do: stamp each packet, keep it, send the next request. No parsing at all.

What any client of this kind costs beyond this is its own; what this costs is Python's, the loop's and the kernel's, and
it is different on every machine. So it runs beside the others: compare ratios, not seconds.

    python client_floor.py PORT CONCURRENCY REQUESTS TOKENS OUT.json
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from pathlib import Path
from typing import cast

import uvloop


class Stream(asyncio.Protocol):
    """One connection of a closed loop."""

    left = 0
    open = 0
    over: asyncio.Future[None]
    body = b""
    ttft_ms: list[float]

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.kept: list[tuple[int, bytes]] = []
        self.sent = 0
        self.packets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def send(self) -> None:
        """Send the next request, if any is left."""
        if not Stream.left or self.transport is None:
            Stream.open -= 1
            if not Stream.open:
                Stream.over.set_result(None)
            return
        Stream.left -= 1
        self.packets = 0
        self.sent = time.monotonic_ns()
        self.transport.write(Stream.body)

    def data_received(self, data: bytes) -> None:
        """Stamp and keep."""
        now = time.monotonic_ns()
        self.kept.append((now, data))
        self.packets += 1
        if self.packets == 2:  # noqa: PLR2004 - the first packet is the head
            Stream.ttft_ms.append((now - self.sent) / 1e6)
        if data.endswith(b"\r\n0\r\n\r\n"):
            self.send()


async def main(port: int, concurrency: int, requests: int, tokens: int) -> None:
    """Run the closed loop."""
    loop = asyncio.get_running_loop()
    body = json.dumps({"model": "mock", "prompt": "x", "max_tokens": tokens, "stream": True}, separators=(",", ":"))
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    Stream.body, Stream.ttft_ms = f"{head}{body}".encode(), []
    Stream.left, Stream.open, Stream.over = requests, concurrency, loop.create_future()
    streams = [(await loop.create_connection(Stream, "127.0.0.1", port))[1] for _ in range(concurrency)]
    for stream in streams:
        stream.send()
    await Stream.over


if __name__ == "__main__":
    gc.disable()
    port, concurrency, requests, tokens = map(int, sys.argv[1:5])
    uvloop.run(main(port, concurrency, requests, tokens))
    cuts = statistics.quantiles(Stream.ttft_ms, n=100, method="inclusive")
    told = {"ttft_mean_ms": statistics.fmean(Stream.ttft_ms), "ttft_p99_ms": cuts[98]}
    Path(sys.argv[5]).write_text(json.dumps(told), encoding="utf-8")
