"""However an answer was cut into packets, and whatever an engine puts between its tokens, it is read the same."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.bench.reading import Reader, Reply
from blackstack.bench.request import Request
from blackstack.bench.shape import Shape
from blackstack.bench.sse import read_event
from blackstack.bench.stream import End, Exchange

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
TOKENS = ["The", ' "sea"', " was\n"]


def completion(text: str, **more: object) -> bytes:
    """Return one event of /v1/completions."""
    body = {"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": None}], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def delta(**fields: object) -> bytes:
    """Return one event of /v1/chat/completions."""
    body = {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(**counts: object) -> bytes:
    """Return the event that has the token counts."""
    return b"data: " + json.dumps({"choices": [], "usage": counts}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
GOOD = (*(completion(token) for token in TOKENS), usage(**USAGE), DONE)


def chunked(*events: bytes) -> bytes:
    """Return a whole answer: one HTTP chunk for each event."""
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"


def read(*packets: bytes, end: End = "complete") -> Reply:
    """Read packets that came one millisecond apart, the first after one millisecond."""
    reader = Reader()
    reader.feed([1_000_000 * (i + 1) for i in range(len(packets))], packets)
    exchange = Exchange(Request(wire=b"", output_tokens=3))
    exchange.end = end
    return reader.finish(exchange)


def failure(reply: Reply) -> str:
    """Return the class of a failure, or an empty string."""
    return reply.failure.kind if reply.failure else ""


@given(st.lists(st.integers(0, len(chunked(*GOOD))), max_size=40))
def test_any_split_into_packets_gives_the_same_answer(cuts: list[int]) -> None:
    wire = chunked(*GOOD)
    edges = sorted({0, len(wire), *cuts})

    reply = read(*(wire[a:b] for a, b in pairwise(edges)))

    assert reply.failure is None
    assert reply.text == "".join(TOKENS)
    assert reply.tokens == 3
    assert len(reply.stamps) == 3


def test_an_event_is_stamped_with_the_packet_that_completed_it() -> None:
    wire = chunked(*GOOD)
    first = wire.index(b'" was')  # the third event has begun and is not complete

    reply = read(wire[:first], wire[first:])

    assert list(reply.stamps) == [1000, 1000, 2000]


@given(st.lists(st.text(min_size=1), min_size=2, max_size=30))
def test_the_fast_path_reads_what_json_reads(tokens: list[str]) -> None:
    events = [completion(token) for token in tokens]

    reply = read(chunked(*events, DONE))

    assert reply.text.encode(errors="replace") == "".join(tokens).encode(errors="replace")
    assert len(reply.stamps) == len(tokens)


def in_chunks(events: list[bytes], cuts: list[int]) -> list[bytes]:
    """Return an answer of one chunk an event, a packet each where ``cuts`` is empty, else cut there."""
    chunks = [HEAD, *(b"%x\r\n%b\r\n" % (len(event), event) for event in events), b"0\r\n\r\n"]
    if not cuts:
        return chunks
    wire = b"".join(chunks)
    edges = sorted({0, len(wire), *(cut % len(wire) for cut in cuts)})
    return [wire[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.text(max_size=200), min_size=2, max_size=40), st.lists(st.integers(0, 100_000), max_size=12))
def test_chunks_are_read_like_any_other_bytes(tokens: list[str], cuts: list[int]) -> None:
    """Short and long texts, so that a chunk's size has two digits or three; cut anywhere, or a packet each."""
    events = [*(completion(token) for token in tokens), usage(**USAGE), DONE]
    packets = in_chunks(events, cuts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blackstack.bench.reading.take", lambda *_: None)
        slowly = read(*packets)

    quickly = read(*packets)

    assert quickly.text == slowly.text
    assert list(quickly.stamps) == list(slowly.stamps)
    assert quickly.failure == slowly.failure


def test_most_of_a_usual_answer_is_read_without_a_parser() -> None:
    packets = in_chunks([*(completion(f" word{n}") for n in range(200)), usage(**USAGE), DONE], [])
    reader = Reader()
    parsed: list[bytes] = []
    parse = reader._parse_packets

    def spy(stamps: list[int], some: list[bytes]) -> None:
        parsed.extend(some)
        parse(stamps, some)

    reader._parse_packets = spy  # type: ignore[method-assign, assignment]
    reader.feed(list(range(len(packets))), packets)

    assert len(parsed) == 3 + 3


def test_a_token_is_there_before_the_line_break_after_its_chunk() -> None:
    """The break may come with the next packet; the token's stamp is that of the packet which held the token."""
    chunks = in_chunks([completion(f" word{n}") for n in range(8)], [])
    head, *tokens, end = chunks
    late = [head, *(chunk[:-2] if n == 0 else b"\r\n" + chunk[:-2] for n, chunk in enumerate(tokens)), b"\r\n" + end]
    first = [head, *tokens[:3], tokens[3][:-2], *(b"\r\n" + chunk[:-2] for chunk in tokens[4:]), b"\r\n" + end]

    for packets in (late, first):
        assert list(read(*packets).stamps) == [2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000]


@pytest.mark.parametrize(
    "forged",
    [
        b"00%x\r\n%b\r\n",
        b"%X;x=1\r\n%b\r\n",
    ],
)
def test_chunks_that_are_written_otherwise_are_parsed(forged: bytes) -> None:
    events = [completion(f" word{n}") for n in range(20)]
    packets = [HEAD, *(forged % (len(event), event) for event in events), b"6\r\ndata: \r\n", b"0\r\n\r\n"]

    reply = read(*packets)

    assert reply.text == "".join(f" word{n}" for n in range(20))


def test_a_chunk_whose_size_is_a_lie_is_no_event() -> None:
    events = [completion(f" word{n}") for n in range(20)]
    lie = b"%x\r\n%b\r\n" % (len(events[0]) + 1, events[0])

    reply = read(
        HEAD, *(b"%x\r\n%b\r\n" % (len(event), event) for event in events[:10]), lie, *in_chunks(events, [])[1:]
    )

    assert failure(reply) == "malformed"


@given(st.text(), st.binary(max_size=20).filter(lambda noise: b"\n" not in noise))
def test_a_shape_never_accepts_what_json_reads_otherwise(text: str, noise: bytes) -> None:
    event = completion("moon").rstrip(b"\n")
    shape = Shape.learn(event, "moon")
    assert shape is not None
    middle = text.replace("\n", "").encode(errors="replace") + noise
    forged = event.replace(b"moon", middle)

    if shape.text(forged) is None:
        assert shape.texts([forged]) is None
    else:
        assert shape.texts([forged, event]) == [middle, b"moon"]
        assert b'"' not in middle


def test_a_shape_is_not_learned_from_an_event_with_two_texts() -> None:
    event = b'data: {"choices": [{"text": "a", "delta": {"content": "a"}}]}'

    assert Shape.learn(event, "a") is None


def test_lines_may_end_with_cr_lf() -> None:
    reply = read(chunked(*(event.replace(b"\n", b"\r\n") for event in GOOD)))

    assert reply.failure is None
    assert reply.text == "".join(TOKENS)


def test_comments_role_and_empty_chunks_are_no_tokens() -> None:
    events = (b": ping\n\n", delta(role="assistant", content=""), delta(content="Hi"), b": ping\n\n", DONE)

    reply = read(*(HEAD, *(b"%x\r\n%b\r\n" % (len(event), event) for event in events), b"0\r\n\r\n"))

    assert list(reply.stamps) == [4000]
    assert reply.text == "Hi"


def test_reasoning_is_text_that_a_user_waits_for() -> None:
    reply = read(chunked(delta(reasoning_content="Hm"), delta(reasoning="m"), delta(content="Yes"), DONE))

    assert reply.text == "HmmYes"
    assert len(reply.stamps) == 3


def test_token_counts_are_the_servers() -> None:
    reply = read(chunked(*GOOD))

    assert (reply.tokens, reply.counted, reply.input_tokens, reply.cached_tokens) == (3, True, 5, 4)


def test_without_usage_one_event_is_one_token_and_the_reply_says_so() -> None:
    reply = read(chunked(completion("a"), completion("b"), DONE))

    assert (reply.tokens, reply.counted) == (2, False)


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error": {"message": "CUDA out of memory"}}\n\n',
        b'event: error\ndata: {"message": "CUDA out of memory"}\n\n',
        b'error: {"message": "CUDA out of memory"}\n\n',
        b'data: {"object": "error", "message": "CUDA out of memory"}\n\n',
    ],
    ids=["vllm", "event-field", "llama.cpp", "old-vllm"],
)
def test_an_error_event_after_a_200_is_a_failure(event: bytes) -> None:
    reply = read(chunked(completion("a"), event, DONE))

    assert failure(reply) == "sse_error"
    assert reply.failure is not None
    assert reply.failure.detail == "CUDA out of memory"


