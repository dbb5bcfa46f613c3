"""A token heartbeat: does this server still produce tokens? ``/health`` says 200 in servers that hang.

``python -m blackstack.heartbeat http://127.0.0.1:8000`` asks once and has exit code 0 or 1, as the health check of a
compose file wants it. This file needs nothing but Python's standard library, so it can be copied into an image alone.

A busy server is not a hung one: while our prompt waits in its queue, the counters of `/metrics` (vLLM, SGLang,
llama.cpp) or the slots of `/slots` (llama.cpp) show whether anybody gets tokens. Every clock here is the monotonic
one: a change of the time of day neither makes a server hang nor hides that it does.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

PROMPT: Final = "The largest city in France is Paris. The largest city in Japan is"
TOKENS: Final = 16  # as many as it takes to tell an answer from garbage
PATIENCE_S: Final = 30.0
CONNECT_S: Final = 5.0
TICK_S: Final = 0.1
SETTLED_S: Final = 1.5  # after a broken answer: within which the process would be seen to have ended
PROGRESS_EVERY_S: Final = 1.0
MONOTONY: Final = 0.8  # the share of one character, or one word, from which a text of some length is no text
BUSY: Final = (429, 503)

# Counters that grow with each token that anybody gets. vLLM: docs.vllm.ai/en/stable/usage/metrics.html; SGLang:
# docs.sglang.ai/references/production_metrics.html; llama.cpp: tools/server/README.md, `GET /metrics`.
COUNTER: Final = re.compile(
    r"^(?:(?:vllm|sglang):(?:generation|prompt)_tokens_total|llamacpp:(?:tokens_predicted|prompt_tokens)_total)"
    r"(?:\{[^}]*\})? (\S+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Server:
    """Whom to ask.

    Attributes:
        url: its root, with or without a trailing ``/v1``.
        model: the name to ask for; empty: the first that it serves.
        api_key: what it wants to be shown.
        noise: its weights are random: any text is an answer.
    """

    url: str
    model: str = ""
    api_key: str = field(default="", repr=False)
    noise: bool = False


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What one question came to.

    Attributes:
        code: of the finding, a slug; empty when tokens came.
        said: a line for people.
        text: the answer, as far as it came.
        seconds: from the question to the end of the answer, or to the verdict.
    """

    code: str
    said: str
    text: str = ""
    seconds: float = 0.0


def beat(server: Server, *, patience_s: float = PATIENCE_S, ended: Callable[[], str] | None = None) -> Beat:
    """Ask for a few tokens, and wait for as long as the server produces any, for us or for others.

    Args:
        server: whom to ask.
        patience_s: seconds without a token for anybody after which it is called hung.
        ended: says how the server's process ended, or nothing while it lives; None where nobody can look at it.
    """
    began = time.monotonic()
    question = _Question(server)
    progress = _Progress(server)
    question.start()
    last_sign = asked = began
    busy = False
    try:
        while question.is_alive():
            question.join(TICK_S)
            now = time.monotonic()
            if ended and (how := ended()):
                return Beat(code="server-gone", said=how, seconds=now - began)
            if now - asked > PROGRESS_EVERY_S and question.is_alive():
                moved, asked = progress.moved(), now
                busy = busy or moved
                last_sign = now if moved else last_sign
            last_sign = max(last_sign, question.last_token)
            if now - last_sign > patience_s and question.is_alive():
                said = f"no token for anybody within {patience_s:g} s, with a prompt waiting"
                return Beat(code="hung-behind-health", said=said, text=question.text, seconds=now - began)
    finally:
        question.give_up()
    if not busy and isinstance(question.failure, _RefusedError) and question.failure.status in BUSY:
        progress.moved()  # it refused at once: two looks tell whether others get tokens
        time.sleep(PROGRESS_EVERY_S)
        busy = progress.moved()
    spent = time.monotonic() - began
    if question.failure is not None and ended and (how := _settled(ended)):
        return Beat(code="server-gone", said=how, seconds=spent)
    return question.verdict(spent, busy=busy)


def _settled(ended: Callable[[], str]) -> str:
    """Return how it ended; a dying server closes its socket a moment before its process is gone."""
    until = time.monotonic() + SETTLED_S
    while not (how := ended()) and time.monotonic() < until:
        time.sleep(TICK_S)
    return how


def garbage(text: str) -> str:
    """Return what is wrong with a completion, or nothing.

    >>> garbage("!!!!!!!!!!!!!!!!")
    "one character over and over: '!'"
    """
    bare = "".join(text.split())
    if not bare:
        return "it is empty"
    if "\N{REPLACEMENT CHARACTER}" * 2 in bare:
        return "it has bytes that are no text"
    character, count = Counter(bare).most_common(1)[0]
    if len(bare) >= TOKENS // 2 and count / len(bare) > MONOTONY:
        return f"one character over and over: {character!r}"
    words = text.split()
    word, count = Counter(words).most_common(1)[0]
    if len(words) >= TOKENS // 2 and count / len(words) > MONOTONY:
        return f"one word over and over: {word!r}"
    return ""


