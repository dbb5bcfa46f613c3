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
    """Says how busy all processors of this machine were, and how much of it was neither the server nor this client.

    Args:
        server: the processes of the server; with None it is not known who the others are.
    """

    def __init__(self, server: frozenset[int] | None = None) -> None:
        self._server = server
        self._used = _used_by(server)
        self._begun = psutil.cpu_times()
        self._load = _load()

    def as_dict(self) -> dict[str, Any]:
        """Return the busy share of all cores since the beginning, the others' part of it, and the load averages."""
        begun, now, used = self._begun, psutil.cpu_times(), _used_by(self._server)
        spent = sum(now) - sum(begun)
        idle = (now.idle - begun.idle) + (getattr(now, "iowait", 0.0) - getattr(begun, "iowait", 0.0))
        ours = sum(seconds - self._used.get(pid, 0.0) for pid, seconds in used.items())
        known = self._server is not None and self._used.keys() == used.keys()  # else one of them began or ended
        return {
            "cores": psutil.cpu_count(),
            "busy_share": _share(spent - idle, spent),
            "others_share": _share(spent - idle - ours, spent) if known else None,
            "load_before": self._load,
            "load_after": _load(),
        }


def _share(part: float, whole: float) -> float | None:
    return round(max(0.0, part / whole), 4) if whole > 0 else None


def _used_by(server: frozenset[int] | None) -> dict[int, float]:
    """Return the processor seconds of this client, its ended workers among them, and of each of the server's."""
    seconds = {}
    for pid in {os.getpid(), *(server or ())}:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            own = times.user + times.system
            seconds[pid] = own + (times.children_user + times.children_system) * (pid == os.getpid())
    return seconds


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
