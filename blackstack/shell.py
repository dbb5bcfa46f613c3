"""The only door to other programs: commands are tuples, are shown as a person would type them, and fail alike."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from blackstack.errors import BlackstackError, BlockedError
from blackstack.interrupt import undisturbed

TAIL_LINES = 200  # of a followed command's output, kept for the error
GRACE_S = 10.0  # between asking a command to stop and killing it


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended: its exit code, and what it printed (of a followed one, the last lines)."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str = ""


class CommandFailedError(BlackstackError):
    """A command ended with another exit code than 0.

    Args:
        done: the command and its end.
        fix: what to do next, where the caller knows better than «look at the output».
    """

    def __init__(self, done: Done, *, what: str = "", fix: str | Sequence[str] = ()) -> None:
        lines = [line for line in (done.err or done.out).splitlines() if line.strip()][-12:]
        super().__init__(
            what or f"a command failed with {ending(done.code)}",
            why=[f"+ {typed(done.argv)}", *lines],
            fix=fix,
        )
        self.done = done


def typed(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Return a command as a person would type it, with the variables it needs in front."""
    words = [f"{name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    return " ".join([*words, shlex.join(argv)])


def ending(code: int) -> str:
    """Say an exit code in words: ``exit code 1``, ``signal 9 (SIGKILL)``; 128+N is how a shell reports a signal."""
    number = -code if code < 0 else code - 128
    if code < 0 or code > 128:  # noqa: PLR2004 - the shells' convention
        with contextlib.suppress(ValueError):
            return f"signal {number} ({signal.Signals(number).name})"
    return f"exit code {code}"


def capture(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    message: str = "",
    timeout: float | None = None,
    check: bool = False,
    own_session: bool = False,
) -> Done:
    """Run a short command silently and return what it printed.

    Args:
        argv: the command, a list from start to end.
        env: variables on top of ours.
        cwd: the folder to run it in.
        message: its standard input; the place for what must not stand on a command line.
        timeout: seconds after which it is killed; its exit code is then 124, as coreutils' ``timeout`` has it.
        check: raise when the exit code is not 0.
        own_session: a Ctrl-C in the terminal does not reach it.

    Raises:
        CommandFailedError: with ``check``, when it failed.
        BlockedError: when there is no such program.
    """
    try:
        ran = subprocess.run(
            list(argv),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=message,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            start_new_session=own_session,
        )
    except subprocess.TimeoutExpired:
        done = Done(argv=tuple(argv), code=124, out="", err=f"no answer within {timeout:g} s")
    except OSError as error:
        raise _cannot_start(argv, error) from error
    else:
        done = Done(argv=tuple(argv), code=ran.returncode, out=ran.stdout, err=ran.stderr)
    if check and done.code:
        raise CommandFailedError(done)
    return done


def follow(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Done:
    """Run a long command, handing on each line that it prints; a Ctrl-C stops it and its children.

    The command gets a session of its own, so that a Ctrl-C in the terminal reaches us alone and the two do not
    race to clean up. Its output breaks when we die, which ends it too.

    Args:
        argv: the command, a list from start to end.
        on_line: called with each line; carriage returns of progress bars count as line ends.
        env: variables on top of ours.
        cwd: the folder to run it in.
        pass_fds: file descriptors it inherits, such as the lock of what it is working on.

    Raises:
        BlockedError: when there is no such program.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process = subprocess.Popen(
            list(argv),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise _cannot_start(argv, error) from error
    with process:
        try:
            for line in process.stdout or ():  # universal newlines: a lone \r ends a line too
                tail.append(line.rstrip())
                on_line(line.rstrip())
            code = process.wait()
        except BaseException:
            with undisturbed():
                stop_group(process)
            raise
    return Done(argv=tuple(argv), code=code, out="\n".join(tail))


def stop_group(process: subprocess.Popen[str]) -> None:
    """Ask a process group to end, give its leader a grace time, and make whatever is left of it end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)


def _cannot_start(argv: Sequence[str], error: OSError) -> BlockedError:
    return BlockedError(
        f"cannot start {argv[0]!r}",
        why=error.strerror or str(error),
        fix=f"is it installed and on PATH?  command -v {shlex.quote(argv[0])}",
    )
