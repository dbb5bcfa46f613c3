"""From packets and stamps to a reply: what came, when, and whether it is good."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from typing import Any

import httptools

from blackstack.bench.chunks import take
from blackstack.bench.failures import Failure
from blackstack.bench.garbage import degenerate, one_token
from blackstack.bench.shape import Shape, unescape
from blackstack.bench.sse import MalformedEventError, read_event
from blackstack.bench.stream import Exchange

OK = 200
OPENING = 3  # packets, after which the shape of the rest is usually known: head, role, and a token


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """One answer. All times are whole microseconds of one monotonic clock.

    Attributes:
        stamps: when each event that carries text was complete, shape (events,).
        tokens: output tokens; as the server counted them, if ``counted``, else one for each event.
        input_tokens: prompt tokens as the server counted them; 0 where it did not.
        cached_tokens: prompt tokens that the server says it took from its prefix cache.
        failure: why this reply is in no statistic; None for a good one.
        turn: which one of a conversation it is, from 1; 0 where there is none.
        wire: what was sent, where the failure is doubtful and may be looked at a second time.
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
    turn: int = 0
    tag: object = None
    wire: bytes = field(default=b"", repr=False)  # it may hold a key


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
        self._half_line = b""  # a CR whose LF has not come yet
        self._rest = b""  # the beginning of an event whose end has not come yet
        self._shape: Shape | None = None
        self._stamps = array("q")
        self._texts: list[bytes] = []  # JSON-escaped
        self._told = _Told()
        self._malformed = ""
        self._stream = False
        self._aligned = False  # the next packet begins a chunk and an event

    # httptools calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Learn whether this is a stream of events."""
        if name.lower() == b"content-type":
            self._stream = b"text/event-stream" in value.lower()

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self._status = self._parser.get_status_code()

    def feed(self, stamps: Sequence[int], packets: Sequence[bytes]) -> None:
        """Read some packets, stamped in nanoseconds.

        In a long answer all but the first and the last few are events of one shape, a chunk and a packet each.
        """
        if not self._aligned:
            self._parse_packets(stamps[:OPENING], packets[:OPENING])
            stamps, packets = stamps[OPENING:], packets[OPENING:]
        if packets and self._aligned and self._shape is not None:
            taken = take(self._shape, stamps, packets)
            if taken is not None:
                self._take(taken.texts, taken.stamps)
                stamps, packets = taken.left_stamps, taken.left
        if packets:
            self._parse_packets(stamps, packets)

    def _parse_packets(self, stamps: Sequence[int], packets: Sequence[bytes]) -> None:
        """Read packets of any kind."""
        self._aligned = False
        body, parse = self._body, self._parser.feed_data
        counts = []  # of pieces of body that had come with each packet
        try:
            for packet in packets:
                parse(packet)
                counts.append(len(body))
        except httptools.HttpParserError as error:
            self._malformed = self._malformed or f"HTTP: {error}"
        if not body:
            return
        if not (self._stream and self._status == OK):
            self._rest += b"".join(body)
        else:
            self._events(stamps, counts, body)
            self._aligned = self._ends_with_a_chunk(packets[-1], body[-1])
        body.clear()

    def _ends_with_a_chunk(self, packet: bytes, piece: bytes) -> bool:
        """Tell whether the last packet ended with a whole chunk of whole events: then the next one begins a chunk.

        The parser gave what is between that chunk's size and its end as one piece; of a longer chunk it would have
        given the size and the end too.
        """
        return not (self._rest or self._half_line) and packet.endswith(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _events(self, stamps: Sequence[int], counts: list[int], pieces: list[bytes]) -> None:
        """Cut the body into events, and find the packet that completed each.

        Args:
            stamps: when each packet came, shape (packets,).
            counts: how many pieces had come with it, shape (packets,).
            pieces: the body.
        """
        data = b"".join(pieces)
        if self._half_line or b"\r" in data:
            pieces, counts = self._with_plain_lines(pieces, counts)
            data = b"".join(pieces)
        ends = list(accumulate(map(len, pieces), initial=len(self._rest)))
        packet_ends = [ends[count] for count in counts]
        block, separator, self._rest = (self._rest + data).rpartition(b"\n\n")
        if not separator:
            return
        events = cut(block)
        event_ends = list(accumulate([len(event) + 2 for event in events]))
        stamps = completed(event_ends, packet_ends, stamps)
        self._understand(events, [stamp // 1000 for stamp in stamps])

    def _with_plain_lines(self, pieces: list[bytes], counts: list[int]) -> tuple[list[bytes], list[int]]:
        """Turn CR LF into LF; a CR at the end of a packet waits for its LF. One piece a packet comes back."""
        plain, begun = [], 0
        for count in counts:
            data = self._half_line + b"".join(pieces[begun:count])
            begun = count
            self._half_line = b"\r" if data.endswith(b"\r") else b""
            plain.append(data.removesuffix(b"\r").replace(b"\r\n", b"\n"))
        return plain, list(range(1, len(plain) + 1))

    def _understand(self, events: list[bytes], stamps: list[int]) -> None:
        """Read events. In a stretch of them only the first and the last few are not of the usual shape."""
        begin, end = 0, len(events)
        while begin < end and (self._shape is None or self._shape.text(events[begin]) is None):
            self._parse(stamps[begin], events[begin])
            begin += 1
        while end > begin and self._shape is not None and self._shape.text(events[end - 1]) is None:
            end -= 1
        if begin < end and self._shape is not None:
            texts = self._shape.texts(events[begin:end])
            if texts is None:
                for stamp, event in zip(stamps[begin:end], events[begin:end], strict=True):
                    self._parse(stamp, event)
            else:
                self._take(texts, stamps[begin:end])
        for stamp, event in zip(stamps[end:], events[end:], strict=True):
            self._parse(stamp, event)

    def _take(self, texts: list[bytes], stamps: list[int]) -> None:
        if b"" in texts:
            self._keep([(stamp, text) for stamp, text in zip(stamps, texts, strict=True) if text])
        else:
            self._texts += texts
            self._stamps.extend(stamps)

    def _keep(self, events: list[tuple[int, bytes]]) -> None:
        for stamp, text in events:
            self._texts.append(text)
            self._stamps.append(stamp)

    def _parse(self, stamp: int, raw: bytes) -> None:
        """Read one event: by its shape, or else as JSON."""
        raw = raw.lstrip(b"\n")
        if self._shape is not None and (text := self._shape.text(raw)) is not None:
            self._keep([(stamp, text)] if text else [])
            return
        told = self._told
        try:
            event = read_event(raw)
        except MalformedEventError as error:
            self._malformed = self._malformed or str(error)
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
        failure = self._judge(exchange, text)
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
            failure=failure,
            turn=exchange.request.turn,
            tag=exchange.tag,
            wire=exchange.request.wire if failure and failure.doubtful else b"",
        )

    def plain(self) -> tuple[int, bytes]:
        """Return the status and the body of an answer that is no stream."""
        return self._status, self._rest

    def _judge(self, exchange: Exchange, text: str) -> Failure | None:
        """Name the failure that explains the rest, most telling first."""
        told, events = self._told, len(self._stamps)
        unanswered = exchange.end == "closed" and not self._status
        garbage = degenerate(text, events) if exchange.request.judged else ""
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
        kind, detail = next(((kind, detail) for seen, kind, detail in signs if seen), ("", ""))
        doubtful = kind == "garbage" and not one_token(self._texts)
        return Failure(kind, detail, doubtful) if kind else None


def completed(event_ends: list[int], packet_ends: list[int], stamps: Sequence[int]) -> list[int]:
    """Return the stamp of the packet in which each event ended; both ends are offsets into one body."""
    first = bisect_left(packet_ends, event_ends[0])
    count = min(len(event_ends), len(packet_ends) - first) - 1
    if event_ends[:count] != packet_ends[first : first + count]:  # else there was one event in each packet, as usual
        count = 0
    rest = map(bisect_left, repeat(packet_ends), event_ends[count:])
    return [*stamps[first : first + count], *(stamps[at] for at in rest)]


def cut(block: bytes) -> list[bytes]:
    """Cut a block into events at its empty lines; searching one byte is many times faster than searching two."""
    lines = block.split(b"\n")
    return block.split(b"\n\n") if any(lines[1::2]) else lines[::2]


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
