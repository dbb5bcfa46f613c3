"""Requests made ready ahead of their time, so that sending one is a pop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from blackstack.bench.request import Request


class Magazine:
    """Holds up to ``depth`` requests ready."""

    def __init__(self, requests: Iterator[Request], *, depth: int) -> None:
        self._source = requests
        self._depth = depth
        self._ready: deque[Request] = deque()

    def refill(self) -> bool:
        """Make one more request ready; False where there are enough or no more."""
        if len(self._ready) >= self._depth:
            return False
        request = next(self._source, None)
        if request is None:
            return False
        self._ready.append(request)
        return True

    def fill(self) -> None:
        """Make as many ready as the magazine holds."""
        while self.refill():
            pass

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left."""
        return not self._ready and not self.refill()

    def take(self) -> Request | None:
        """Return the next request; None when there are no more."""
        return None if self.empty else self._ready.popleft()
