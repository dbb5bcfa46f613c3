"""Ready means that it answered: a real completion came back, and it is not garbage.

``/health`` alone is never believed: servers have said 200 and died on the first request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from blackstack.diagnose import stages
from blackstack.engines import Engine
from blackstack.errors import BlackstackError
from blackstack.heartbeat import PROMPT, TOKENS, garbage
from blackstack.progress import Progress
from blackstack.runtime.base import Running

POLL_S = 0.1
PROBE_S = 2.0  # for one look at /health
LOG_EVERY_S = 0.3  # between two looks at the log: the grain of the stages' seconds
LOG_LINES = 400  # looked at each time; engines print some hundred lines a second at most
SHOWN_LINES = 15
_OK, _UNAVAILABLE = 200, 503


class ServerExitedError(BlackstackError):
    """The server ended while it was waited for.

    Attributes:
        running: how it ended; None when even its remains are gone.
        stage: at which stage of the wait.
    """

    def __init__(self, what: str, *, why: Sequence[str], running: Running | None, stage: str) -> None:
        super().__init__(what, why=why)
        self.running, self.stage = running, stage


class NotReadyError(BlackstackError):
    """The server did not answer in time."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A server that has answered.

    Attributes:
        answer: the text of the first completion.
        seconds: of each stage, from the beginning of the wait to the answer.
    """

    answer: str
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What is waited for, and how.

    Attributes:
        url: the server's.
        model: the name to ask for.
        engine: the engine's row.
        timeout: seconds for the whole wait.
        api_key: what the server wants to be shown.
        observe: looks at the server's process or container.
        tail: returns the last lines of its log.
        again: the command that waits longer, for the error.
        noise: its weights are random: any text is an answer.
    """

    url: str
    model: str
    engine: Engine
    timeout: float
    observe: Callable[[], Running | None]
    tail: Callable[[int], list[str]]
    again: str
    api_key: str | None = field(default=None, repr=False)
    noise: bool = False


def until_ready(wait: Wait, progress: Progress) -> Ready:
    """Wait until the server answers; an end of its process ends the wait at once.

    The engine's own log says in which stage it is; `diagnose/stages.yaml` knows how.

    Raises:
        ServerExitedError: it ended; the error has its exit code and last lines.
        NotReadyError: the time is over, or its answer is garbage.
    """
    began = time.monotonic()
    start = _Start(wait, progress)
    with asking() as session:
        if not is_healthy(session, wait.url, wait.engine):
            start.enter(stages.FIRST)
            while not is_healthy(session, wait.url, wait.engine):
                start.look()
                start.check_alive()
                if time.monotonic() - began > wait.timeout:
                    raise _too_late(wait, start.stage)
                time.sleep(POLL_S)
            start.look(now=True)
        start.enter(stages.LAST)
        left = max(wait.timeout - (time.monotonic() - began), PROBE_S)
        try:
            text = complete(session, wait, timeout=left)
        except requests.RequestException as error:
            time.sleep(POLL_S * 3)  # a dying server closes its socket a moment before its process is gone
            start.check_alive()
            if isinstance(error, requests.Timeout):
                raise _hung(wait, left) from error
            raise BlackstackError(
                f"{wait.url} says that it is healthy, and does not complete a prompt",
                why=[_said(error), *_last_lines(wait)],
                fix=wait.again,
                code="answers-with-errors",
            ) from error
    if not wait.noise and (wrong := garbage(text)):
        raise NotReadyError(
            f"{wait.url} answers, but with garbage: {wrong}",
            why=[f"asked: {PROMPT!r}", f"answer: {text[:200]!r}"],
            code="garbage-output",
        )
    return Ready(answer=text, seconds=start.ended())


