"""Questions to a registry: what is under a name, for which machines, and which names there are.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md. The engine is not needed, nothing is
pulled, and an answer is one of three: it is there, it is not, or nobody could be asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from blackstack.errors import BlackstackError, BlockedError
from blackstack.registry.access import Login, bearer, login_for
from blackstack.registry.reference import HUB, Reference

ANSWER_S = 15.0  # to connect, and between two pieces of an answer
BIGGEST = 4 << 20  # bytes of a manifest; registries accept no larger ones
PAGES = 100  # of a list of tags, of up to 1,000 names each
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*_INDEXES, *_IMAGES))


class RegistryError(BlockedError):
    """Nobody could be asked, or the answer could not be believed: nothing is known of the image."""


class NotThereError(BlackstackError):
    """The registry answered: there is no such image."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is under a name.

    Attributes:
        digest: what an engine pulls by.
        platforms: for which machines, such as ``linux/amd64``.
    """

    digest: str
    platforms: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Answer:
    code: int
    headers: Mapping[str, str]
    following: str
    body: bytes


@dataclass
class Registry:
    """One registry, asked about one repository at a time; tokens are kept for as long as it lives."""

    session: requests.Session = field(default_factory=requests.Session)
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def digest(self, image: Reference) -> str:
        """Return the digest that a tag has now.

        Raises:
            NotThereError: there is no such tag.
            RegistryError: nobody could be asked.
        """
        answer = self._ask("HEAD", image, _manifest_path(image), accept=_ACCEPT)
        told = answer.headers.get("Docker-Content-Digest", "")
        return told if re.fullmatch(r"sha256:[0-9a-f]{64}", told) else self.manifest(image).digest

    def manifest(self, image: Reference) -> Manifest:
        """Return what is under a tag or, where the name has one, a digest; the digest is computed, not believed.

        Raises:
            NotThereError: there is none.
            RegistryError: nobody could be asked, or the answer is not what its digest says.
        """
        answer = self._ask("GET", image, _manifest_path(image), accept=_ACCEPT)
        digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
        for said in (image.digest, answer.headers.get("Docker-Content-Digest")):
            if said and said.startswith("sha256:") and said != digest:
                raise RegistryError(f"{image.registry} sent something else than it said", why=f"{said}, got {digest}")
        data = _json(answer.body, image)
        kind = str(data.get("mediaType") or answer.headers.get("Content-Type", "")).partition(";")[0]
        if kind in _INDEXES or "manifests" in data:
            found = (_platform(one.get("platform") or {}) for one in data.get("manifests") or ())
            platforms = tuple(dict.fromkeys(one for one in found if one != "unknown/unknown"))  # attestations
        elif "config" in data:
            config = self._ask("GET", image, f"blobs/{data['config'].get('digest')}")
            platforms = (_platform(_json(config.body, image)),)
        else:
            raise RegistryError(f"{image} is of a kind that is not known here", why=kind or "it does not say which")
        return Manifest(digest=digest, platforms=platforms)

    def tags(self, image: Reference) -> Iterator[str]:
        """Yield the tags of the repository, page by page.

        Raises:
            NotThereError: there is no such repository.
            RegistryError: nobody could be asked.
        """
        path = "tags/list?n=1000"
        for _ in range(PAGES):
            answer = self._ask("GET", image, path)
            yield from (str(tag) for tag in _json(answer.body, image).get("tags") or ())
            if not answer.following:
                return
            path = f"tags/list?{answer.following.partition('?')[2]}"  # the same list, whatever else the link says
        raise RegistryError(f"{image.name} has more tags than can be listed", why=f"{PAGES} pages and no end")

    def _ask(self, method: str, image: Reference, path: str, *, accept: str = "*/*") -> _Answer:
        """Send one request, with a token where one is asked for."""
        self.session.trust_env = not image.loopback  # no proxy lies before this machine
        headers = {"Accept": accept}
        try:
            answer = self._send(method, image, path, headers)
            if answer.code == requests.codes.unauthorized:
                self._sign_in(image, answer.headers.get("WWW-Authenticate", ""))
                answer = self._send(method, image, path, headers)
        except (requests.RequestException, ValueError) as error:
            raise _unreachable(image, error) from error
        _refuse(image, answer)
        return answer

    def _send(self, method: str, image: Reference, path: str, headers: dict[str, str]) -> _Answer:
        key = self.tokens.get(image.name)
        signed = {**headers, **({"Authorization": key} if key else {})}
        # Docker's rule too: only a registry on this machine may be asked in the clear.
        last: requests.RequestException | None = None
        for scheme in ("http", "https") if image.loopback else ("https",):
            url = f"{scheme}://{_api_host(image)}/v2/{image.repository}/{path}"
            try:
                with self.session.request(method, url, headers=signed, timeout=ANSWER_S, stream=True) as got:
                    following = got.links.get("next", {}).get("url", "")
                    body = _body(got, image)
                answer = _Answer(code=got.status_code, headers=got.headers, following=following, body=body)
            except requests.ConnectionError as error:
                last = last or error
                continue
            if not (scheme == "http" and answer.code == requests.codes.bad_request):  # it wants TLS
                return answer
        raise last or requests.ConnectionError("no answer")

    def _sign_in(self, image: Reference, challenge: str) -> None:
        login = login_for(image.registry)
        scope = f"repository:{image.repository}:pull"
        kind = challenge.partition(" ")[0].lower()
        if kind == "bearer":
            token = bearer(self.session, challenge, login, scope=scope, timeout=ANSWER_S)
            self.tokens[image.name] = f"Bearer {token}" if token else ""
        elif kind == "basic" and login.password:
            self.tokens[image.name] = _basic(login)


def _basic(login: Login) -> str:
    request = requests.Request("GET", "http://127.0.0.1/", auth=(login.user, login.password)).prepare()
    return str(request.headers["Authorization"])


def _api_host(image: Reference) -> str:
    """Return the host that speaks the protocol: Docker Hub's is not the one in the names."""
    return f"registry-1.{HUB}" if image.registry == HUB else image.registry


