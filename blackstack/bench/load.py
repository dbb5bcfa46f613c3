"""What every load shape needs: connections opened before the clock starts, a gauge, and an end."""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from blackstack.bench.backlog import Backlog
from blackstack.bench.magazine import Magazine
from blackstack.bench.reading import Reply
from blackstack.bench.request import Request
from blackstack.bench.stats import Distribution
from blackstack.bench.stream import Connection, Dialer, Exchange, clock_ns
from blackstack.bench.watch import Gauge

DIALS = 64  # connections that are opened at a time; more would overflow a server's queue
GIVE_UP = 10  # dials in a row that nobody answers: the server is gone
HUNG = 2  # time-outs in a row without a byte for anybody: it hangs
LONGEST_LOOK_S = 0.25


class Load(abc.ABC):
    """The base of the load shapes.

    Attributes:
        quiet_s: for how long requests have waited and nothing has come for any of them; looked at now and then.
        given_up: why nothing more is sent, where the server is gone or hangs.

    Args:
        dialer: opens connections.
        backlog: reads what they receive.
        magazine: gives the requests.
        timeout_s: for one request.
        duration_s: after that nothing more is sent; None goes on until the magazine is empty.
    """

    def __init__(
        self,
        dialer: Dialer,
        backlog: Backlog,
        magazine: Magazine,
        *,
        timeout_s: float,
        duration_s: float | None = None,
    ) -> None:
        self._dialer = dialer
        self._backlog = backlog
        self._magazine = magazine
        self._timeout_ns = round(timeout_s * 1e9)
        self._duration_ns = round(duration_s * 1e9) if duration_s else None
        self._deadline_ns: int | None = None
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._empty = False
        self._again: deque[Request] = deque()  # sent on connections that the server had let go of
        self._held = 0  # conversations whose last answer is being read
        self._one_shot = False  # the server closes after each answer, whatever it announces
        self._refused = 0  # dials in a row that nobody answered
        self.gauge = Gauge()
        self.connect = Distribution()
        self.reconnects = 0
        self.quiet_s = 0.0
        self.given_up = ""
        self._heard_ns = 0  # since when nothing has come

    @property
    def packets(self) -> int:
        """Return how many packets have come of the answers that have not ended."""
        return sum(connection.packets for connection in self._open if connection.exchange is not None)

    async def connect_all(self, count: int) -> None:
        """Open connections, before any clock runs. Raises OSError or TimeoutError, in a group."""
        gate = asyncio.Semaphore(DIALS)

        async def one() -> None:
            async with gate:
                await self._dial()

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())

    async def run(self) -> None:
        """Send all requests and wait for the last answer."""
        if self._duration_ns is not None:
            self._deadline_ns = clock_ns() + self._duration_ns
        self._heard_ns = clock_ns()
        sweeper = asyncio.create_task(self._sweep())
        try:
            self._begin()
            await self._over
        finally:
            sweeper.cancel()
            for task in self._tasks:
                task.cancel()

    def close(self) -> None:
        """Close every connection; what is in flight is given up."""
        self._empty = True
        for connection in list(self._open):
            connection.abort("cancelled")
        self._open.clear()

    # What a shape says for itself.

    @abc.abstractmethod
    def _begin(self) -> None:
        """Start sending."""

    @abc.abstractmethod
    def _ended(self, connection: Connection, exchange: Exchange) -> None:
        """An answer has ended."""

    @abc.abstractmethod
    def _stale(self, connection: Connection, exchange: Exchange) -> None:
        """A request was sent on a connection that the server had let go of.

        llama.cpp's server announces keep-alive and closes after each stream.
        """

    @abc.abstractmethod
    def go_on(self, reply: Reply) -> None:
        """A reply that carries a tag was read: a shape that holds conversations sends the next turn."""

    # What shapes are made of.

    def _send(self, connection: Connection, request: Request, scheduled_ns: int = 0) -> None:
        exchange = Exchange(request)
        connection.send(exchange)
        exchange.scheduled_ns = scheduled_ns or exchange.sent_ns
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

    def _finish_if_over(self) -> None:
        pending = self._again or self._held or self.gauge.now or self._tasks
        if self._empty and not pending and not self._over.done():
            self._over.set_result(None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside; the load is not over before it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._over.done():
            self._over.set_exception(error)
        self._finish_if_over()

    async def _dial(self) -> Connection:
        connection = Connection(self._backlog, self._ended, self._stale)
        await self._dialer.connect(connection)
        self._open.add(connection)
        self.connect.add((connection.connect_us,))
        self._refused = 0
        return connection

    def _fail(self, request: Request, why: str, scheduled_ns: int = 0) -> None:
        """Count a request that could not be sent; the server being gone for good ends the run."""
        exchange = Exchange(request)
        exchange.sent_ns = exchange.end_ns = clock_ns()
        exchange.scheduled_ns = scheduled_ns or exchange.sent_ns
        exchange.end, exchange.detail = "connect", why
        self._backlog.finish(exchange)
        self._refused += 1
        if self._refused >= GIVE_UP:
            self.give_up(f"{why}, {GIVE_UP} times in a row")

    def give_up(self, why: str) -> None:
        """Send nothing more."""
        self.given_up = self.given_up or why
        self._empty = True

    async def _sweep(self) -> None:
        """Give up what takes too long. One look at all of them now and then is cheaper than a timer for each."""
        while True:
            await asyncio.sleep(min(LONGEST_LOOK_S, self._timeout_ns / 4e9))
            now = clock_ns()
            self._listen(now)
            late = now - self._timeout_ns
            for connection in list(self._open):
                exchange = connection.exchange
                if exchange is not None and exchange.sent_ns < late:
                    connection.abort("timeout")

    def _listen(self, now: int) -> None:
        """See for how long nothing has come; a server that is asked nothing is not silent."""
        heard = max((connection.heard_ns for connection in self._open), default=0)
        self._heard_ns = max(self._heard_ns, self._backlog.heard_ns, heard) if self.gauge.now else now
        self.quiet_s = (now - self._heard_ns) / 1e9
        if now - self._heard_ns > HUNG * self._timeout_ns:
            self.give_up(f"nothing came for anybody within {HUNG} time-outs of {self._timeout_ns / 1e9:g} s")
