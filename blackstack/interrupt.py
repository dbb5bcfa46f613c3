"""Ctrl-C and SIGTERM: one way out, in which everything is put back first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from blackstack.errors import InterruptedRunError

Interrupted = Callable[[str], InterruptedRunError]


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupted]:
    """Turn SIGTERM into what Ctrl-C is, and give a function that makes the error for it."""

    def raise_interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        yield lambda what: InterruptedRunError("interrupted", why=what)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", why="nothing was started") from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let a clean-up come to its end: a second Ctrl-C waits for it."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
