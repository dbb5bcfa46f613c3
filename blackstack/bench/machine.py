"""This machine while the load runs: how busy its processors are, and which of its processes are the server's."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import psutil

from blackstack.bench.target import Address
from blackstack.loopback import is_loopback


def name_of(pid: int) -> str:
    """Return what a process is called; empty where it is gone, or not to be seen from here."""
    with contextlib.suppress(psutil.Error):
        return str(psutil.Process(pid).name())
    return ""


def server_processes(address: Address) -> frozenset[int] | None:
    """Return who listens at an address, and what it has started; that may be a proxy, and the server another.

    None where that cannot be known: the server is elsewhere, in a container behind a proxy, or another user's.
    """
    if not is_loopback(address.host):
        return None
    with contextlib.suppress(psutil.Error):
        for socket in psutil.net_connections("tcp"):
            listens = socket.status == psutil.CONN_LISTEN and socket.laddr and socket.laddr.port == address.port
            if listens and socket.pid:
                server = psutil.Process(socket.pid)
                if server.name() == "docker-proxy":
                    return None
                return frozenset({server.pid, *(child.pid for child in server.children(recursive=True))})
    return None


class Processors:
    """Says how busy all processors of this machine were, by everybody."""

    def __init__(self) -> None:
        self._begun = psutil.cpu_times()
        self._load = _load()

    def as_dict(self) -> dict[str, Any]:
        """Return the busy share of all cores since the beginning, and the load averages then and now."""
        begun, now = self._begun, psutil.cpu_times()
        spent = sum(now) - sum(begun)
        idle = (now.idle - begun.idle) + (getattr(now, "iowait", 0.0) - getattr(begun, "iowait", 0.0))
        return {
            "cores": psutil.cpu_count(),
            "busy_share": round(max(0.0, 1 - idle / spent), 4) if spent > 0 else None,
            "load_before": self._load,
            "load_after": _load(),
        }


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
