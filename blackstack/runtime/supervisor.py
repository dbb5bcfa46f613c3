"""Stays with a server that runs without Docker: keeps its log short, notes how it ended, ends all of it when asked.

A program of its own that outlives the `inv` that started it. It reads what to do as JSON from its standard input
(a command line could be read by everybody), answers with one line of JSON once the server's process exists, and
works on in the background.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess  # noqa: TID251 - it stands alone, and starts exactly one process
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from blackstack.runtime import proc

READ_BYTES = 1 << 16
POLL_S = 0.05
LEFTOVER_S = 1.0  # for what a server that has ended left running
KILL_WAIT_S = 5.0


class RotatingLog:
    """A log file that becomes NAME.1, NAME.2, … when it is full; a line is not cut at the seam.

    Args:
        path: the newest file.
        limit: bytes after which the next line starts a new file.
        count: how many old files are kept.
    """

    def __init__(self, path: Path, *, limit: int, count: int) -> None:
        self.path, self.limit, self.count = path, limit, count
        self.file: IO[bytes] = path.open("wb", buffering=0)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes, in as many files as it takes."""
        while self.size + len(data) > self.limit:
            seam = data.find(b"\n", max(0, self.limit - self.size))
            if seam < 0:
                break  # a line longer than the file may be: it waits for its end
            self._append(data[: seam + 1])
            self._turn()
            data = data[seam + 1 :]
        self._append(data)

    def _append(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not take the server down
            self.file.write(data)
            self.size += len(data)

    def _turn(self) -> None:
        with contextlib.suppress(OSError):  # what cannot be turned now is written on, and tried again later
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for number in range(self.count, 0, -1):
                newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else self.path
                if newer.exists():
                    newer.replace(self.path.with_name(f"{self.path.name}.{number}"))
            newest = self.path.open("wb", buffering=0)
            self.file.close()
            self.file, self.size = newest, 0


def main() -> int:
    """Read the order, start the server in the background, and say so."""
    order = json.load(sys.stdin)
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        with os.fdopen(reader) as answer:
            sys.stdout.write(answer.read())
        return 0
    os.close(reader)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    _supervise(order, writer)
    os._exit(0)  # a fork's child must not run what its parent registered for its end


def _supervise(order: dict[str, Any], writer: int) -> None:
    folder = Path(order["folder"])
    log = RotatingLog(folder / "server.log", limit=order["log_bytes"], count=order["log_count"])
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    try:
        server = subprocess.Popen(  # noqa: S603 - the plan's own argv, a list
            order["argv"],
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        os.write(writer, json.dumps({"error": f"{error.strerror}: {order['argv'][0]}"}).encode())
        return
    note = {
        "pid": server.pid,
        "born": proc.birth(server.pid),
        "supervisor": os.getpid(),
        "supervisor_born": proc.birth(os.getpid()),
        "started_at": proc.now(),
        **order["note"],
    }
    proc.write(folder / "server.json", note)
    try:
        os.write(writer, json.dumps(note).encode())
    except OSError:  # nobody waits for the answer: whoever ordered the server was stopped, and so is the server
        ending.set()
    os.close(writer)

    pump = threading.Thread(target=_pump, args=(server, log), daemon=True)
    pump.start()
    while server.poll() is None and not ending.wait(POLL_S):
        pass
    asked = ending.is_set()
    if server.poll() is None:
        end_all(server, order["grace_s"])
    code = server.wait()
    end_all(server, LEFTOVER_S)
    pump.join(KILL_WAIT_S)
    proc.write(folder / "exit.json", {**note, "code": code, "asked": asked, "ended_at": proc.now()})


def _pump(server: subprocess.Popen[bytes], log: RotatingLog) -> None:
    pipe = server.stdout
    while pipe and (data := os.read(pipe.fileno(), READ_BYTES)):
        log.write(data)


def end_all(server: subprocess.Popen[bytes], grace_s: float) -> None:
    """End the server's session: ask its group, wait, then kill whatever of the session still lives."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and (server.poll() is None or proc.session(server.pid)):
        time.sleep(POLL_S)
    for pid in proc.session(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(KILL_WAIT_S)


if __name__ == "__main__":
    sys.exit(main())
