"""Questions to a registry: what is under a name, for which machines, and which names there are.

Protocol: https://github.com/opencontainers/distribution-spec/blob/main/spec.md. The engine is not needed, nothing is
pulled, and an answer is one of three: it is there, it is not, or nobody could be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from blackstack.registry import content
from blackstack.registry.access import Login, bearer, login_for
from blackstack.registry.reference import Reference
from blackstack.registry.refusal import NotThereError, RegistryError, refuse, unreachable

ANSWER_S = 15.0
BIGGEST = 4 << 20  # bytes of a manifest; registries accept no larger ones
PAGES = 100  # of a list of tags, of up to 1,000 names each


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
    """One registry, asked about one repository at a time; tokens are kept for as long as it lives.

    Attributes:
        patience_s: to connect, and between two pieces of an answer.
    """

    patience_s: float = ANSWER_S
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
        answer = self._ask("HEAD", image, _manifest_path(image), accept=content.ACCEPT)
        told = answer.headers.get("Docker-Content-Digest", "")
        return told if content.DIGEST.fullmatch(told) else self.manifest(image).digest

    def manifest(self, image: Reference) -> Manifest:
        """Return what is under a tag or, where the name has one, a digest; the digest is computed, not believed.

        Raises:
            NotThereError: there is none.
            RegistryError: nobody could be asked, or the answer is not what its digest says.
        """
        digest, data = self._read_manifest(image)
        if "manifests" in data:
            found = (content.platform(one) for one in content.entries(data, image))
            platforms = tuple(dict.fromkeys(one for one in found if one != "unknown/unknown"))  # attestations
        else:
            platforms = (content.platform(self._read_config(data, image)),)
        return Manifest(digest=digest, platforms=platforms)

    def config(self, image: Reference, platform: str) -> Mapping[str, Any]:
        """Return what an image says of itself: its variables, its command, its machine.

        Args:
            image: which.
            platform: of an image for several machines, for which one, such as ``linux/amd64``.

        Raises:
            NotThereError: there is no such image, or not for such a machine.
            RegistryError: nobody could be asked, or the answer is not what its digest says.
        """
        _, data = self._read_manifest(image)
        if "manifests" in data:
            ours = next((one for one in content.entries(data, image) if content.platform(one) == platform), None)
            if ours is None:
                raise NotThereError(f"{image} is not made for {platform}")
            _, data = self._read_manifest(image.at(tag=None, digest=content.digest_in(ours, image)))
        return content.part(self._read_config(data, image).get("config"), image)

    def tags(self, image: Reference) -> Iterator[str]:
        """Yield the tags of the repository, page by page.

        Raises:
            NotThereError: there is no such repository.
            RegistryError: nobody could be asked.
        """
        path = "tags/list?n=1000"
        for _ in range(PAGES):
            answer = self._ask("GET", image, path)
            yield from (str(tag) for tag in content.mapping(answer.body, image).get("tags") or ())
            if not answer.following:
                return
            path = f"tags/list?{answer.following.partition('?')[2]}"  # the same list, whatever else the link says
        raise RegistryError(f"{image.name} has more tags than can be listed", why=f"{PAGES} pages and no end")

    def _read_manifest(self, image: Reference) -> tuple[str, dict[str, Any]]:
        """Return the digest and the content of an index or a manifest."""
        answer = self._ask("GET", image, _manifest_path(image), accept=content.ACCEPT)
        digest = content.digest_of(answer.body, image, image.digest, answer.headers.get("Docker-Content-Digest"))
        return digest, content.manifest(answer.body, answer.headers.get("Content-Type", ""), image)

    def _read_config(self, manifest: Mapping[str, Any], image: Reference) -> dict[str, Any]:
        digest = content.digest_in(manifest.get("config"), image)
        body = self._ask("GET", image, f"blobs/{digest}").body
        content.digest_of(body, image, digest)
        return content.mapping(body, image)

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
            raise unreachable(image, error) from error
        refuse(image, answer.code, answer.headers)
        return answer

    def _send(self, method: str, image: Reference, path: str, headers: dict[str, str]) -> _Answer:
        key = self.tokens.get(image.name)
        signed = {**headers, **({"Authorization": key} if key else {})}
        # Docker's rule too: only a registry on this machine may be asked in the clear.
        last: requests.RequestException | None = None
        for scheme in ("http", "https") if image.loopback else ("https",):
            url = f"{scheme}://{image.api_host}/v2/{image.repository}/{path}"
            try:
                with self.session.request(method, url, headers=signed, timeout=self.patience_s, stream=True) as got:
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
            token = bearer(self.session, challenge, login, scope=scope, timeout=self.patience_s)
            self.tokens[image.name] = f"Bearer {token}" if token else ""
        elif kind == "basic" and login.password:
            self.tokens[image.name] = _basic(login)


def _basic(login: Login) -> str:
    request = requests.Request("GET", "http://127.0.0.1/", auth=(login.user, login.password)).prepare()
    return str(request.headers["Authorization"])


def _manifest_path(image: Reference) -> str:
    return f"manifests/{image.digest or image.tag or 'latest'}"


def _body(answer: requests.Response, image: Reference) -> bytes:
    body = b""
    for piece in answer.iter_content(1 << 16):
        body += piece
        if len(body) > BIGGEST:
            raise RegistryError(f"{image.registry} sends more than a manifest can be", why=f"over {BIGGEST} bytes")
    return body
