"""Open loop: requests come when they come, however busy the server is.

Latency counts from the *scheduled* moment. A client that is late, or that has no free connection, adds to what it
reports and does not hide it: that is what a user who pressed a key at that moment would have seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from blackstack.bench.failures import reason
from blackstack.bench.load import Load
from blackstack.bench.reading import Reply
from blackstack.bench.request import Request
from blackstack.bench.stream import Connection, Exchange, clock_ns

SPARE = 16  # connections kept ready, because opening one takes time that is not the server's
EARLY_S = 0.002  # timers have a grain of a millisecond; the rest is waited for by looking at the clock


class OpenLoop(Load):
    """Sends each request at its own time, on a connection that is free.

    Attributes:
        offsets: seconds from the start, ascending; one for each request.
    """

    offsets: Iterator[float] = iter(())

    def _begin(self) -> None:
        self._idle = [connection for connection in self._open if connection.usable]
        self._dialling = 0
        self._begun_ns = clock_ns() + round(EARLY_S * 1e9)
        self._due_ns = self._begun_ns
        self._plan()

    def _plan(self) -> None:
        """Find the next moment; the end of the offsets or of the time is the end of the load."""
        offset = next(self.offsets, None)
        if offset is not None:
            self._due_ns = self._begun_ns + round(offset * 1e9)
        over = self._deadline_ns is not None and self._due_ns >= self._deadline_ns
        if offset is None or over or self.given_up:
            self._empty = True
            self.gauge.close(clock_ns())
            self._finish_if_over()
            return
        self._wait()

    def _wait(self) -> None:
        """Sleep until shortly before, then look again at every turn of the loop."""
        left_s = (self._due_ns - clock_ns()) / 1e9
        loop = asyncio.get_running_loop()
        if left_s <= 0:
            self._fire()
        elif left_s > EARLY_S:
            loop.call_later(left_s - EARLY_S, self._wait)
        else:
            loop.call_soon(self._wait)

    def _fire(self) -> None:
        due_ns = self._due_ns
        request = self._magazine.take()
        if request is None:
            self._empty = True
            self.gauge.close(clock_ns())
            self._finish_if_over()
            return
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:  # a server may have closed it meanwhile
                self._send(connection, request, due_ns)
                break
            self._open.discard(connection)
        else:
            self._spawn(self._dial_and_send(request, due_ns))
        if len(self._idle) + self._dialling < SPARE:
            self._dialling += 1
            self._spawn(self._dial_spare())
        self._plan()

    async def _dial_and_send(self, request: Request, due_ns: int) -> None:
        try:
            connection = await self._dial()
        except (OSError, TimeoutError) as error:
            self._fail(request, reason(error), due_ns)
        else:
            self._send(connection, request, due_ns)

    async def _dial_spare(self) -> None:
        try:
            self._idle.append(await self._dial())
        except (OSError, TimeoutError):
            pass  # the request that needs it will say so
        finally:
            self._dialling -= 1

    def _ended(self, connection: Connection, exchange: Exchange) -> None:
        self.gauge.down(exchange.end_ns)
        if connection.usable and not self._one_shot:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            connection.abort("cancelled")
        self._finish_if_over()

    def go_on(self, reply: Reply) -> None:
        """Do nothing: it holds no conversations, which ``Workload`` sees to."""

    def _stale(self, connection: Connection, exchange: Exchange) -> None:
        """Send a request again; its latency still counts from when it was scheduled."""
        self.gauge.down(exchange.end_ns)
        self._one_shot = True
        self._open.discard(connection)
        self._spawn(self._dial_and_send(exchange.request, exchange.scheduled_ns))
