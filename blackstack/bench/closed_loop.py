"""Closed loop: a fixed number of requests in flight; each end sends the next."""

from __future__ import annotations

import asyncio

from blackstack.bench.failures import reason
from blackstack.bench.load import Load
from blackstack.bench.reading import Reply
from blackstack.bench.stream import Connection, Exchange, clock_ns

REDIAL_S = 0.05


class ClosedLoop(Load):
    """Keeps every connection busy until the magazine is empty or the time is over.

    Attributes:
        ramp_s: the connections begin one after the other over so many seconds.
    """

    ramp_s: float = 0.0

    def _begin(self) -> None:
        if self.ramp_s:
            self._spawn(self._ramp(list(self._open)))
            return
        for connection in list(self._open):
            self._start(connection)

    async def _ramp(self, connections: list[Connection]) -> None:
        for connection in connections:
            self._start(connection)
            await asyncio.sleep(self.ramp_s / len(connections))

    def _start(self, connection: Connection) -> None:
        if connection.usable and not (self._one_shot and connection.used):
            self._next(connection)
        else:
            self._replace(connection)

    def _ended(self, connection: Connection, exchange: Exchange) -> None:
        self.gauge.down(exchange.end_ns)
        if exchange.request.following is None:
            self._start(connection)
        else:  # what is said next hangs on the answer, which has yet to be read
            self._held += 1
            exchange.tag = (connection, exchange.request.following)

    def go_on(self, reply: Reply) -> None:
        """Send the next turn of a conversation; a failed answer, or the end of the time, ends it."""
        if not isinstance(reply.tag, tuple):
            return
        connection, following = reply.tag
        self._held -= 1
        over = bool(self.given_up) or (self._deadline_ns is not None and clock_ns() >= self._deadline_ns)
        if reply.failure is None and not over:
            self._again.append(following(reply.text))
        self._start(connection)

    def _stale(self, connection: Connection, exchange: Exchange) -> None:
        """Send a request again, its clock starting anew; from now on a connection is used once."""
        self.gauge.down(exchange.end_ns)
        self._one_shot = True
        self._again.append(exchange.request)
        self._replace(connection)

    def _next(self, connection: Connection) -> None:
        request = self._take()
        if request is None:
            self._finish_if_over()
        else:
            self._send(connection, request)

    def _replace(self, connection: Connection) -> None:
        """Open another connection for one that was closed, if there is anything left to send."""
        self._open.discard(connection)
        connection.abort("cancelled")
        if self._again:
            self._spawn(self._redial())
            return
        if self._empty or self._magazine.empty:
            self._take()  # nothing; it closes the gauge
            self._finish_if_over()
            return
        self.reconnects += 1
        self._spawn(self._redial())

    async def _redial(self) -> None:
        """Dial until somebody answers; each time nobody does is a request that failed."""
        while self._again or not self._empty:
            try:
                connection = await self._dial()
            except (OSError, TimeoutError) as error:
                if request := self._take():
                    self._fail(request, reason(error))
                await asyncio.sleep(REDIAL_S)
            else:
                self._next(connection)
                return