class _RefusedError(Exception):
    """The server answered, and not with tokens."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text[:200]}")
        self.status = status


class _Question(threading.Thread):
    """One streamed completion; a thread, because a hung server answers nobody who waits for it."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.text = ""
        self.tokens = 0
        self.first_token: float | None = None
        self.began = self.last_token = time.monotonic()
        self.failure: Exception | None = None
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Ask, and read the answer as it comes."""
        try:
            with contextlib.closing(_connection(self.server)) as connection:
                self._ask(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the verdict
            self.failure = error

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        model = self.server.model or _first_model(self.server)
        body = {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0, "stream": True}
        connection.request("POST", _path(self.server, "/v1/completions"), json.dumps(body), _head(self.server))
        self._socket = connection.sock
        self._socket.settimeout(None)  # whoever waits for us keeps the time
        with contextlib.closing(connection.getresponse()) as answer:
            self._read(answer)

    def _read(self, answer: http.client.HTTPResponse) -> None:
        if answer.status != http.HTTPStatus.OK:
            raise _RefusedError(answer.status, answer.read(1000).decode(errors="replace"))
        for line in answer:
            if line.strip() == b"data: [DONE]":
                return
            if not line.startswith(b"data:"):
                continue
            event: dict[str, Any] = json.loads(line[5:])
            if "error" in event:
                raise _RefusedError(answer.status, json.dumps(event["error"]))
            for choice in event.get("choices") or ():
                self.text += choice.get("text") or ""
                self.tokens += 1
                self.last_token = time.monotonic()
                self.first_token = self.first_token or self.last_token
        raise http.client.IncompleteRead(self.text.encode())  # http.client ends a cut stream without a word

    def give_up(self) -> None:
        """Drop the connection, so that the server need not go on."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self.join(TICK_S)

    def verdict(self, spent: float, *, busy: bool) -> Beat:
        """Say what the answer, or its failure, means."""
        failure = self.failure
        if isinstance(failure, _RefusedError) and failure.status in BUSY and busy:
            return Beat(code="", said="it is busy, and others get tokens", seconds=spent)
        if isinstance(failure, ConnectionRefusedError | socket.gaierror):
            return Beat(code="server-gone", said=f"nobody listens at {self.server.url}", seconds=spent)
        if failure is not None:
            cut = isinstance(failure, http.client.IncompleteRead)
            said = f"its answer broke off after {self.tokens} tokens" if cut else str(failure) or type(failure).__name__
            return Beat(code="answers-with-errors", said=said[:300], text=self.text, seconds=spent)
        if not self.server.noise and (wrong := garbage(self.text)):
            said = f"{wrong}; it said {self.text[:60]!r}"
            return Beat(code="garbage-output", said=said, text=self.text, seconds=spent)
        first_ms = 1000 * ((self.first_token or self.began) - self.began)
        said = f"first token after {first_ms:.0f} ms, {self.tokens} in {spent:.2f} s"
        return Beat(code="", said=said, text=self.text, seconds=spent)


class _Progress:
    """Whether the server gives tokens to anybody, by what it counts itself."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._before = ""

    def moved(self) -> bool:
        """Tell whether a counter has grown since the last look; no counter, no growth."""
        before, self._before = self._before, self._now() or self._before
        return bool(before) and self._before != before

    def _now(self) -> str:
        counters = COUNTER.findall(_page(self.server, "/metrics"))
        return " ".join(counters) or _page(self.server, "/slots")


def _page(server: Server, path: str) -> str:
    """Return a page of the server; nothing where there is none, or none within a second."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection = _connection(server, timeout=PROGRESS_EVERY_S)
        try:
            connection.request("GET", _path(server, path), headers=_head(server))
            answer = connection.getresponse()
            return answer.read().decode(errors="replace") if answer.status == http.HTTPStatus.OK else ""
        finally:
            connection.close()
    return ""


def _first_model(server: Server) -> str:
    try:
        served = json.loads(_page(server, "/v1/models"))["data"]
        return str(served[0]["id"])
    except (ValueError, KeyError, IndexError, TypeError):
        return "default"  # llama.cpp and SGLang take any name for the one model that they have


def _connection(server: Server, timeout: float = CONNECT_S) -> http.client.HTTPConnection:
    parts = urlsplit(server.url if "://" in server.url else f"http://{server.url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{server.url!r} is not the URL of a server"
        raise ValueError(message)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


def _path(server: Server, path: str) -> str:
    base = urlsplit(server.url if "://" in server.url else f"http://{server.url}").path
    return base.rstrip("/").removesuffix("/v1") + path


def _head(server: Server) -> dict[str, str]:
    head = {"Content-Type": "application/json"}
    return {**head, "Authorization": f"Bearer {server.api_key}"} if server.api_key else head


def main(arguments: list[str] | None = None) -> int:
    """Ask once; print one line; return 0 when tokens came, else 1."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.heartbeat", description="Ask a server for tokens.")
    parser.add_argument("url")
    parser.add_argument("--model", default="", help="the name to ask for (default: the first that it serves)")
    parser.add_argument("--timeout", type=float, default=PATIENCE_S, help="seconds without a token for anybody")
    parser.add_argument("--api-key-env", default="", help="the variable that holds the key; without it none is sent")
    options = parser.parse_args(arguments)
    server = Server(url=options.url, model=options.model, api_key=os.environ.get(options.api_key_env, ""))
    found = beat(server, patience_s=options.timeout)
    sys.stdout.write(f"{found.code or 'ok'}: {found.said}\n")
    return int(bool(found.code))


if __name__ == "__main__":
    sys.exit(main())
