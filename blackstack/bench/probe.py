"""Is this an OpenAI-compatible server, and does it serve the model? Asked before any load is made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, replace
from typing import Any

from blackstack.bench.failures import reason
from blackstack.bench.reading import OK, Reader, Reply
from blackstack.bench.request import Envelope, Request
from blackstack.bench.stream import Connection, Dialer, Exchange
from blackstack.bench.target import Target
from blackstack.errors import BlackstackError, BlockedError, UsageError, unknown_name

REFUSED = frozenset({401, 403})
PATIENCE_S = 15.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A plain HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """Return the body as JSON; None where it is none."""
        with contextlib.suppress(ValueError):
            return json.loads(self.body)
        return None


class _Collector:
    """A sink that reads one answer as it comes."""

    def __init__(self) -> None:
        self.alive = False
        self.reader = Reader()
        self.done: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()

    def feed(self, _: Exchange, stamps: list[int], packets: list[bytes]) -> None:
        self.reader.feed(stamps, packets)

    def finish(self, exchange: Exchange) -> None:
        if not self.done.done():
            self.done.set_result(exchange)


def _nothing(_connection: Connection, _exchange: Exchange) -> None:
    """Do nothing: the collector hears of the end, and a connection of one request never goes stale."""


async def fetch(dialer: Dialer, request: Request, *, timeout_s: float = PATIENCE_S) -> Page:
    """Send one request on a connection of its own; raise OSError or TimeoutError where no answer came."""
    exchange, reader = await _exchange(dialer, request, timeout_s)
    status, body = reader.plain()
    if exchange.end != "complete" or not status:
        raise ConnectionResetError(exchange.detail or "closed before the answer was complete")
    return Page(status=status, body=body)


async def ask(dialer: Dialer, request: Request, *, timeout_s: float) -> Reply:
    """Send one request whose answer is a stream, and judge it; raise OSError or TimeoutError where none came."""
    exchange, reader = await _exchange(dialer, request, timeout_s)
    return reader.finish(exchange)


async def _exchange(dialer: Dialer, request: Request, timeout_s: float) -> tuple[Exchange, Reader]:
    collector = _Collector()
    connection = Connection(collector, _nothing, _nothing)
    await dialer.connect(connection)
    try:
        async with asyncio.timeout(timeout_s):
            connection.send(Exchange(request))
            exchange = await collector.done
    finally:
        connection.abort("cancelled")
    return exchange, collector.reader


async def resolve(target: Target, dialer: Dialer) -> tuple[Target, list[dict[str, Any]]]:
    """Return the target with its model named, and what the server says about its models.

    Raises:
        BlockedError: nobody listens there.
        UsageError: it is no OpenAI-compatible server, the key is wrong, or the model is unknown.
    """
    address = target.address
    ask = f"curl {address.root}/v1/models"
    try:
        page = await fetch(dialer, Envelope(target, address).get("/v1/models"))
    except TimeoutError:
        raise BlockedError(
            f"{address.root} does not answer",
            why=f"GET /v1/models got no answer within {PATIENCE_S:g} s",
            fix=["inv status", ask],
        ) from None
    except ConnectionRefusedError:
        raise BlockedError(
            f"nothing listens at {address.root}", why="connection refused", fix=["inv up", "inv status"]
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise BlockedError(
            f"the certificate of {address.root} is not trusted here",
            why=error.verify_message or str(error),
            fix=["if it is your own: SSL_CERT_FILE=ITS-CA.pem inv bench …", ask],
        ) from None
    except OSError as error:
        raise BlockedError(f"cannot talk to {address.root}", why=str(error), fix=[ask, "inv status"]) from None
    if page.status in REFUSED:
        raise UsageError(
            f"{address.root} refuses {'this API key' if target.api_key else 'to answer without an API key'}",
            why=f"GET /v1/models answered {page.status}",
            fix="give the server's key in the environment: API_KEY=… (never on the command line)",
        )
    models = _models(page)
    if page.status != OK or models is None:
        raise UsageError(
            f"{address.root} is not an OpenAI-compatible server",
            why=f"GET /v1/models answered {page.status}: {page.body[:80].decode(errors='replace')!r}",
            fix=["check the URL and the port", ask],
        )
    return replace(target, model=_choose(target, [str(model["id"]) for model in models], ask)), models


def _models(page: Page) -> list[dict[str, Any]] | None:
    body = page.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        return None
    return [model for model in data if isinstance(model, dict) and "id" in model]


def _choose(target: Target, served: list[str], ask: str) -> str:
    if target.model is None:
        if len(served) == 1:
            return served[0]
        why = f"it serves {', '.join(served)}" if served else "it serves none"
        raise UsageError("which model?", why=why, fix="name one: --model NAME")
    if served and target.model not in served:
        raise unknown_name("model", target.model, served, see=ask)
    return target.model


def first_of(error: BaseException) -> BaseException:
    """Return the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def complaint(error: BaseException) -> BlackstackError:
    """Turn a connection that failed while the load was prepared into an error for people."""
    first = first_of(error)
    return BlockedError(
        "the server does not take the connections that the load needs",
        why=reason(first),
        fix=["ask for a lower --concurrency", "inv status"],
    )