@pytest.mark.parametrize(
    ("wire", "end", "expected"),
    [
        (chunked(*GOOD[:-1]), "complete", "cut"),
        (chunked(*GOOD)[:-5], "closed", "cut"),
        (chunked(*GOOD[:2])[:-5], "timeout", "timeout"),
        (b"", "closed", "connect"),
        (b"HTTP/1.1 503 -\r\nContent-Length: 4\r\n\r\nbusy", "complete", "http"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "complete", "malformed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "closed", "connect"),
        (chunked(b"data: {oops\n\n", DONE), "complete", "malformed"),
        (chunked(usage(completion_tokens=0), DONE), "complete", "empty"),
        (chunked(*[completion("!!!!")] * 20, DONE), "complete", "garbage"),
        (chunked(*[completion(" the cat")] * 20, DONE), "complete", "garbage"),
    ],
)
def test_each_failure_has_its_class(wire: bytes, end: End, expected: str) -> None:
    assert failure(read(*([wire] if wire else []), end=end)) == expected


def test_what_the_server_said_is_kept() -> None:
    body = b'{"error": {"message": "the engine is\\noverloaded"}}'
    reply = read(b"HTTP/1.1 503 -\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    assert reply.failure is not None
    assert reply.failure.detail == "503 the engine is overloaded"


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

    assert read(head + b"".join(GOOD)).failure is None


def test_an_event_may_have_several_data_lines() -> None:
    event = read_event(b'data: {"choices":\ndata: [{"text": "a"}]}')

    assert event.text == "a"


def test_tool_call_arguments_are_text() -> None:
    event = read_event(delta(tool_calls=[{"function": {"arguments": '{"x'}}]).strip())

    assert event.text == '{"x'
