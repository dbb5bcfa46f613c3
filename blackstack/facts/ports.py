"""Who holds a port of this machine, and which is free."""

from __future__ import annotations

import contextlib
import socket

import psutil

_NEXT_PORTS = 200


def holder(port: int) -> str:
    """Say who listens on a port, as far as this user may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (process {process.pid})"
    return "a process of another user (sudo ss --listening --tcp --processes tells which)"


def next_free(bind: str, port: int) -> int:
    """Return the next port that is free."""
    for candidate in range(port + 1, min(port + _NEXT_PORTS, 65536)):
        with contextlib.suppress(OSError):
            listen(bind, candidate)
            return candidate
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def listen(address: str, port: int) -> None:
    """Take a port and give it back.

    Raises:
        OSError: it cannot be had.
    """
    family, _, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As servers do: connections of an earlier server that still linger are no reason to refuse.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(place)
