"""The end of an answer is seen in its last packet, however the packets were cut."""

from __future__ import annotations

import pytest

from blackstack.bench.framing import ends_with_last_chunk, read_head


@pytest.mark.parametrize(
    "packets",
    [
        [b"5\r\nhello\r\n0\r\n\r\n"],
        [b"5\r\nhello\r\n", b"0\r\n\r\n"],
        [b"5\r\nhello\r\n0", b"\r\n\r\n"],
        [b"5\r\nhello\r\n0\r\n\r", b"\n"],
        [*(bytes([byte]) for byte in b"5\r\nhello\r\n0\r\n\r\n")],
        [b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"],
        [b"5\r\nhello\r\n000;ext=1\r\n\r\n"],
    ],
)
def test_the_last_chunk_ends_the_answer(packets: list[bytes]) -> None:
    assert ends_with_last_chunk(packets[-1], packets)


@pytest.mark.parametrize(
    "packet",
    [b"5\r\nhello\r\n", b"a\r\ndata: 0\r\n\r\n\r\n", b"9\r\ndata: x\n\n\r\n", b"5\r\nhello\r\n0\r\n", b"10\r\n\r\n"],
)
def test_other_packets_do_not(packet: bytes) -> None:
    assert not ends_with_last_chunk(packet, [packet])


def test_a_head_tells_the_length() -> None:
    head = read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")

    assert head is not None
    assert head.length == len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert not head.closing


def test_a_head_that_is_incomplete_says_nothing() -> None:
    assert read_head(b"HTTP/1.1 200 OK\r\nContent-Le") is None


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    ],
    ids=["close", "http-1.0", "no-length"],
)
def test_a_connection_that_will_be_closed_is_not_used_again(wire: bytes) -> None:
    head = read_head(wire)

    assert head is not None
    assert head.closing