class _Start:
    """Follows a start through its stages, by the engine's own log."""

    def __init__(self, wait: Wait, progress: Progress) -> None:
        self.wait, self.progress = wait, progress
        self.stage = ""
        self.seconds: dict[str, float] = {}
        self._began = self._looked = time.monotonic()
        self._order = [stage.name for stage in stages.load()]

    def enter(self, name: str) -> None:
        """Begin a stage that comes after the current one."""
        if self.stage and self._order.index(name) <= self._order.index(self.stage):
            return
        self.ended()
        self.stage = name
        self.progress.stage(name)

    def ended(self) -> dict[str, float]:
        """End the current stage, and return the seconds of all."""
        now = time.monotonic()
        if self.stage:
            self.seconds[self.stage] = round(now - self._began, 3)
        self._began = now
        return self.seconds

    def look(self, *, now: bool = False) -> None:
        """Look at the log, if it is time: which stage has been entered, and what is the newest line."""
        if not now and time.monotonic() - self._looked < LOG_EVERY_S:
            return
        lines = self.wait.tail(LOG_LINES)
        for name in stages.entered(lines):
            if name != stages.LAST:  # it was asked by somebody else, or by itself; we have not asked yet
                self.enter(name)
        if lines:
            self.progress.line(lines[-1])
        self._looked = time.monotonic()

    def check_alive(self) -> None:
        """Raise when the server has ended; the log's last word on the stage counts."""
        running = self.wait.observe()
        if running is not None and running.state == "running" and not running.restarts:
            return
        if self.stage != stages.LAST:
            self.look(now=True)
        how = "its process is gone" if running is None else running.ended
        if running and running.state == "running":
            how = "it died and was started again"
        doing = stages.by_name()[self.stage or stages.FIRST].say.en
        raise ServerExitedError(
            f"the server ended at stage «{self.stage}» ({doing}): {how}",
            why=_last_lines(self.wait),
            running=running,
            stage=self.stage,
        )


def asking() -> requests.Session:
    """Return a session for our own server: a proxy for the world outside must not see what it is asked."""
    session = requests.Session()
    session.trust_env = False
    return session


def complete(session: requests.Session, wait: Wait, *, timeout: float) -> str:
    """Ask for a short completion and return its text.

    Raises:
        requests.RequestException: no answer, or one that is no completion.
    """
    response = session.post(
        f"{wait.url}/v1/completions",
        json={"model": wait.model, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0},
        headers={"Authorization": f"Bearer {wait.api_key}"} if wait.api_key else {},
        timeout=(PROBE_S, timeout),
    )
    response.raise_for_status()
    data: Any = response.json()
    try:
        return str(data["choices"][0]["text"])
    except (KeyError, IndexError, TypeError) as error:
        raise requests.exceptions.InvalidJSONError(f"no completion in {str(data)[:200]}") from error


def is_healthy(session: requests.Session, url: str, engine: Engine) -> bool:
    """Tell whether a server says that it is healthy; it is not where nothing listens, or it is too busy to say so."""
    try:
        return session.get(url + engine.health, timeout=PROBE_S).status_code == _OK
    except requests.RequestException:
        return False


def _too_late(wait: Wait, stage: str) -> NotReadyError:
    return NotReadyError(
        f"no answer within {wait.timeout:g} s; it was still at stage «{stage}» ({stages.by_name()[stage].say.en})",
        why=[f"this has meant: {stages.by_name()[stage].slow.en}", *_last_lines(wait)],
        fix=[f"give it more time: {wait.again} --timeout {wait.timeout * 2:g}"],
        code="not-ready-in-time",
    )


def _hung(wait: Wait, seconds: float) -> NotReadyError:
    return NotReadyError(
        f"{wait.url} says that it is healthy, and has not answered the first prompt within {seconds:.0f} s",
        why=_last_lines(wait),
        fix=[f"give it more time: {wait.again} --timeout {wait.timeout * 2:g}"],
        code="hung-behind-health",
    )


def _last_lines(wait: Wait) -> list[str]:
    lines = [f"| {line[:300]}" for line in wait.tail(SHOWN_LINES)]
    return ["last lines of its log:", *lines] if lines else ["it logged nothing"]


def _said(error: requests.RequestException) -> str:
    response = error.response
    return f"HTTP {response.status_code}: {response.text[:300]}" if response is not None else str(error)[:300]
