"""What is remembered of a stack that was started: small JSON files under ``.blackstack/run/NAME``.

Nothing here is believed without looking: a process is known by its number *and* its birth, because numbers are
used again, and an `inv` that was killed leaves files that the next one reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from blackstack.errors import BlockedError

UP = "up.json"  # written by `inv up`: what was asked for, by whom, and whether it came to its end
SERVER = "server.json"  # written by the supervisor: the server's process
EXIT = "exit.json"  # written by the supervisor: how the server ended
LOG = "server.log"


def folder(root: Path, stack: str) -> Path:
    """Return the folder of a stack's state; it need not exist."""
    return root / ".blackstack" / "run" / stack


@contextlib.contextmanager
def locked(path: Path, *, doing: str) -> Iterator[int]:
    """Hold a lock while something is done that two must not do at once; yields its file descriptor.

    The kernel lets go of the lock when the last process that holds the descriptor is gone, so a killed `inv` leaves
    none behind.

    Raises:
        BlockedError: somebody else holds it; the sentence says who.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise BlockedError(
                f"cannot {doing} now: somebody else is at work on it",
                why=f"held by {holder}",
                fix="wait until it has finished, or stop it with Ctrl-C where it runs",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}, to {doing}\n".encode(), 0)
        yield handle
    finally:
        os.close(handle)