def _manifest_path(image: Reference) -> str:
    return f"manifests/{image.digest or image.tag or 'latest'}"


def _platform(data: Any) -> str:  # noqa: ANN401 - somebody else's JSON
    known = data if isinstance(data, dict) else {}
    return f"{known.get('os', 'unknown')}/{known.get('architecture', 'unknown')}"


def _body(answer: requests.Response, image: Reference) -> bytes:
    body = b""
    for piece in answer.iter_content(1 << 16):
        body += piece
        if len(body) > BIGGEST:
            raise RegistryError(f"{image.registry} sends more than a manifest can be", why=f"over {BIGGEST} bytes")
    return body


def _json(body: bytes, image: Reference) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise RegistryError(f"{image.registry} sent no JSON", why="is something on the way, such as a login page?")
    return data


def _unreachable(image: Reference, error: Exception) -> RegistryError:
    text = str(error)
    return RegistryError(
        f"the registry {image.registry} could not be asked about {image.name}",
        why=next((said for sign, said in _CAUSES if sign in text), text[:200]),
        fix="is the network there? proxies: HTTPS_PROXY, a company's certificates: REQUESTS_CA_BUNDLE",
    )


_CAUSES = (
    ("ProxyError", "the proxy does not let us through"),
    ("CERTIFICATE_VERIFY_FAILED", "it shows a certificate that is not trusted here"),
    ("NameResolutionError", "its name cannot be resolved"),
    ("Name or service not known", "its name cannot be resolved"),
    ("Connection refused", "nobody listens there"),
    ("timed out", "it does not answer"),
)


def _refuse(image: Reference, answer: _Answer) -> None:
    """Raise for every answer that is none."""
    code = answer.code
    if code == requests.codes.ok:
        return
    if code == requests.codes.not_found:
        raise NotThereError(f"{image.registry} has no {image}")
    if code == requests.codes.too_many_requests:
        wait = answer.headers.get("Retry-After", "")
        raise RegistryError(
            f"{image.registry} answers no more questions for now: too many were asked from here",
            why=f"it says: again in {wait} s" if wait.isdecimal() else "HTTP 429",
            fix=f"wait, or: docker login {image.registry}",
        )
    if code in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise RegistryError(
            f"{image.registry} does not let us see {image.name}",
            why=f"HTTP {code}: it is private, or it does not exist",
            fix=f"docker login {image.registry}   # its credentials are used, and never printed",
        )
    raise RegistryError(f"the registry {image.registry} answers with HTTP {code}", fix="try again later")
