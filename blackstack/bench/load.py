"""Closed loop: a fixed number of requests in flight; each end sends the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from blackstack.bench.backlog import Backlog
from blackstack.bench.request import Request
from blackstack.bench.stats import Distribution
from blackstack.bench.stream import Connection, Dialer, Exchange, clock_ns
from blackstack.bench.watch import Gauge

DIALS = 64  # connections that are opened at a time; more would overflow a server's queue
REDIAL_S = 0.05
GIVE_UP = 10  # dials in a row that nobody answers: the server is gone


class Magazine:
    """Requests made ready ahead of their time, so that sending one is a pop."""

    def __init__(self, requests: Iterator[Request], *, depth: int) -> None:
        self._source = requests
        self._depth = depth
        self._ready: deque[Request] = deque()

    def refill(self) -> bool:
        """Make one more request ready; False where there are enough or no more."""
        if len(self._ready) >= self._depth:
            return False
        request = next(self._source, None)
        if request is None:
            return False
        self._ready.append(request)
        return True

    def fill(self) -> None:
        """Make as many ready as the magazine holds."""
        while self.refill():
            pass

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left."""
        return not self._ready and not self.refill()

    def take(self) -> Request | None:
        """Return the next request; None when there are no more."""
        if not self._ready:
            self.refill()
        return self._ready.popleft() if self._ready else None


class ClosedLoop:
    """Keeps ``concurrency`` requests in flight until the magazine is empty or the time is over."""

    def __init__(
        self,
        dialer: Dialer,
        backlog: Backlog,
        magazine: Magazine,
        *,
        concurrency: int,
        timeout_s: float,
        duration_s: float | None = None,
    ) -> None:
        self._dialer = dialer
        self._backlog = backlog
        self._magazine = magazine
        self._concurrency = concurrency
        self._timeout_ns = round(timeout_s * 1e9)
        self._duration_ns = round(duration_s * 1e9) if duration_s else None
        self._deadline_ns: int | None = None
        self._open: set[Connection] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._again: deque[Request] = deque()  # sent on connections that the server had let go of
        self._one_shot = False  # the server closes after each answer, whatever it announces
        self._refused = 0  # dials in a row that nobody answered
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._empty = False
        self.gauge = Gauge()
        self.connect = Distribution()
        self.reconnects = 0

    async def connect_all(self) -> None:
        """Open the connections, before any clock runs. Raises OSError or TimeoutError."""
        gate = asyncio.Semaphore(DIALS)

        async def one() -> None:
            async with gate:
                await self._dial()

        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency - len(self._open)):
                group.create_task(one())

    async def run(self) -> None:
        """Send all requests and wait for the last answer."""
        if self._duration_ns is not None:
            self._deadline_ns = clock_ns() + self._duration_ns
        sweeper = asyncio.create_task(self._sweep())
        try:
            for connection in list(self._open):
                self._next(connection) if connection.usable else self._replace(connection)
            await self._over
        finally:
            sweeper.cancel()
            for task in self._dials:
                task.cancel()

    def close(self) -> None:
        """Close every connection; what is in flight is given up."""
        self._empty = True
        for connection in list(self._open):
            connection.abort("cancelled")
        self._open.clear()

    def _next(self, connection: Connection) -> None:
        """Send the next request on a connection that is free."""
        request = self._take()
        if request is None:
            self._finish_if_over()
            return
        exchange = Exchange(request)
        connection.send(exchange)
        exchange.scheduled_ns = exchange.sent_ns
        self.gauge.up(exchange.sent_ns)

    def _take(self) -> Request | None:
        if self._again:
            return self._again.popleft()
        request = None
        if not self._empty and (self._deadline_ns is None or clock_ns() < self._deadline_ns):
            request = self._magazine.take()
        if request is None and not self._empty:
            self._empty = True
            self.gauge.close(clock_ns())
        return request

    def _ended(self, connection: Connection, exchange: Exchange) -> None:
        self.gauge.down(exchange.end_ns)
        if connection.usable and not self._one_shot:
            self._next(connection)
        else:
            if self._one_shot:
                connection.abort("cancelled")
            self._replace(connection)

    def _stale(self, connection: Connection, exchange: Exchange) -> None:
        """Send a request again, its clock starting anew; from now on a connection is used once.

        llama.cpp's server announces keep-alive and closes after each stream.
        """
        self.gauge.down(exchange.end_ns)
        self._one_shot = True
        self._again.append(exchange.request)
        self._replace(connection)

    def _finish_if_over(self) -> None:
        if self._empty and not self._again and not self.gauge.now and not self._dials and not self._over.done():
            self._over.set_result(None)

    async def _dial(self) -> Connection:
        connection = Connection(self._backlog, self._ended, self._stale)
        await self._dialer.connect(connection)
        self._open.add(connection)
        self.connect.add((connection.connect_us,))
        return connection

    def _replace(self, connection: Connection) -> None:
        """Open another connection for one that was closed, if there is anything left to send."""
        self._open.discard(connection)
        if not self._again and (self._empty or self._magazine.empty):
            self._take()  # nothing; it closes the gauge
            self._finish_if_over()
            return
        self.reconnects += 1
        task = asyncio.get_running_loop().create_task(self._redial())
        self._dials.add(task)
        task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dials.discard(task)
        self._finish_if_over()

    async def _redial(self) -> None:
        """Dial until somebody answers; each time nobody does is a request that failed."""
        while self._again or not self._empty:
            try:
                connection = await self._dial()
            except (OSError, TimeoutError) as error:
                self._refused += 1
                self._fail(str(error) or type(error).__name__)
                await asyncio.sleep(REDIAL_S)
            else:
                self._refused = 0
                self._next(connection)
                return

    def _fail(self, why: str) -> None:
        """Count a request that could not be sent; the server being gone for good ends the run."""
        request = self._take()
        if request is None:
            return
        exchange = Exchange(request)
        exchange.sent_ns = exchange.scheduled_ns = exchange.end_ns = clock_ns()
        exchange.end, exchange.detail = "connect", why
        self._backlog.finish(exchange)
        if self._refused >= GIVE_UP:
            self._empty = True

    async def _sweep(self) -> None:
        """Give up what takes too long. One look at all of them now and then is cheaper than a timer for each."""
        while True:
            await asyncio.sleep(min(0.25, self._timeout_ns / 4e9))
            late = clock_ns() - self._timeout_ns
            for connection in list(self._open):
                exchange = connection.exchange
                if exchange is not None and exchange.sent_ns < late:
                    connection.abort("timeout")
