"""Serves without Docker: a virtual environment of the stack's own, and a supervised process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from blackstack import forensics, shell
from blackstack.catalog import Stack
from blackstack.errors import BlackstackError, BlockedError
from blackstack.forensics import Traces
from blackstack.interrupt import deferred, undisturbed
from blackstack.plan import COMPLETE, Plan, Step
from blackstack.progress import Progress
from blackstack.runtime import proc, state
from blackstack.runtime.base import Running

LOG_BYTES = 10_000_000  # a file of the log, and this many old ones beside it
LOG_COUNT = 3
GRACE_S = 10.0  # between SIGTERM and SIGKILL, as `docker stop` has it
POLL_S = 0.1
_DUMPING = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}  # core(5)


@dataclass(frozen=True)
class ProcessRuntime:
    """The runtime for machines without Docker, rented GPU pods, and tests."""

    root: Path
    name: str = "process"

    def prepare(self, plan: Plan, progress: Progress) -> None:
        """Make the environment, if it is not there; a half-made one is removed."""
        if plan.environment is None or not plan.steps_of("environment"):
            return
        folder = plan.environment
        lock = folder.with_name(f"{plan.stack.name}.lock")
        with state.locked(lock, doing=f"make the environment of {plan.stack.name}") as handle:
            if (folder / COMPLETE).is_file():
                return  # somebody else made it while we planned
            shutil.rmtree(folder, ignore_errors=True)  # an older try that was killed
            (self.root / ".blackstack" / "cache").mkdir(parents=True, exist_ok=True)
            try:
                for step in plan.steps_of("environment", "install", "prepare"):
                    self._make(step, plan, progress, handle)
                (folder / COMPLETE).touch()
            except BaseException:
                with undisturbed():
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            in_use = proc.read(state.folder(self.root, plan.stack.name) / state.SERVER).get("python", "")
            for other in folder.parent.glob(f"{plan.stack.name}-????????????"):
                if other != folder and not str(in_use).startswith(f"{other}/"):
                    shutil.rmtree(other, ignore_errors=True)

    def start(self, plan: Plan, progress: Progress) -> Running:
        """Hand the server to a supervisor and return what it says."""
        (step,) = plan.steps_of("start")
        folder = state.folder(self.root, plan.stack.name)
        folder.mkdir(parents=True, exist_ok=True)
        old_logs = (f"{state.LOG}.{number}" for number in range(1, LOG_COUNT + 1))
        for stale in (state.SERVER, state.EXIT, *old_logs):
            (folder / stale).unlink(missing_ok=True)
        progress.stage("create")
        progress.command(step.typed)
        order = {
            "argv": step.argv,
            # The engine's log should reach its file as it is written, not when a buffer is full.
            "env": {**os.environ, "PYTHONUNBUFFERED": "1", **step.env},
            "cwd": str(self.root),
            "folder": str(folder),
            "note": {"url": plan.url, "python": plan.python, "memory": forensics.memory_counters(os.getpid())},
            "log_bytes": LOG_BYTES,
            "log_count": LOG_COUNT,
            "grace_s": GRACE_S,
        }
        supervisor = [sys.executable, "-m", "blackstack.runtime.supervisor"]
        with deferred():  # a Ctrl-C in here would lose sight of a server that is just being started
            done = shell.capture(supervisor, cwd=self.root, message=json.dumps(order), check=True, own_session=True)
        answer = json.loads(done.out)
        if "error" in answer:
            raise BlackstackError("the server could not be started", why=answer["error"])
        return _running(plan.stack.name, answer, "running")

    def observe(self, stack: Stack) -> Running | None:
        """Look for the process; its note is only believed when its birth is the same."""
        folder = state.folder(self.root, stack.name)
        note = proc.read(folder / state.SERVER)
        if not note:
            return None
        if proc.lives(note.get("pid"), note.get("born")):
            return _running(stack.name, note, "running")
        ended = proc.read(folder / state.EXIT)
        if not ended and proc.lives(note.get("supervisor"), note.get("supervisor_born")):
            time.sleep(POLL_S)  # the supervisor is writing it down
            ended = proc.read(folder / state.EXIT)
        if ended.get("pid") == note.get("pid"):
            return _running(stack.name, note, "exited", code=ended.get("code"))
        return _running(stack.name, note, "gone")

    def stop(self, stack: Stack, progress: Progress) -> None:
        """Ask the supervisor to end the server; without one, end the server's session ourselves."""
        folder = state.folder(self.root, stack.name)
        note = proc.read(folder / state.SERVER)
        progress.stage("stop")
        supervisor = note.get("supervisor")
        if isinstance(supervisor, int) and proc.lives(supervisor, note.get("supervisor_born")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)
            _wait_gone(supervisor, note.get("supervisor_born"), GRACE_S * 2)
        self._end_without_supervisor(note)
        for name in (state.SERVER, state.EXIT):
            (folder / name).unlink(missing_ok=True)

    def tail(self, stack: Stack, count: int) -> list[str]:
        """Return the last lines of the log, across its rotated files."""
        lines: list[str] = []
        newest = state.folder(self.root, stack.name) / state.LOG
        for path in (newest, *(newest.with_name(f"{newest.name}.{n}") for n in range(1, LOG_COUNT + 1))):
            if len(lines) >= count or not path.is_file():
                break
            lines = [*path.read_text(encoding="utf-8", errors="replace").splitlines(), *lines]
        return lines[-count:]

    def follow(self, stack: Stack, count: int) -> Iterator[str]:
        """Yield lines as they are written; a rotation is followed, and the end of the server ends it."""
        path = state.folder(self.root, stack.name) / state.LOG
        yield from self.tail(stack, count)
        seen = path.stat().st_size if path.is_file() else 0
        while path.is_file():
            inode = path.stat().st_ino
            with path.open(encoding="utf-8", errors="replace") as file:
                file.seek(seen)
                seen = 0
                while True:
                    if line := file.readline():
                        yield line.rstrip("\n")
                        continue
                    running = self.observe(stack)
                    if running is None or running.state != "running":
                        yield from (rest.rstrip("\n") for rest in file)
                        return
                    if not path.is_file() or path.stat().st_ino != inode:
                        break  # rotated: go on with the new file
                    time.sleep(POLL_S)

    def peak_memory(self, stack: Stack) -> int | None:
        """Add up the peaks of the server's processes; memory that two of them share counts twice."""
        pid = proc.read(state.folder(self.root, stack.name) / state.SERVER).get("pid")
        peaks = [proc.peak_memory(member) for member in proc.session(pid)] if isinstance(pid, int) else []
        return sum(peaks) or None

    def traces(self, stack: Stack) -> Traces:
        """Look at its cgroup, its log's age, and its core dump."""
        folder = state.folder(self.root, stack.name)
        note, ended = proc.read(folder / state.SERVER), proc.read(folder / state.EXIT)
        pid = note.get("pid")
        if not isinstance(pid, int):
            return Traces()
        log = folder / state.LOG
        end = datetime.fromisoformat(ended["ended_at"]).timestamp() if "ended_at" in ended else time.time()
        code = ended.get("code")
        crashed = isinstance(code, int) and -code in _DUMPING
        return Traces(
            # An environment has no cgroup of its own: what its cgroup counted since it started may be a neighbour's,
            # and is only believed of a server that was killed.
            memory=forensics.grown(note.get("memory", {}), forensics.memory_counters(os.getpid())),
            quiet_s=max(0.0, end - log.stat().st_mtime) if log.is_file() else None,
            core_dump=forensics.core_dump(pid, self.root) if crashed else "",
            asked_to_stop=bool(ended.get("asked")),
            marks=(f"pid={pid},", f"[{pid}]", f"process {pid} "),
        )

    def ask(self, stack: Stack, code: str) -> str:
        """Run a line of Python with the environment's interpreter."""
        note = proc.read(state.folder(self.root, stack.name) / state.SERVER)
        if "python" not in note:
            raise BlackstackError(f"{stack.name} has no process to ask")
        return shell.capture([str(note["python"]), "-c", code], timeout=60, check=True).out

    def _make(self, step: Step, plan: Plan, progress: Progress, lock: int) -> None:
        progress.stage({"environment": "environment", "install": "install", "prepare": "prepare"}[step.kind])
        progress.command(step.typed)
        done = shell.follow(
            step.argv,
            on_line=progress.line,
            cwd=self.root,
            env={"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
            pass_fds=[lock],  # should we be killed, the lock is held for as long as pip still writes
        )
        if done.code:
            raise _explained(done, plan)

    @staticmethod
    def _end_without_supervisor(note: dict[str, Any]) -> None:
        pid, born = note.get("pid"), note.get("born")
        if isinstance(pid, int) and (proc.lives(pid, born) or proc.is_gone(pid, born)):
            for number in (signal.SIGTERM, signal.SIGKILL):
                members = proc.session(pid)
                for member in members:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(member, number)
                deadline = time.monotonic() + GRACE_S
                while members and proc.session(pid) and time.monotonic() < deadline:
                    time.sleep(POLL_S)


def _running(stack: str, note: dict[str, Any], now: Any, *, code: int | None = None) -> Running:  # noqa: ANN401
    return Running(
        stack=stack,
        runtime="process",
        state=now,
        url=str(note.get("url")),
        identity=f"process {note.get('pid')}",
        exit_code=code,
        started_at=str(note.get("started_at", "")),
    )


def _wait_gone(pid: int, born: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while proc.lives(pid, born) and time.monotonic() < deadline:
        time.sleep(POLL_S / 2)


# What pip, venv and the kernel print, what it means, and what helps: the first that fits is said.
_CAUSES = (
    (
        ("No space left on device", "Errno 28"),
        "the disk is full",
        "free some space: df -h .   # docker system df",
    ),
    (
        ("ensurepip is not available",),
        "this Python cannot make environments",
        "sudo apt-get install python3-venv",
    ),
    (
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "do not match the hashes"),
        "a package is not the one that was pinned: the index serves something else",
        "compare the index with the pins; do not go on without knowing why",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed"),
        "the package index shows a certificate that this machine does not trust",
        "export PIP_CERT=/path/to/your/ca-bundle.crt   # a company's proxy has its own",
    ),
    (
        (
            "Failed to establish a new connection",
            "Temporary failure in name resolution",
            "Name or service not known",
            "Network is unreachable",
            "Could not connect to proxy",
            "ProxyError",
            "Read timed out",
            "Connection refused",
        ),
        "the package index cannot be reached",
        "is there a network, a proxy (HTTPS_PROXY), a mirror (PIP_INDEX_URL)?",
    ),
    (
        ("No matching distribution found",),
        "no package of the pinned version fits this Python and machine",
        "try another Python (3.11 or 3.12), or a mirror that has the package (PIP_INDEX_URL, PIP_FIND_LINKS)",
    ),
)


_FULL_BYTES = 16 << 20  # with less left, whatever failed failed for that: ensurepip for one does not say so


def _explained(done: shell.Done, plan: Plan) -> BlackstackError:
    lines = done.out.splitlines()
    if plan.environment and (free := shutil.disk_usage(plan.environment.parent).free) < _FULL_BYTES:
        lines.append(f"No space left on device: {free >> 20} MiB are free in {plan.environment.parent}")
    for signs, cause, fix in _CAUSES:
        line = next((line for line in lines for sign in signs if sign in line), None)
        if line:
            return BlockedError(
                f"the environment of {plan.stack.name} could not be made: {cause}",
                why=line.strip()[:300],
                fix=[fix, f"{plan.again()}   # nothing half-made is left"],
            )
    return shell.CommandFailedError(done, what=f"the environment of {plan.stack.name} could not be made")
