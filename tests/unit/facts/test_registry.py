"""An image that is not here is asked about: a real registry's answers, from a server on this machine."""

from __future__ import annotations

import contextlib
import json
import platform
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from blackstack.facts import registry

ENV = ["PATH=/usr/bin", "CUDA_VERSION=13.0.2", "NVIDIA_REQUIRE_CUDA=cuda>=13.0 brand=tesla,driver>=535,driver<536"]
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

STRANGE = {
    "null": {"manifests": None},
    "words": {"manifests": ["x"]},
    "text": {"config": "x"},
    "platform": {"manifests": [{"platform": "x"}]},
    "mapping": {"manifests": {"x": 1}},
    "list": ["x"],
}
FAR_TOO_MUCH = 256 << 20


class Registry(BaseHTTPRequestHandler):
    """Speaks the distribution protocol: a challenge, a token, an index, a manifest, a configuration."""

    asked: ClassVar[list[str]] = []
    behind_s: ClassVar[float] = 0.0
    sent: ClassVar[int] = 0

    def do_GET(self) -> None:
        """Answer as a registry does."""
        self.asked.append(self.path)
        host = self.headers["Host"]
        if self.path.startswith("/token"):
            return self._say(200, {"token": "anybody"})
        if self.headers.get("Authorization") != "Bearer anybody":
            challenge = f'Bearer realm="http://{host}/token",service="s",scope="repository:vllm/x:pull"'
            return self._say(401, {}, {"WWW-Authenticate": challenge})
        answers = {
            "/v2/vllm/x/manifests/v1": {
                "manifests": [
                    {"digest": "sha256:other", "platform": {"architecture": "s390x"}},
                    {"digest": "sha256:ours", "platform": {"architecture": MACHINE}},
                ]
            },
            "/v2/vllm/x/manifests/sha256:ours": {"config": {"digest": "sha256:config"}},
            "/v2/vllm/x/blobs/sha256:config": {"config": {"Env": ENV}},
            "/v2/vllm/x/manifests/none-for-us": {"manifests": []},
            "/v2/vllm/x/manifests/empty": {},
            **{f"/v2/vllm/x/manifests/{tag}": body for tag, body in STRANGE.items()},
            "/v2/vllm/x/manifests/text-inside": {"config": {"digest": "sha256:text"}},
            "/v2/vllm/x/blobs/sha256:text": {"config": "x"},
            "/v2/vllm/x/manifests/no-list-inside": {"config": {"digest": "sha256:no-list"}},
            "/v2/vllm/x/blobs/sha256:no-list": {"config": {"Env": 7}},
        }
        if self.path.endswith("/manifests/endless"):
            return self._never_end()
        return self._say(200, answers[self.path]) if self.path in answers else self._say(404, {"errors": []})

    def _never_end(self) -> None:
        """Send until the other end hangs up, or far more than anybody should take."""
        self.send_response(200)
        self.end_headers()
        Registry.sent = 0
        with contextlib.suppress(OSError):
            while Registry.sent < FAR_TOO_MUCH:
                self.wfile.write(b" " * (1 << 16))
                Registry.sent += 1 << 16

    def _say(self, code: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Tell the time, an hour ago if so asked."""
        return formatdate((timestamp or time.time()) - self.behind_s, usegmt=True)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    """A registry on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Registry.asked.clear()
    Registry.behind_s = 0.0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_cuda_is_read_from_the_configuration_without_pulling_a_layer(address: str) -> None:
    told = registry.look(f"{address}/vllm/x:v1")

    assert (told.source, told.cuda, told.unknown, told.problem) == ("registry", "13.0.2", "", "")
    assert told.require.startswith("cuda>=13.0 brand=tesla")
    assert [path for path in Registry.asked if "blobs" in path] == ["/v2/vllm/x/blobs/sha256:config"]


def test_a_tag_that_is_not_there_is_missing(address: str) -> None:
    told = registry.look(f"{address}/vllm/x:nightly-gone")

    assert told.problem == "missing"
    assert "has no vllm/x:nightly-gone" in told.unknown


def test_an_image_for_other_machines_is_missing_too(address: str) -> None:
    assert registry.look(f"{address}/vllm/x:none-for-us").problem == "missing"


def test_an_answer_that_makes_no_sense_is_strange(address: str) -> None:
    assert registry.look(f"{address}/vllm/x:empty").problem == "strange"


@pytest.mark.parametrize("tag", [*STRANGE, "text-inside", "no-list-inside"])
def test_an_answer_of_another_shape_raises_nothing(address: str, tag: str) -> None:
    told = registry.look(f"{address}/vllm/x:{tag}")

    assert told.problem in {"strange", "missing"}
    assert told.unknown


def test_an_answer_without_an_end_is_not_read_to_its_end(address: str) -> None:
    assert registry.look(f"{address}/vllm/x:endless").problem == "strange"

    assert Registry.sent < FAR_TOO_MUCH // 4


def test_clocks_are_compared_on_the_way(address: str) -> None:
    assert abs(registry.look(f"{address}/vllm/x:v1").clock_off_s or 0) < 60

    Registry.behind_s = 3600

    assert 3500 < (registry.look(f"{address}/vllm/x:v1").clock_off_s or 0) < 3700


def test_a_registry_that_nobody_knows_is_told_from_one_that_does_not_answer() -> None:
    assert registry.look("registry.invalid/a/b:c", timeout=2).problem in {"dns", "unreachable"}  # a proxy resolves it

    told = registry.look("127.0.0.1:9/a/b:c", timeout=2)

    assert told.problem == "unreachable"
    assert "refused" in told.unknown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vllm/vllm-openai@sha256:ab", ("registry-1.docker.io", "vllm/vllm-openai", "sha256:ab")),
        ("nvcr.io/nvidia/cuda:13.0", ("nvcr.io", "nvidia/cuda", "13.0")),
        ("localhost:5000/x", ("localhost:5000", "x", "latest")),
        ("a/b:1@sha256:cd", ("registry-1.docker.io", "a/b", "sha256:cd")),
    ],
)
def test_names_are_taken_apart_as_docker_does(name: str, expected: tuple[str, str, str]) -> None:
    reference = registry.Reference.of(name)

    assert (reference.registry, reference.repository, reference.version) == expected
