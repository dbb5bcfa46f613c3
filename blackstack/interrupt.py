"""Ctrl-C and SIGTERM: one way out, in which everything is put back first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from blackstack.errors import InterruptedRunError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Interruption:
    """What to tell when somebody interrupts now; kept up to date by who is at work.

    Attributes:
        leaves: what was done, and what is left.
    """

    leaves: str = "nothing was started"


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn Ctrl-C and SIGTERM into one error, which tells what was left.

    Raises:
        InterruptedRunError: somebody interrupted.
    """

    def raise_interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    telling = Interruption()
    before = signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        yield telling
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted", why=telling.leaves) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let a clean-up come to its end: a further Ctrl-C is not heard."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Do something short that must not stop half-way: a Ctrl-C in the middle is heard at its end."""
    heard: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: heard.append(got)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])
