"""The work that can wait: reading what was received, and preparing what is sent next.

It runs on the same loop as the connections, in small turns between two polls of the sockets, so that a packet that
comes meanwhile waits for one turn at most.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from blackstack.bench.reading import Reader, Reply
from blackstack.bench.stream import Exchange

LIMIT = 128 << 20  # bytes waiting, from which reading goes before receiving; else memory would have no bound
PAUSE_S = 0.0005

Segment = tuple[Exchange, list[int], list[bytes], int]


class Backlog:
    """Reads exchanges in the gaps of the load.

    Args:
        on_reply: what is done with each reply.
        refill: prepares one more request and returns True, or returns False where enough are ready.

    Attributes:
        heard_ns: when the newest packet came of those that are here.
    """

    def __init__(self, on_reply: Callable[[Reply], None], refill: Callable[[], bool] = lambda: False) -> None:
        self._on_reply = on_reply
        self._refill = refill
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Segment | Exchange] = deque()
        self._bytes = 0
        self._readers: dict[Exchange, Reader] = {}
        self._awake = False
        self.alive = False
        self.heard_ns = 0

    def feed(self, exchange: Exchange, stamps: list[int], packets: list[bytes]) -> None:
        """Take packets to be read."""
        size = sum(map(len, packets))
        self._waiting.append((exchange, stamps, packets, size))
        self._bytes += size
        self.heard_ns = max(self.heard_ns, stamps[-1])
        self.wake()

    def finish(self, exchange: Exchange) -> None:
        """Take the end of an exchange."""
        self._waiting.append(exchange)
        self.wake()

    def wake(self) -> None:
        """See to it that a turn comes."""
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._turn)

    def drain(self) -> None:
        """Read all that waits, now."""
        while self._waiting:
            self._read_one()

    def _turn(self) -> None:
        """Do a little, if nothing has come since the last turn; else look again soon."""
        while self._bytes > LIMIT:
            self._read_one()
        if self.alive:
            self.alive = False
            self._loop.call_later(PAUSE_S, self._turn)
            return
        if self._waiting:
            self._read_one()
        elif not self._refill():
            self._awake = False
            return
        self._loop.call_soon(self._turn)

    def _read_one(self) -> None:
        item = self._waiting.popleft()
        if isinstance(item, Exchange):
            self._on_reply((self._readers.pop(item, None) or Reader()).finish(item))
            return
        exchange, stamps, packets, size = item
        reader = self._readers.get(exchange)
        if reader is None:
            reader = self._readers[exchange] = Reader()
        reader.feed(stamps, packets)
        self._bytes -= size
