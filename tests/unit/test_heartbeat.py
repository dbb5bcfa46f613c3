"""Tokens are the only sign of life; a busy server is not a hung one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest

from blackstack.heartbeat import Server, beat, garbage
from simulator import Behaviour, Simulator
from tests.unit.conftest import REPOSITORY

SERVE = REPOSITORY / "dockerfiles/simulator/serve.py"


@pytest.mark.parametrize(
    ("text", "is_garbage"),
    [
        (" Tokyo. It has many people.", False),
        ("도쿄입니다. 일본의 수도이며 가장 큰 도시입니다.", False),
        ("42", False),
        ("", True),
        ("  \n", True),
        ("!!!!!!!!!!!!!!!!", True),
        ("the the the the the the the the the", True),
        ("\ufffd\ufffd\ufffd\ufffd", True),
    ],
)
def test_garbage_is_known_when_it_is_seen(text: str, *, is_garbage: bool) -> None:
    assert bool(garbage(text)) is is_garbage


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour(), ""),
        (Behaviour(split=7, comments=True), ""),
        (Behaviour(crlf=True, close=True), ""),
        (Behaviour(faults={"garbage": 1}), "garbage-output"),
        (Behaviour(faults={"empty": 1}), "garbage-output"),
        (Behaviour(faults={"http_503": 1}), "answers-with-errors"),
        (Behaviour(faults={"sse_error": 1}), "answers-with-errors"),
        (Behaviour(faults={"cut": 1}), "answers-with-errors"),
        (Behaviour(faults={"malformed": 1}), "answers-with-errors"),
        (Behaviour(faults={"stall": 1}), "hung-behind-health"),
        (Behaviour(hang_at=1), "hung-behind-health"),
    ],
    ids=lambda value: str(dict(value.faults)) if isinstance(value, Behaviour) else value,
)
def test_every_way_to_answer_has_its_verdict(behaviour: Behaviour, code: str) -> None:
    patience = 0.5 if code == "hung-behind-health" else 30  # nobody is kept waiting by what answers
    with Simulator(behaviour) as server:
        assert beat(Server(url=server.url), patience_s=patience).code == code


def test_the_model_and_the_key_are_sent() -> None:
    with Simulator(Behaviour(api_key="hush", models=("a", "b"))) as server:
        assert beat(Server(url=f"{server.url}/v1", model="b", api_key="hush")).code == ""
        refused = beat(Server(url=server.url, model="b"))

    assert refused.code == "answers-with-errors"
    assert "401" in refused.said


def test_where_nobody_listens_the_server_is_gone() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert beat(Server(url=f"http://127.0.0.1:{port}")).code == "server-gone"


def test_a_key_never_stands_in_a_repr() -> None:
    assert "hush" not in repr(Server(url="x", api_key="hush"))


@contextmanager
def somebody_else_asking(url: str, tokens: int) -> Iterator[None]:
    """Keep the server busy with a long answer for somebody else."""
    host, port = url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port))
    body = {"model": "simulated", "prompt": "x", "max_tokens": tokens, "stream": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    answer = connection.getresponse()
    reader = threading.Thread(target=answer.read)
    reader.start()
    yield
    reader.join(30)
    connection.close()


def test_a_busy_server_that_gives_tokens_to_others_is_waited_for() -> None:
    with Simulator(Behaviour(slots=1, itl_ms=10)) as server, somebody_else_asking(server.url, tokens=500):
        found = beat(Server(url=server.url), patience_s=3)

    assert found.code == ""
    assert found.seconds > 3  # it waited for longer than it would have for a silent one


def test_a_server_whose_queue_stands_still_is_hung() -> None:
    with Simulator(Behaviour(slots=1, hang_at=1)) as server:
        found = beat(Server(url=server.url), patience_s=2.5)

    assert found.code == "hung-behind-health"


def test_an_end_of_the_process_ends_the_question_at_once() -> None:
    with Simulator(Behaviour(hang_at=1)) as server:
        found = beat(Server(url=server.url), patience_s=60, ended=lambda: "signal 9 (SIGKILL)")

    assert (found.code, found.said) == ("server-gone", "signal 9 (SIGKILL)")


def test_a_question_that_is_given_up_is_dropped() -> None:
    with Simulator(Behaviour(hang_at=1)) as server:
        beat(Server(url=server.url), patience_s=0.3)
        beat(Server(url=server.url), patience_s=0.3)
        deadline = time.monotonic() + 10
        while server.open > 2 and time.monotonic() < deadline:
            time.sleep(0.02)

        assert threading.active_count() <= 3  # ours, the simulator's, and perhaps the last question on its way out


def test_a_stopped_process_is_hung_though_the_kernel_still_accepts_for_it() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVE, "--port", str(port)], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        while "startup complete" not in server.stderr.readline():
            assert server.poll() is None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert beat(Server(url=f"http://127.0.0.1:{port}"), patience_s=1).code == "hung-behind-health"
        finally:
            os.kill(server.pid, signal.SIGKILL)


def test_a_jump_of_the_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 4e9)  # whoever asked for the time of day would see the year 2096

    with Simulator() as server:
        assert beat(Server(url=server.url), patience_s=30).code == ""
    with Simulator(Behaviour(hang_at=1)) as server:
        assert beat(Server(url=server.url), patience_s=0.5).code == "hung-behind-health"


@pytest.mark.parametrize(("behaviour", "code"), [(Behaviour(), 0), (Behaviour(hang_at=1), 1)], ids=["well", "hung"])
def test_the_module_alone_is_a_health_check(behaviour: Behaviour, code: int) -> None:
    heartbeat = REPOSITORY / "blackstack/heartbeat.py"
    with Simulator(behaviour) as server:
        # -I: neither this repository nor any package can be imported, as in an image that the file was copied into
        asked = subprocess.run(
            [sys.executable, "-I", "-S", str(heartbeat), server.url, "--timeout", "0.5" if code else "30"],
            capture_output=True,
            text=True,
            check=False,
        )

    assert asked.returncode == code, asked.stderr
    assert asked.stdout.startswith("hung-behind-health:" if code else "ok:")


def test_a_server_that_is_full_while_others_get_tokens_is_busy_and_well(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(1, 100))
    monkeypatch.setattr("blackstack.heartbeat._Progress._now", lambda _self: str(next(counts)))

    with Simulator(Behaviour(faults={"http_503": 1})) as server:
        found = beat(Server(url=server.url), patience_s=20)

    assert (found.code, found.said) == ("", "it is busy, and others get tokens")


def test_random_weights_may_say_anything() -> None:
    with Simulator(Behaviour(faults={"garbage": 1})) as server:
        assert beat(Server(url=server.url, noise=True), patience_s=20).code == ""
