"""A registry of a few lines, for what a real one does not do on demand: ask for tokens, run out of patience, lie."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
    asked: list[str] = field(default_factory=list)
    secrets_seen: list[str] = field(default_factory=list)

    def put(self, tag: str, *, platform: str = "linux/amd64", content: str = "", index: bool = False) -> str:
        """Hold an image under a tag and return its digest."""
        system, _, architecture = platform.partition("/")
        config = json.dumps({"os": system, "architecture": architecture, "content": content}).encode()
        self.blobs[digest_of(config)] = config
        data: dict[str, Any] = {"schemaVersion": 2, "mediaType": IMAGE, "config": {"digest": digest_of(config)}}
        if index:
            about = {"os": system, "architecture": architecture}
            attestation = {"os": "unknown", "architecture": "unknown"}
            entries = [{"platform": about, "note": content}, {"platform": attestation}]
            data = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        body = json.dumps(data).encode()
        self.manifests[tag] = self.manifests[digest_of(body)] = (body, data["mediaType"])
        if tag not in self.tags:
            self.tags.append(tag)
        return digest_of(body)

    def forget(self, name: str) -> None:
        """Drop a tag or a digest."""
        self.manifests.pop(name, None)
        if name in self.tags:
            self.tags.remove(name)


def digest_of(body: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve it on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            registry.secrets_seen.append(self.rfile.read(length).decode())
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            url = urlsplit(self.path)
            registry.asked.append(f"{self.command} {self.path}")
            key = self.headers.get("Authorization", "")
            if key:
                registry.secrets_seen.append(key)
            code, headers, content = respond(registry, url.path, parse_qs(url.query), key)
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
