r"""The fast path through HTTP: chunks that hold one event of a known shape each, which is how most tokens arrive.

::

    e3\r\n data: {"id":"cmpl-7",…"text":" moon",…}\n\n \r\n

Neither a parser of HTTP nor one of JSON need see them: a chunk's size is compared with what there is, and the events
are made again from their texts and compared with what came (see :mod:`blackstack.bench.shape`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from blackstack.bench.shape import Shape

END: Final = b"\n\n"  # of an event
FRAME: Final = 4  # two line breaks around a chunk's data
LOOKS: Final = 8  # chunks at the end that may be of another shape: the last token, usage, [DONE]; more are parsed


@dataclass(frozen=True, slots=True)
class Taken:
    """What could be read of some packets.

    Attributes:
        texts: escaped, one an event.
        stamps: microseconds, of the packet that completed each event.
        left_stamps, left: the packets that are still to be read; the first may be the end of one.
    """

    texts: list[bytes]
    stamps: list[int]
    left_stamps: Sequence[int]
    left: Sequence[bytes]


class _Sizes(dict[int, bytes]):
    """How a chunk's size is written; each is written once."""

    def __missing__(self, size: int) -> bytes:
        written = self[size] = b"%x" % size
        return written


class _Whole(dict[int, int]):
    """How long a chunk is with its size and its line breaks."""

    def __missing__(self, size: int) -> int:
        whole = self[size] = size + len(SIZES[size]) + FRAME
        return whole


SIZES: Final = _Sizes()
WHOLE: Final = _Whole()


def take(shape: Shape, stamps: Sequence[int], packets: Sequence[bytes]) -> Taken | None:
    """Read as many chunks as are whole and of this shape; None where there is none to read so.

    Args:
        shape: of the events.
        stamps: nanoseconds, when each packet came.
        packets: the first of them begins with a chunk.
    """
    parts = b"".join(packets).split(b"\r\n")  # size, event, size, event, and what has not come in full yet
    count = (len(parts) - 1) // 2
    events = parts[1 : 2 * count : 2]
    for _ in range(LOOKS):
        if not events or shape.text(events[-1].removesuffix(END)) is not None:
            break
        events.pop()
    if not events:
        return None
    texts = shape.texts(events, END)
    lengths = list(map(len, events))
    sizes = parts[0 : 2 * len(events) : 2]
    if texts is None or list(map(SIZES.__getitem__, lengths)) != sizes:
        return None
    whole, count = list(map(WHOLE.__getitem__, lengths)), len(events)
    if list(map(len, packets[:count])) == whole:  # one a packet, as usual
        return Taken(texts, [stamp // 1000 for stamp in stamps[:count]], stamps[count:], packets[count:])
    ends, packet_ends = list(accumulate(whole)), list(accumulate(map(len, packets)))
    at = [bisect_left(packet_ends, end - 2) for end in ends]  # an event is there before the line break after it
    used = bisect_left(packet_ends, ends[-1])
    over = packet_ends[used] - ends[-1]
    rest = [packets[used][-over:], *packets[used + 1 :]] if over else packets[used + 1 :]
    return Taken(texts, [stamps[index] // 1000 for index in at], stamps[used if over else used + 1 :], rest)
