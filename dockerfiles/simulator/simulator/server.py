"""The server: HTTP/1.1 by hand, because the faults lie below what a framework lets one do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from simulator.answers import events, prompt_of, words
from simulator.behaviour import Behaviour, Ending, Fault

HTTP_OK, UNAUTHORIZED, MISSING, BROKEN, UNAVAILABLE = (
    HTTPStatus.OK,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
FOREVER_S = 3600.0


@dataclass(kw_only=True)
class Served:
    """What the server knows about one request. Times are nanoseconds of the monotonic clock.

    Attributes:
        sent_ns: taken just before each write that carries tokens.
    """

    number: int
    path: str
    body: Mapping[str, Any]
    read_ns: int
    fault: Fault | None = None
    sent_ns: list[int] = field(default_factory=list)


class Simulator:
    """Serves a Behaviour: in a thread of its own as a context manager, or in this one with ``serve``.

    Args:
        behaviour: how it answers.
        host: where to listen.
        port: and at which port; 0 takes a free one.
        tls: speak HTTPS.
        log: called with the line that an engine would log of a request.
        die: ends the process as the behaviour says; without it the server only stops, as tests in threads need it.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] | None = None,
        die: Callable[[Ending], None] | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.host = host
        self.port = port
        self.tls = tls
        self.served: list[Served] = []
        self.connections = 0
        self.running = 0
        self.waiting = 0
        self.open = 0
        self.tokens = 0
        self._log = log
        self._die_by = die
        self._asked: dict[asyncio.StreamWriter, str] = {}  # of each connection, what it asked last
        self._slots: asyncio.Semaphore | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join(10)

    def stop(self) -> None:
        """Stop listening and drop every connection; may be called from another thread."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # it has stopped by itself
                self._loop.call_soon_threadsafe(self._stop.set)

    async def serve(self, up: Callable[[], None] | None = None) -> None:
        """Serve until stopped; call *up* when it listens."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(self.behaviour.slots) if self.behaviour.slots else None
        server = await asyncio.start_server(self._connected, self.host, self.port, backlog=4096, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        if up is not None:
            up()
        try:
            await self._stop.wait()
        finally:
            server.close()
            for writer in list(self._asked):
                writer.transport.abort()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.01)  # the transports close their sockets some turns later

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._asked[writer] = ""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self.open -= 1
            self._asked.pop(writer, None)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        data = await reader.readexactly(int(fields.get("content-length", 0)))
        read_ns = time.monotonic_ns()
        key = self.behaviour.api_key
        self._asked[writer] = f"{method} {path}"
        if path.startswith("/v1") and key and fields.get("authorization") != f"bearer {key}".lower():
            return await self._plain(writer, UNAUTHORIZED, {"error": {"message": "invalid API key", "code": 401}})
        if method == "POST" and path in {"/v1/completions", "/v1/chat/completions"}:
            served = Served(number=0, path=path, body=json.loads(data), read_ns=read_ns)
            return await self._complete(writer, served)
        return await self._page(writer, method, path, data)

    async def _page(self, writer: asyncio.StreamWriter, method: str, path: str, data: bytes) -> bool:
        if path == "/health":
            well = not self.behaviour.unhealthy
            return await self._plain(writer, HTTP_OK if well else UNAVAILABLE, {"status": "ok" if well else "not yet"})
        if path == "/v1/models":
            models = [{"id": name, "object": "model", "owned_by": "simulator"} for name in self.behaviour.models]
            return await self._plain(writer, HTTP_OK, {"object": "list", "data": models})
        if path == "/version":
            return await self._plain(writer, HTTP_OK, {"version": "simulator-1"})
        if path == "/metrics":
            return await self._plain(writer, HTTP_OK, self._metrics())
        if path == "/tokenize" and method == "POST" and self.behaviour.tokenizer:
            tokens = list(range(len(prompt_of(json.loads(data)).split())))
            return await self._plain(writer, HTTP_OK, {"tokens": tokens, "count": len(tokens)})
        return await self._plain(writer, MISSING, {"detail": "Not Found"})

    def _metrics(self) -> str:
        name = 'model_name="simulated"'
        return (
            f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{{name}}} {self.running}\n"
            f"vllm:num_requests_waiting{{{name}}} {self.waiting}\n"
            f"vllm:kv_cache_usage_perc{{{name}}} {min(1.0, self.running / 100)}\n"
            f"vllm:num_preemptions_total{{{name}}} 0\n"
            f"vllm:prefix_cache_queries_total{{{name}}} {len(self.served) * 10}\n"
            f"vllm:prefix_cache_hits_total{{{name}}} 0\n"
            f"vllm:generation_tokens_total{{{name}}} {self.tokens}\n"
        )

    async def _complete(self, writer: asyncio.StreamWriter, served: Served) -> bool:
        behaviour = self.behaviour
        self.served.append(served)
        served.number = number = len(self.served)
        served.fault = behaviour.fault_of(number)
        if number == behaviour.die_at:
            (self._die_by or self._stop_instead)(behaviour.death)
            return False
        if served.body.get("model") not in behaviour.models:
            return await self._plain(writer, MISSING, {"error": {"message": "The model does not exist.", "code": 404}})
        if served.fault == "http_503" or behaviour.unhealthy:
            return await self._plain(writer, UNAVAILABLE, {"error": {"message": "the engine is overloaded"}})
        if behaviour.hang_at and number >= behaviour.hang_at:
            self.running += 1
            await asyncio.sleep(FOREVER_S)
        self.waiting += 1
        async with self._slots or contextlib.nullcontext():
            self.waiting -= 1
            self.running += 1
            try:
                return await self._stream(writer, served)
            finally:
                self.running -= 1

    async def _stream(self, writer: asyncio.StreamWriter, served: Served) -> bool:
        behaviour, fault, body = self.behaviour, served.fault, served.body
        chat = served.path.endswith("chat/completions")
        count = int(body.get("max_tokens") or 16)
        if behaviour.stop_after and not body.get("ignore_eos"):
            count = min(count, behaviour.stop_after)
        tokens = [] if fault == "empty" else words(served.number, count, prompt_of(body), fault, behaviour.loops)
        if not body.get("stream"):
            return await self._send_whole(writer, served, tokens, chat=chat)
        line = Line(writer, behaviour)
        self._note(writer, HTTP_OK)
        if not behaviour.late_head:
            line.head()
        return await self._send(line, served, tokens, chat=chat)

    async def _send_whole(self, writer: asyncio.StreamWriter, served: Served, tokens: list[str], *, chat: bool) -> bool:
        """Send the answer to a request that did not ask for a stream."""
        await asyncio.sleep((self.behaviour.ttft_ms + self.behaviour.itl_ms * len(tokens)) / 1000)
        match served.fault:
            case "stall":
                await asyncio.sleep(FOREVER_S)
            case "cut":
                return False
            case "sse_error":
                return await self._plain(writer, BROKEN, {"error": {"message": "CUDA out of memory", "code": BROKEN}})
            case "malformed":
                return await self._plain(writer, HTTP_OK, '{"choices": [{"text": ')
        self.tokens += len(tokens)
        return await self._plain(writer, HTTP_OK, _whole(served.body, tokens, chat=chat))

    async def _send(self, line: Line, served: Served, tokens: list[str], *, chat: bool) -> bool:
        """Send the events, each at its time."""
        behaviour, fault, body = self.behaviour, served.fault, served.body
        draw = random.Random(f"{behaviour.seed}/{served.number}")  # noqa: S311 - deterministic
        due, sent, wait_ms = time.monotonic(), 0, behaviour.ttft_ms
        for size, event in events(behaviour, body, tokens, chat=chat, number=served.number):
            if behaviour.comments and (not sent or sent % 5 == 0):
                line.event(b": keep-alive\n\n")
            if size:
                due += (wait_ms + draw.uniform(0, behaviour.jitter_ms)) / 1000
                wait_ms = behaviour.itl_ms
                if (sent // behaviour.tokens_per_event) % behaviour.coalesce == 0:
                    await line.flush()
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                if sent >= len(tokens) // 2 and fault not in {None, "garbage", "phrase", "empty", "no_done"}:
                    return await self._break(line, fault)
                served.sent_ns.append(time.monotonic_ns())
                sent += size
                self.tokens += size
            if fault == "no_done" and event == b"data: [DONE]\n\n":
                continue
            line.event(event)
            if behaviour.coalesce == 1:
                await line.flush()
        return await line.end()

    async def _break(self, line: Line, fault: Fault | None) -> bool:
        """Fail in the middle of an answer."""
        if fault == "stall":
            await line.flush()
            await asyncio.sleep(FOREVER_S)
        elif fault == "sse_error":
            line.event(b'data: {"error":{"message":"CUDA out of memory","type":"server_error","code":500}}\n\n')
            line.event(b"data: [DONE]\n\n")
            return await line.end()
        elif fault == "malformed":
            line.event(b'data: {"choices": [{"text": \n\n')
            return await line.end()
        await line.flush()
        return False

    def _stop_instead(self, _ending: Ending) -> None:
        self.stop()

    async def _plain(self, writer: asyncio.StreamWriter, status: int, body: Mapping[str, Any] | str) -> bool:
        """Send a whole answer; return that the connection stays open."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/plain" if isinstance(body, str) else "application/json"
        head = f"HTTP/1.1 {int(status)} -\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        self._note(writer, status)
        writer.write(head.encode() + data)
        await writer.drain()
        return True

    def _note(self, writer: asyncio.StreamWriter, status: int) -> None:
        if self._log is not None:
            address, port = writer.get_extra_info("peername")[:2]
            phrase = HTTPStatus(status).phrase
            self._log(f'INFO:     {address}:{port} - "{self._asked.get(writer)} HTTP/1.1" {int(status)} {phrase}')


class Line:
    """Writes a stream of events, split or joined as the behaviour says."""

    def __init__(self, writer: asyncio.StreamWriter, behaviour: Behaviour) -> None:
        self._writer = writer
        self._behaviour = behaviour
        self._buffer = b""
        self._headed = False

    def head(self) -> None:
        """Send the head of the answer."""
        self._headed = True
        framing = "Connection: close" if self._behaviour.close else "Transfer-Encoding: chunked"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n{framing}\r\n\r\n"
        self._writer.write(head.encode())

    def event(self, event: bytes) -> None:
        """Add one event to what is sent next."""
        if not self._headed:
            self.head()
        if self._behaviour.crlf:
            event = event.replace(b"\n", b"\r\n")
        self._buffer += event if self._behaviour.close else b"%x\r\n%b\r\n" % (len(event), event)

    async def flush(self) -> None:
        """Write what is there; in pieces that arrive apart, where that is wanted."""
        data, self._buffer = self._buffer, b""
        size = self._behaviour.split or max(1, len(data))
        for start in range(0, len(data), size):
            self._writer.write(data[start : start + size])
            await self._writer.drain()
            if self._behaviour.split:
                await asyncio.sleep(0)

    async def end(self) -> bool:
        """End the answer; return whether the connection stays open."""
        if not self._behaviour.close:
            self._buffer += b"0\r\n\r\n"
        await self.flush()
        return not (self._behaviour.close or self._behaviour.let_go)


def _whole(body: Mapping[str, Any], tokens: list[str], *, chat: bool) -> dict[str, Any]:
    """Return the answer to a request that did not ask for a stream."""
    text = "".join(tokens)
    choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"prompt_tokens": len(prompt_of(body).split()), "completion_tokens": len(tokens)}
    return {
        "id": "sim",
        "model": body.get("model"),
        "choices": [{"index": 0, **choice, "finish_reason": "length"}],
        "usage": usage,
    }
