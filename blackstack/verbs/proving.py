"""Watch: keep proving that a server answers, because one that says 200 may have hung."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from blackstack import console
from blackstack.aftermath import WHOLE_LOG, facts_now
from blackstack.bench.target import Address
from blackstack.catalog import Stack, settle
from blackstack.diagnose import diagnose, finding
from blackstack.diagnose.signatures import UNKNOWN
from blackstack.diagnose.terminal import screen
from blackstack.errors import BlackstackError, UsageError
from blackstack.finding import Finding
from blackstack.heartbeat import Beat, Server, beat
from blackstack.interrupt import interruptible
from blackstack.verbs.choose import Found, chosen, find

LOOK_S = 0.5  # between two looks at the process or container
NARROWEST = 60
GONE = "server-gone"


@dataclass(frozen=True, kw_only=True)
class Vigil:
    """What `inv watch` was asked.

    Attributes:
        stack: the server of this stack; None: the one that is up.
        url: or a server anywhere.
        model: the name to ask for at the URL.
        api_key_env: the variable that holds the key for the URL; without it none is sent.
        interval_s: between two questions.
        patience_s: seconds without a token for anybody, after which the server is called hung.
        once: ask once and end.
        as_json: print a JSON list of findings at the end, and nothing else on standard output.
    """

    stack: str | None = None
    url: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    interval_s: float = 15
    patience_s: float = 30
    once: bool = False
    as_json: bool = False


def watch(vigil: Vigil) -> int:
    """Ask until the server fails to answer; return the exit code: 0 it answered, 1 there are findings."""
    if vigil.url and vigil.stack:
        raise UsageError("--url watches a server anywhere, --stack one of ours: give one of the two")
    watched = _Elsewhere(vigil) if vigil.url else _Ours(chosen(vigil.stack, "watch", include_dead=True))
    finding(GONE)  # reads the causes now: nobody should wait for that when it has happened
    with interruptible(), contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the way out of watching
        while True:
            last = _beat(watched, vigil)
            if not vigil.as_json:
                console.say(f"{datetime.now(tz=UTC):%H:%M:%S}  {last.code or 'ok'}: {last.said}")
            if last.code:
                return _tell(watched, last, vigil)
            if vigil.once:
                if vigil.as_json:
                    console.raw("[]")
                return 0
            watched.rest(vigil.interval_s)
    return 0


class _Elsewhere:
    """A server of which only the URL is known."""

    name = "the server"

    def __init__(self, vigil: Vigil) -> None:
        url = Address.of(str(vigil.url)).root  # or an error that says what is wrong with it
        key = os.environ.get(vigil.api_key_env, "") if vigil.api_key_env else ""
        if vigil.api_key_env and not key:
            raise UsageError(f"--api-key-env names {vigil.api_key_env}, and there is no such variable")
        self.server = Server(url=url, model=vigil.model or "", api_key=key)

    ended = None  # nobody can look at its process

    def rest(self, seconds: float) -> None:
        """Wait for the next question."""
        time.sleep(seconds)

    def explained(self) -> tuple[Finding, ...]:
        """Say nothing: nobody can read its log."""
        return ()


class _Ours:
    """The server of a stack: its process or container is looked at too."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.name = stack, stack.name
        found = find(stack, include_dead=True)
        settings = settle(stack, profile=None, overrides=(), from_shell=os.environ)
        key = settings["API_KEY"].value if "API_KEY" in settings else ""
        self.found: Found | None = found
        self.restarts = found.running.restarts if found else 0
        self.server = Server(
            url=found.running.url if found else "",
            model=found.model if found else "",
            api_key=key,
            noise=bool(found and found.noise),
        )
        self._looked, self._said = 0.0, ""

    def ended(self) -> str:
        """Say how the server ended, or was started anew; looks at it no more often than that."""
        if self.found is None:
            return f"{self.name} is not up"
        if time.monotonic() - self._looked < LOOK_S:
            return self._said
        self._looked, self._said = time.monotonic(), self._look(self.found)
        return self._said

    def _look(self, found: Found) -> str:
        try:
            running = found.runtime.observe(self.stack)
        except BlackstackError as error:
            return error.what
        if running is None:
            return "its process or container is gone"
        if running.state != "running":
            return f"it ended: {running.ended}"
        more = running.restarts - self.restarts
        return f"it died and was started again, {more} time(s)" if more > 0 else ""

    def rest(self, seconds: float) -> None:
        """Wait for the next question, for as long as the server lives."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.ended():
            time.sleep(min(LOOK_S, max(0.0, until - time.monotonic())))

    def explained(self) -> tuple[Finding, ...]:
        """Return what the log, and how it ended, say of the cause."""
        if self.found is None:
            return ()
        with contextlib.suppress(BlackstackError):
            facts = facts_now(self.found.runtime, self.stack, self.found.runtime.observe(self.stack))
            found = diagnose(self.found.runtime.tail(self.stack, WHOLE_LOG), facts)
            return tuple(one for one in found if one.code != UNKNOWN)
        return ()


def _beat(watched: _Elsewhere | _Ours, vigil: Vigil) -> Beat:
    if watched.ended and (how := watched.ended()):
        return Beat(code=GONE, said=how)
    return beat(watched.server, patience_s=vigil.patience_s, ended=watched.ended)


def _tell(watched: _Elsewhere | _Ours, last: Beat, vigil: Vigil) -> int:
    """Print what is wrong; the cause, where it is known, before what was seen of it."""
    causes = watched.explained()
    seen = finding(last.code, (last.said,))
    findings = causes if causes and last.code == GONE else (*causes, seen)
    if vigil.as_json:
        console.data([one.as_dict() for one in findings])
    else:
        width = max(NARROWEST, shutil.get_terminal_size().columns)
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        console.raw(screen(watched.name, findings, width=width, colour=colour))
    return 1
