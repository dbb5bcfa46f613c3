"""The client against a server that fails on purpose, and against what is no server at all."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.failures import CLASSES
from blackstack.bench.workload import Endpoint
from blackstack.errors import BlockedError, UsageError
from simulator import Behaviour, Simulator

QUICK: dict[str, Any] = {"warmup": 0, "output_tokens": 12, "timeout_s": 5.0}


def run(behaviour: Behaviour, **workload: Any) -> dict[str, Any]:  # noqa: ANN401 - the fields of Workload
    """Measure a simulated server once and return its only run."""
    with Simulator(behaviour) as server:
        runs = measure(Target(url=server.url), Workload(**{**QUICK, **workload})).as_dict()["runs"]
    assert len(runs) == 1
    return dict(runs[0])


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A healthy, fast server."""
    with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(),
        Behaviour(jitter_ms=2),
        Behaviour(tokens_per_event=4),
        Behaviour(split=7),
        Behaviour(coalesce=5),
        Behaviour(late_head=True, comments=True),
        Behaviour(reasoning=True),
        Behaviour(crlf=True, comments=True),
        Behaviour(close=True),
        Behaviour(let_go=True),
        Behaviour(slots=2),
    ],
    ids=[
        "plain",
        "jitter",
        "several-a-event",
        "split",
        "joined",
        "late",
        "reasoning",
        "crlf",
        "close",
        "let-go",
        "queue",
    ],
)
def test_every_token_of_a_strange_but_good_server_is_counted(behaviour: Behaviour, endpoint: Endpoint) -> None:
    told = run(behaviour, requests=12, concurrency=(4,), endpoint=endpoint)

    assert told["failures"] == dict.fromkeys(CLASSES, 0)
    assert told["ok"] == 12
    assert told["output_tokens"] == 12 * 12
    assert told["events"] == 12 * 12 / behaviour.tokens_per_event
    assert told["tokens_counted_by"] == "server"


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_failures_are_found_and_classed(endpoint: Endpoint) -> None:
    told = run(
        Behaviour(faults={"http_503": 8, "cut": 9, "sse_error": 11}), requests=96, concurrency=(8,), endpoint=endpoint
    )

    assert told["failures"] == dict.fromkeys(CLASSES, 0) | {"http": 12, "cut": 9, "sse_error": 7}
    assert told["ok"] == 68
    assert told["output_tokens"] == 68 * 12


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (Behaviour(faults={"stall": 1}), "timeout"),
        (Behaviour(faults={"garbage": 1}), "garbage"),
        (Behaviour(faults={"malformed": 1}), "malformed"),
        (Behaviour(faults={"empty": 1}), "empty"),
        (Behaviour(faults={"no_done": 1}), "cut"),
        (Behaviour(hang_at=1), "timeout"),
    ],
)
def test_a_server_that_always_fails_gives_no_latency(behaviour: Behaviour, kind: str) -> None:
    told = run(behaviour, requests=3, concurrency=(3,), timeout_s=0.3)

    assert told["failures"][kind] == 3
    assert told["ok"] == 0
    assert told["ttft_ms"] == {"n": 0}


def test_the_text_of_random_weights_is_no_failure() -> None:
    with Simulator(Behaviour(faults={"garbage": 1})) as server:
        told = measure(Target(url=server.url, noise=True), Workload(requests=4, warmup=0, output_tokens=32)).as_dict()

    assert told["runs"][0]["ok"] == 4


def test_a_server_that_dies_ends_the_run() -> None:
    told = run(Behaviour(die_at=5), requests=1000, concurrency=(2,))

    assert told["ok"] <= 4
    assert told["failures"]["connect"] >= 1


def test_no_time_is_shorter_than_the_servers_own() -> None:
    """The client sends before the server reads, and the server stamps before it sends."""
    with Simulator(Behaviour(ttft_ms=20)) as server:
        told = measure(Target(url=server.url), Workload(**QUICK, requests=8)).as_dict()["runs"][0]
        truth = [(served.sent_ns[0] - served.read_ns) / 1e6 for served in server.served]

    assert told["ttft_ms"]["min"] >= min(truth) - 0.001
    assert told["ttft_ms"]["mean"] >= sum(truth) / len(truth) - 0.001


def test_warm_up_is_excluded_and_said_so(server: Simulator) -> None:
    told = measure(Target(url=server.url), Workload(requests=5, warmup=3, output_tokens=4)).as_dict()["runs"][0]

    assert len(server.served) == 8
    assert told["requests"] == told["ttft_ms"]["n"] == 5
    assert told["warmup_excluded"] == 3


def test_each_concurrency_and_repeat_is_a_run(server: Simulator) -> None:
    told = measure(Target(url=server.url), Workload(**QUICK, requests=4, concurrency=(1, 4), repeats=2)).as_dict()

    assert [(run["repeat"], run["concurrency"]) for run in told["runs"]] == [(0, 1), (0, 4), (1, 1), (1, 4)]
    assert [point["output_tokens_per_s"]["n"] for point in told["repeats"]] == [2, 2]


def test_requested_concurrency_is_delivered(server: Simulator) -> None:
    told = measure(
        Target(url=server.url), Workload(**QUICK, requests=32, concurrency=(8,), look_around=False)
    ).as_dict()["runs"][0]

    assert told["client"]["peak_concurrency"] == 8
    assert server.connections == 1 + 8


