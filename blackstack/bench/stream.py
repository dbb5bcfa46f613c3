"""One HTTP/1.1 connection that stamps bytes as they arrive and leaves their meaning for later.

The busy path is :meth:`Connection.data_received`: read the clock, keep the packet, look whether it was the last.
Whatever is done between the socket and the stamp is measured as if the server had done it, so nothing else is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Literal, Protocol, cast

from blackstack.bench.framing import SHORT, TAIL_PACKETS, ends_with_last_chunk, read_head
from blackstack.bench.request import Request
from blackstack.bench.target import Address

End = Literal["complete", "closed", "timeout", "connect", "cancelled"]

clock_ns = time.monotonic_ns  # the only clock of a measurement, on every worker
SEGMENT = 128  # packets that are handed on together, so that a long answer is not held to its end


class Sink(Protocol):
    """Takes packets with their stamps, in order, to read them later.

    Attributes:
        alive: set with every packet; cleared by who wants to know whether any came.
    """

    alive: bool

    def feed(self, exchange: Exchange, stamps: list[int], packets: list[bytes]) -> None:
        """Take some packets of an exchange that is still going on."""

    def finish(self, exchange: Exchange) -> None:
        """Take the exchange itself: there is nothing more to come."""


class Exchange:
    """One request and its answer.

    Attributes:
        scheduled_ns: when it was meant to be sent; the same as ``sent_ns`` in a closed loop.
        sent_ns: taken just before the request was handed to the socket.
        end_ns: when the last packet came, or when we gave up.
        end: how it ended, as seen from outside the bytes.
    """

    __slots__ = ("detail", "end", "end_ns", "request", "scheduled_ns", "sent_ns", "tag")

    def __init__(self, request: Request, scheduled_ns: int = 0, tag: object = None) -> None:
        self.request = request
        self.scheduled_ns = scheduled_ns
        self.sent_ns = 0
        self.end_ns = 0
        self.end: End = "cancelled"
        self.detail = ""
        self.tag = tag


class Connection(asyncio.Protocol):
    """A keep-alive connection; one exchange at a time.

    Args:
        sink: where packets go.
        on_end: called once for each exchange, at its last packet, before anything is parsed.
        on_stale: called instead when a connection that had answered before closed without a byte of an answer: the
            server had let go of it, as it may at any time, and the request can be sent again (RFC 9112, 9.3.1).
    """

    def __init__(
        self,
        sink: Sink,
        on_end: Callable[[Connection, Exchange], None],
        on_stale: Callable[[Connection, Exchange], None],
    ) -> None:
        self._sink = sink
        self._on_end = on_end
        self._on_stale = on_stale
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._stamps: list[int] = []
        self._packets: list[bytes] = []
        self._missing: int | None = None  # bytes to come where the head told the length
        self._ended: Callable[[bytes], bool] = self._ended_in_head
        self._closing = False
        self._handed = 0  # packets of this answer that were handed on before its end
        self.exchange: Exchange | None = None
        self.connect_us = 0
        self.used = 0

    @property
    def usable(self) -> bool:
        """Tell whether another request may be sent."""
        return self._transport is not None and not self._closing and self.exchange is None

    @property
    def packets(self) -> int:
        """Return how many packets of the answer that is coming there have been."""
        return self._handed + len(self._packets)

    @property
    def heard_ns(self) -> int:
        """Return when the newest packet of the answer that is coming came; 0 where none has."""
        return self._stamps[-1] if self._stamps else 0

    def attach(self, sock: socket.socket | None, connect_us: int) -> None:
        """Remember the plain socket, which takes a request at once; a transport would send it one turn later."""
        self._socket = sock
        self.connect_us = connect_us

    def send(self, exchange: Exchange) -> None:
        """Send a request; its clock starts here."""
        self.exchange = exchange
        self._ended = self._ended_in_head
        self.used += 1
        wire = exchange.request.wire
        exchange.sent_ns = clock_ns()
        sent = 0
        if self._socket is not None:
            with contextlib.suppress(OSError):  # would block, or is closing: the transport finds out which
                sent = self._socket.send(wire)
        if sent < len(wire) and self._transport is not None:
            self._transport.write(wire[sent:])

    def abort(self, end: End) -> None:
        """Give the exchange up and close."""
        if self._transport is not None:
            self._closing = True
            self._transport.abort()
        if self.exchange is not None:
            self._finish(end)

    # asyncio calls what follows.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def data_received(self, data: bytes) -> None:
        """Stamp, keep, and look whether that was the end."""
        self._stamps.append(clock_ns())
        self._packets.append(data)
        self._sink.alive = True
        if self._ended(data):
            self._finish("complete")
        elif len(self._packets) >= SEGMENT:
            self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was going on; an answer without a length ends properly this way."""
        self._transport = None
        self._socket = None
        if self.exchange is not None:
            self.exchange.detail = str(exc or "")
            self._finish("complete" if self._ended == self._ended_never and exc is None else "closed")

    # How each kind of answer ends.

    def _ended_in_head(self, data: bytes) -> bool:
        if self.exchange is None:  # nobody asked: the connection is out of step and of no use
            self._packets.clear()
            self._stamps.clear()
            self.abort("closed")
            return False
        got = data if len(self._packets) == 1 else b"".join(self._packets)
        head = read_head(got)
        if head is None:
            return False
        self._closing = head.closing
        if head.chunked:
            self._ended = self._ended_chunked
            return ends_with_last_chunk(data, self._packets)
        if head.length is not None:
            self._ended = self._ended_counted
            self._missing = head.length - len(got)
            return self._missing <= 0
        self._ended = self._ended_never
        return False

    def _ended_chunked(self, data: bytes) -> bool:
        # The first comparison stands here once more: a call costs as much as the rest of this path.
        return (data.endswith(b"\r\n\r\n") or len(data) < SHORT) and ends_with_last_chunk(data, self._packets)

    def _ended_counted(self, data: bytes) -> bool:
        self._missing = (self._missing or 0) - len(data)
        return self._missing <= 0

    def _ended_never(self, _: bytes) -> bool:
        return False

    def _finish(self, end: End) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        exchange.end = end
        exchange.end_ns = self._stamps[-1] if end == "complete" and self._stamps else clock_ns()
        stamps, packets = self._stamps, self._packets
        self._stamps, self._packets = [], []
        self._handed = 0
        self._ended = self._ended_in_head
        self.exchange = None
        if self._closing and self._transport is not None:
            self._transport.close()
        if end == "closed" and self.used > 1 and not packets:
            self._on_stale(self, exchange)
            return
        self._on_end(self, exchange)  # sends the next request: first of all
        if packets:
            self._sink.feed(exchange, stamps, packets)
        self._sink.finish(exchange)

    def _hand_over(self) -> None:
        if self.exchange is not None:
            # The last chunk may lie across the border, so the newest packets stay here.
            self._sink.feed(self.exchange, self._stamps[:-TAIL_PACKETS], self._packets[:-TAIL_PACKETS])
            self._handed += len(self._packets) - TAIL_PACKETS
            del self._stamps[:-TAIL_PACKETS], self._packets[:-TAIL_PACKETS]


class Dialer:
    """Opens connections to one address, which is looked up once."""

    def __init__(self, address: Address, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._context: ssl.SSLContext | None = address.tls_context()
        self._resolved: list[tuple[socket.AddressFamily, tuple[str, int]]] = []

    async def connect(self, connection: Connection) -> Connection:
        """Connect; raise OSError or TimeoutError where nobody answers."""
        async with asyncio.timeout(self._timeout_s):
            begun = clock_ns()
            sock = await self._socket()
            server_name = self._address.host if self._context else None
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: connection, sock=sock, ssl=self._context, server_hostname=server_name)
            connection.attach(None if self._context else sock, (clock_ns() - begun) // 1000)
        return connection

    async def _socket(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        if not self._resolved:
            found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
            self._resolved = [(family, (at[0], at[1])) for family, _, _, _, at in found]  # type: ignore[misc]
        problem: OSError = OSError(f"{self._address.host} has no address")
        for family, at in self._resolved:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.settimeout(0)  # never block
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_connect(sock, at)
            except OSError as error:
                sock.close()
                problem = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise problem
