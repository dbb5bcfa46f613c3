"""From packets and stamps to a reply: what came, when, and whether it is good."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools

from blackstack.bench.failures import Failure
from blackstack.bench.garbage import degenerate
from blackstack.bench.shape import Shape, unescape
from blackstack.bench.sse import MalformedEventError, read_event
from blackstack.bench.stream import Exchange

OK = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer. All times are whole microseconds of one monotonic clock.

    Attributes:
        stamps: when each event that carries text was complete, shape (events,).
        tokens: output tokens; as the server counted them, if ``counted``, else one for each event.
        input_tokens: prompt tokens as the server counted them; 0 where it did not.
        cached_tokens: prompt tokens that the server says it took from its prefix cache.
        failure: why this reply is in no statistic; None for a good one.
    """

    scheduled_us: int
    sent_us: int
    end_us: int
    stamps: Sequence[int] = ()
    tokens: int = 0
    counted: bool = False
    input_tokens: int = 0
    cached_tokens: int = 0
    finish: str | None = None
    text: str = ""
    asked_tokens: int = 0
    failure: Failure | None = None
    tag: object = None


@dataclass(slots=True)
class _Told:
    """What the events of one stream have told so far."""

    usage: dict[str, Any] = field(default_factory=dict)
    finish: str | None = None
    error: str | None = None
    done: bool = False


class Reader:
    """Reads one answer, a few packets at a time, after they have been stamped.

    An event's stamp is that of the packet which completed it, however it was split or joined on its way.
    """

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self.on_body = self._body.append  # httptools calls it straight, without a Python frame
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._rest = b""  # the beginning of an event whose end has not come yet
        self._shape: Shape | None = None
        self._stamps = array("q")
        self._texts: list[bytes] = []  # JSON-escaped
        self._told = _Told()
        self._malformed = ""
        self._stream = False

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Learn whether this is a stream of events."""
        if name.lower() == b"content-type":
            self._stream = b"text/event-stream" in value.lower()

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self._status = self._parser.get_status_code()

    def feed(self, stamps: Sequence[int], packets: Sequence[bytes]) -> None:
        """Read some packets, stamped in nanoseconds."""
        body, parse = self._body, self._parser.feed_data
        for stamp, packet in zip(stamps, packets, strict=True):
            if self._malformed:
                return
            try:
                parse(packet)
            except httptools.HttpParserError as error:
                self._malformed = f"HTTP: {error}"
                return
            if body:
                data = body[0] if len(body) == 1 else b"".join(body)
                body.clear()
                if self._stream and self._status == OK:
                    self._events(stamp // 1000, data)
                else:
                    self._rest += data

    def _events(self, stamp: int, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        block, separator, self._rest = data.rpartition(b"\n\n")
        if not separator:
            return
        if self._shape is not None and (texts := self._shape.texts(block)) is not None:
            self._keep(stamp, texts)
            return
        for raw in block.split(b"\n\n"):
            event = raw.lstrip(b"\n")
            if self._shape is not None and (texts := self._shape.texts(event)) is not None:
                self._keep(stamp, texts)
            elif event:
                self._parse(stamp, event)

    def _keep(self, stamp: int, texts: list[bytes]) -> None:
        self._texts += texts
        self._stamps.extend([stamp] * (len(texts) - texts.count(b"")))

    def _parse(self, stamp: int, raw: bytes) -> None:
        """Take the slow path: an event with a shape of its own."""
        told = self._told
        try:
            event = read_event(raw)
        except MalformedEventError as error:
            self._malformed = str(error)
            return
        told.done = told.done or event.done
        told.finish = event.finish or told.finish
        told.usage.update(event.usage)
        if event.error is not None and told.error is None:
            told.error = event.error
        if event.text:
            self._texts.append(json.dumps(event.text)[1:-1].encode())
            self._stamps.append(stamp)
            if event.finish is None and not event.usage:
                self._shape = Shape.learn(raw, event.text) or self._shape

    def finish(self, exchange: Exchange) -> Reply:
        """Close the answer and judge it."""
        del self._parser  # it refers back to us, and the collector of cycles rests while the clock runs
        text = unescape(b"".join(self._texts))
        usage = self._told.usage
        counted = isinstance(usage.get("completion_tokens"), int)
        return Reply(
            scheduled_us=exchange.scheduled_ns // 1000,
            sent_us=exchange.sent_ns // 1000,
            end_us=exchange.end_ns // 1000,
            stamps=self._stamps,
            tokens=usage["completion_tokens"] if counted else len(self._stamps),
            counted=counted,
            input_tokens=_count(usage, "prompt_tokens"),
            cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
            finish=self._told.finish,
            text=text,
            asked_tokens=exchange.request.output_tokens,
            failure=self._judge(exchange, text),
            tag=exchange.tag,
        )

    def plain(self) -> tuple[int, bytes]:
        """Return the status and the body of an answer that is no stream."""
        return self._status, self._rest

    def _judge(self, exchange: Exchange, text: str) -> Failure | None:
        """Name the failure that explains the rest, most telling first."""
        told, events = self._told, len(self._stamps)
        unanswered = exchange.end == "closed" and not self._status
        garbage = degenerate(text, events)
        signs: tuple[tuple[object, str, str], ...] = (
            (exchange.end == "connect" or unanswered, "connect", exchange.detail or "closed before the answer began"),
            (exchange.end == "timeout", "timeout", f"{events} events had come"),
            (self._status not in {0, OK}, "http", f"{self._status} {_said(self._rest)}".strip()),
            (told.error is not None, "sse_error", told.error or ""),
            (self._malformed, "malformed", self._malformed),
            (not self._stream, "malformed", f"not an event stream: {_said(self._rest)}"),
            (not told.done or exchange.end != "complete", "cut", f"after {events} events"),
            (not events, "empty", f"finish_reason {told.finish}"),
            (garbage, "garbage", garbage),
        )
        return next((Failure(kind, detail) for seen, kind, detail in signs if seen), None)


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) else 0


def _said(body: bytes) -> str:
    """Return the message in an error's body, in one line."""
    try:
        parsed = json.loads(body)
        error = parsed.get("error", parsed)
        said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        said = body.decode(errors="replace")
    return " ".join(str(said).split())[:200]