def test_no_two_prompts_begin_alike(server: Simulator) -> None:
    """Else a prefix cache would answer for the model."""
    measure(Target(url=server.url), Workload(**QUICK, requests=40, repeats=2))

    beginnings = {served.body["prompt"][:10] for served in server.served}
    assert len(beginnings) == 80


def test_the_same_seed_sends_the_same(server: Simulator) -> None:
    for _ in range(2):
        measure(Target(url=server.url), Workload(**QUICK, requests=6, seed=7, salt=False))

    sent = [served.body for served in server.served]
    assert sent[:6] == sent[6:]


def test_the_only_model_is_taken(server: Simulator) -> None:
    measurement = measure(Target(url=f"{server.url}/v1"), Workload(**QUICK, requests=1))

    assert measurement.target.model == "simulated"


def test_a_result_is_json_and_has_no_key() -> None:
    with Simulator(Behaviour(api_key="s3cret")) as server:
        target = Target(url=server.url, api_key="s3cret")
        told = measure(target, Workload(**QUICK, requests=2))

    text = json.dumps(told.as_dict(), allow_nan=False)
    assert "s3cret" not in text + repr(target) + repr(told)


def test_the_wrong_key_is_named() -> None:
    with Simulator(Behaviour(api_key="s3cret")) as server, pytest.raises(UsageError, match="API key"):
        measure(Target(url=server.url), Workload())


def test_an_unknown_model_gets_the_nearest_name(server: Simulator) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'simulated'\?"):
        measure(Target(url=server.url, model="simulatd"), Workload())


def test_several_models_need_a_choice() -> None:
    with Simulator(Behaviour(models=("a", "b"))) as server, pytest.raises(UsageError, match="which model"):
        measure(Target(url=server.url), Workload())


def test_nothing_listening_is_said() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(BlockedError, match="nothing listens"):
            measure(Target(url=url), Workload())


def test_prompts_that_cannot_be_read_are_said_before_anybody_is_asked() -> None:
    nobody = Target(url="http://127.0.0.1:9")  # asking there would be another error

    with pytest.raises(UsageError, match=r"cannot read nowhere\.jsonl") as caught:
        measure(nobody, Workload(prompts="nowhere.jsonl"))

    assert "a JSON object a line" in str(caught.value)


def test_another_kind_of_server_is_said() -> None:
    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n<h1>hi</h1>")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(UsageError, match="not an OpenAI-compatible server"):
            measure(Target(url=f"http://127.0.0.1:{listener.getsockname()[1]}"), Workload())
        thread.join()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://127.0.0.1:notaport", "http://127.0.0.1:99999"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        measure(Target(url=url), Workload())


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": (0,)},
        {"concurrency": ()},
        {"requests": 0},
        {"prompts": "chatt"},
        {"endpoint": "chats"},
        {"arrival": "posson"},
        {"warmup": -1},
        {"output_tokens": 0},
    ],
)
def test_a_workload_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Workload(**wrong)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_https_is_measured_like_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with Simulator(tls=context) as server:
        with pytest.raises(BlockedError, match="not trusted here"):
            measure(Target(url=server.url), Workload(**QUICK))
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        told = measure(Target(url=server.url), Workload(**QUICK, requests=8, concurrency=(4,))).as_dict()["runs"][0]

    assert told["ok"] == 8
    assert told["output_tokens"] == 8 * 12


def bench(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line."""
    command = [sys.executable, "-m", "blackstack.bench", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_with_json_the_output_is_the_result_and_nothing_else(server: Simulator) -> None:
    with bench("--url", server.url, "--requests", "4", "--output-tokens", "8", "--json") as process:
        out, err = process.communicate()

    assert process.returncode == 0
    assert json.loads(out)["runs"][0]["output_tokens"] == 32
    assert "concurrency 1" in err


def test_failed_requests_fail_the_command() -> None:
    with Simulator(Behaviour(faults={"garbage": 2})) as server, bench("--url", server.url) as process:
        out, _ = process.communicate()

    assert process.returncode == 1
    assert "failed: 12 garbage" in out


def test_a_mistake_shows_no_traceback() -> None:
    with bench("--url", "ftp://nowhere") as process:
        out, err = process.communicate()

    assert process.returncode == 2
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_nothing_running(workers: str) -> None:
    arguments = ("--concurrency", "4", "--warmup", "0", "--workers", workers)
    with Simulator(Behaviour(hang_at=1)) as server, bench("--url", server.url, *arguments) as process:
        while not server.served:
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)

        _, alive = psutil.wait_procs(children, timeout=10)

    assert not alive
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_run_tells_when_nothing_was_left_to_send() -> None:
    with Simulator(Behaviour(ttft_ms=5, itl_ms=4)) as server:
        workload = Workload(**{**QUICK, "output_tokens": 20}, requests=10, concurrency=(4,), look_around=False)
        told = measure(Target(url=server.url), workload).as_dict()["runs"][0]

    left_out = told["cooldown"]
    assert 0 <= left_out["excluded_s"] < told["duration_s"]
    assert 0 <= left_out["excluded_tokens"] < told["output_tokens"]
