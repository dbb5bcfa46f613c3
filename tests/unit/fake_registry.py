"""A registry of a few lines, for what a real one does not do on demand: ask for tokens, run out of patience, lie."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

FAR_TOO_MUCH = 256 << 20  # bytes
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class FakeRegistry:
    """What it holds, how it behaves, and what it was asked.

    Attributes:
        manifests: body and kind by tag and by digest.
        blobs: bodies by digest.
        tags: names in the order in which they are listed.
        page: how many tags are listed at once.
        token: what it wants to be shown; empty for nothing.
        login: who gets the token; empty for everybody.
        status: what it answers to everything, if not 0, with ``headers``.
        lies: send another digest in the header than the content's.
        behind_s: how far its clock is behind.
        endless: never come to an end of an answer, and count in ``sent`` the bytes until the other end hung up.
        asked: method and path of each request.
        secrets_seen: the Authorization headers that came.
    """

    host: str = ""
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    page: int = 2
    token: str = ""
    login: str = ""
    basic: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lies: bool = False
    behind_s: float = 0.0
    endless: bool = False
    sent: int = 0
    asked: list[str] = field(default_factory=list)
    secrets_seen: list[str] = field(default_factory=list)

    def put(
        self, tag: str, *, platform: str = "linux/amd64", content: str = "", index: bool = False, env: object = None
    ) -> str:
        """Hold an image under a tag and return its digest."""
        system, _, architecture = platform.partition("/")
        about = {"os": system, "architecture": architecture}
        config = json.dumps({**about, "content": content, "config": {"Env": env}}).encode()
        self.blobs[digest_of(config)] = config
        data: dict[str, Any] = {"schemaVersion": 2, "mediaType": IMAGE, "config": {"digest": digest_of(config)}}
        if index:
            entries = [
                {"platform": {"os": "linux", "architecture": "s390x"}, "digest": digest_of(b"another")},
                {"platform": about, "digest": self._hold(data)},
                {"platform": {"os": "unknown", "architecture": "unknown"}},  # an attestation
            ]
            data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        digest = self._hold(data)
        self.manifests[tag] = self.manifests[digest]
        if tag not in self.tags:
            self.tags.append(tag)
        return digest

    def _hold(self, data: dict[str, Any]) -> str:
        body = json.dumps(data).encode()
        self.manifests[digest_of(body)] = (body, data["mediaType"])
        return digest_of(body)

    def forget(self, name: str) -> None:
        """Drop a tag or a digest."""
        self.manifests.pop(name, None)
        if name in self.tags:
            self.tags.remove(name)


def digest_of(body: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers for a registry."""

    registry: FakeRegistry

    def do_GET(self) -> None:
        """Answer."""
        self.answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self.answer(body=False)

    def do_POST(self) -> None:
        """Answer who exchanges a token."""
        length = int(self.headers.get("Content-Length", 0))
        self.registry.secrets_seen.append(self.rfile.read(length).decode())
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        """Note what was asked, and answer as the registry does."""
        url = urlsplit(self.path)
        self.registry.asked.append(f"{self.command} {self.path}")
        key = self.headers.get("Authorization", "")
        if key:
            self.registry.secrets_seen.append(key)
        if self.registry.endless:
            return self.never_end()
        code, headers, content = respond(self.registry, url.path, parse_qs(url.query), key)
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)
        return None

    def never_end(self) -> None:
        """Send until the other end hangs up, or far more than anybody should take."""
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while self.registry.sent < FAR_TOO_MUCH:
                self.registry.sent += self.wfile.write(b" " * (1 << 16))

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Tell the time of the registry's clock."""
        return formatdate((timestamp or time.time()) - self.registry.behind_s, usegmt=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve it on a free port of this machine."""
    handler = type("Handler", (Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def respond(  # noqa: PLR0911 - a return for each kind of question
    registry: FakeRegistry, path: str, query: dict[str, list[str]], key: str
) -> tuple[int, dict[str, str], bytes]:
    """Return code, headers and body."""
    if path == "/token":
        known = not registry.login or key == registry.login or registry.login in "".join(registry.secrets_seen)
        return (200, {}, json.dumps({"token": registry.token}).encode()) if known else (401, {}, b"{}")
    if registry.status:
        return registry.status, registry.headers, b"{}"
    if registry.basic and key != registry.login:
        return 401, {"WWW-Authenticate": 'Basic realm="here"'}, b"{}"
    if registry.token and key != f"Bearer {registry.token}":
        challenge = f'Bearer realm="http://{registry.host}/token",service="it",scope="repository:a/b:pull"'
        return 401, {"WWW-Authenticate": challenge}, b"{}"
    name = path.rpartition("/")[2]
    if "/blobs/" in path and name in registry.blobs:
        return 200, {}, registry.blobs[name]
    if "/manifests/" in path and name in registry.manifests:
        body, kind = registry.manifests[name]
        said = "sha256:" + "0" * 64 if registry.lies else digest_of(body)
        return 200, {"Content-Type": kind, "Docker-Content-Digest": said}, body
    if path.endswith("/tags/list"):
        last = query.get("last", [""])[0]
        rest = registry.tags[registry.tags.index(last) + 1 :] if last else registry.tags
        page = rest[: registry.page]
        more = {"Link": f'</v2/a/b/tags/list?last={page[-1]}&n=2>; rel="next"'} if len(rest) > len(page) else {}
        return 200, more, json.dumps({"name": "a/b", "tags": page or None}).encode()
    return 404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}'
