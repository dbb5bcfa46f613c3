"""The name of an image, taken apart: ``vllm/vllm-openai:v0.11.0@sha256:…``.

Grammar: https://github.com/distribution/reference/blob/main/reference.go; what is short is completed as Docker does.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, replace

from blackstack.errors import UsageError
from blackstack.loopback import is_loopback

HUB = "docker.io"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_REFERENCE = re.compile(
    rf"(?P<name>(?:(?P<host>{_HOST})/)?(?P<path>{_PATH.pattern}))"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image's name.

    Attributes:
        name: as it was written, without tag and digest.
        registry: the host, with its port if it has one; ``docker.io`` where none was written.
        repository: the path there.
        tag: what a person calls it; it may move.
        digest: what it is; it never moves.
    """

    name: str
    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def listed(self) -> str:
        """The name as an engine lists it: one that was asked for by digest has no tag there."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag or 'latest'}"

    @property
    def api_host(self) -> str:
        """The host that speaks the protocol: Docker Hub's is not the one in the names."""
        return f"registry-1.{HUB}" if self.registry == HUB else self.registry

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine."""
        return is_loopback(re.sub(r":\d+$", "", self.registry))

    def at(self, *, tag: str | None, digest: str | None) -> Reference:
        """Return the same repository with another tag and digest."""
        return replace(self, tag=tag, digest=digest)


def parse(text: str) -> Reference:
    """Take a name apart.

    >>> parse("vllm/vllm-openai:nightly").registry
    'docker.io'

    Raises:
        UsageError: it is no image's name.
    """
    match = _REFERENCE.fullmatch(text)
    host, path, name = (match["host"], match["path"], match["name"]) if match else (None, "", "")
    if host and not (set(".:[") & set(host) or host == "localhost"):  # Docker's rule: else it is part of the path
        host, path = None, f"{host}/{path}"
    if match is None or not _PATH.fullmatch(path) or _ID.fullmatch(text):
        raise UsageError(f"{text!r} is no image's name", fix="write it as NAME:TAG or NAME:TAG@sha256:…")
    if not host or host == f"index.{HUB}":
        host = HUB
    if host == HUB and "/" not in path:
        path = f"library/{path}"
    return Reference(name=name, registry=host, repository=path, tag=match["tag"], digest=match["digest"])


def short_id(digest: str) -> str:
    """Return the beginning of an image's id or digest, as names and tables have it.

    >>> short_id("sha256:" + "0123456789abcdef" * 4)
    '0123456789ab'
    """
    return digest.removeprefix("sha256:")[:12]


def held(image: str, images: Container[str]) -> bool:
    """Tell whether an engine that lists these names has an image; one with tag and digest is listed without the tag.

    Raises:
        UsageError: it is no image's name.
    """
    return parse(image).listed in images
