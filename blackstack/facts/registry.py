"""What a registry says of an image that is not here: manifest and configuration, some kilobytes, nothing pulled.

Anonymous, as `docker pull` without a login: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import json
import platform
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from blackstack.facts.image import ImageFacts, read_env

PATIENCE_S = 5.0
_ACCEPT = ", ".join(
    f"application/{kind}+json"
    for kind in (
        "vnd.oci.image.index.v1",
        "vnd.docker.distribution.manifest.list.v2",
        "vnd.oci.image.manifest.v1",
        "vnd.docker.distribution.manifest.v2",
    )
)
_OBJECT = re.compile(r"^(<[^>]*>|\w+\([^)]*\)): ")  # whose error it is, as the library writes it
_LARGEST = 4 << 20  # a configuration is some kilobytes; whatever is larger is none
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An image's name, taken apart.

    >>> Reference.of("vllm/vllm-openai:v0.11.0")
    Reference(registry='registry-1.docker.io', repository='vllm/vllm-openai', version='v0.11.0')
    >>> Reference.of("python")
    Reference(registry='registry-1.docker.io', repository='library/python', version='latest')
    >>> Reference.of("localhost:5000/a/b@sha256:00").version
    'sha256:00'
    """

    registry: str
    repository: str
    version: str

    @classmethod
    def of(cls, name: str) -> Reference:
        """Take a name apart, as Docker does: a first part with a dot or a colon is a registry."""
        name, _, digest = name.partition("@")
        first, slash, rest = name.partition("/")
        is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
        registry, path = (first, rest) if is_registry else ("docker.io", name)
        path, _, tag = path.partition(":")
        if registry in {"docker.io", "index.docker.io"}:
            registry = "registry-1.docker.io"
            path = path if "/" in path else f"library/{path}"
        return cls(registry=registry, repository=path, version=digest or tag or "latest")


class NotToldError(Exception):
    """The registry did not tell; ``problem`` is a slug, the message a sentence."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def look(name: str, *, timeout: float = PATIENCE_S) -> ImageFacts:
    """Ask the registry of an image for its variables; never raises.

    ``problem`` of the answer is ``dns``, ``unreachable``, ``certificate``, ``missing``, ``private``, ``rate-limit``,
    ``strange``, or empty.
    """
    reference = Reference.of(name)
    clock: list[float] = []
    try:
        with requests.Session() as session:
            env = _Asking(session, reference, timeout, clock).variables()
    except NotToldError as error:
        facts = ImageFacts(name=name, problem=error.problem, unknown=str(error))
    except requests.exceptions.SSLError as error:
        facts = ImageFacts(name=name, problem="certificate", unknown=_short(error))
    except requests.exceptions.RequestException as error:
        facts = ImageFacts(name=name, problem=_why(reference.registry, error), unknown=_short(error))
    else:
        facts = read_env(name, "registry", env)
    return replace(facts, clock_off_s=clock[0] if clock else None)


@dataclass(frozen=True)
class _Asking:
    """One conversation with a registry."""

    session: requests.Session
    reference: Reference
    timeout: float
    clock: list[float]

    def variables(self) -> list[str]:
        manifest = self._get(f"manifests/{self.reference.version}", {"Accept": _ACCEPT})
        if "manifests" in manifest:
            manifest = self._get(f"manifests/{_ours(manifest['manifests'])}", {"Accept": _ACCEPT})
        digest = str(_mapping(manifest.get("config")).get("digest", ""))
        if not digest:
            raise NotToldError("strange", "the registry's manifest names no configuration")
        config = self._get(f"blobs/{digest}", {})
        env = _mapping(config.get("config")).get("Env") or []
        if not isinstance(env, list):
            raise _of_another_shape()
        return [str(pair) for pair in env]

    def _get(self, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        scheme = "http" if self.reference.registry.partition(":")[0] in {"localhost", "127.0.0.1"} else "https"
        url = f"{scheme}://{self.reference.registry}/v2/{self.reference.repository}/{path}"
        answer = self._ask(url, headers=dict(headers))
        self._compare_clocks(answer)
        if answer.status_code == _UNAUTHORISED and "Authorization" not in self.session.headers:
            self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = self._ask(url, headers=dict(headers))
        return _json(answer, self.reference)

    def _ask(self, url: str, **more: Any) -> requests.Response:  # noqa: ANN401 - the library's own words
        """Return an answer whose body is still to be read: it may have no end."""
        return self.session.get(url, timeout=self.timeout, stream=True, **more)

    def _log_in(self, challenge: str) -> None:
        """Get the token that a registry gives to anybody."""
        said = dict(_CHALLENGE.findall(challenge))
        realm = said.pop("realm", "")
        if urlsplit(realm).scheme not in {"http", "https"}:
            raise NotToldError("private", "the registry wants a login")
        told = _json(self._ask(realm, params=said), self.reference)
        token = told.get("token") or told.get("access_token") or ""
        self.session.headers["Authorization"] = f"Bearer {token}"

    def _compare_clocks(self, answer: requests.Response) -> None:
        if "Date" in answer.headers and not self.clock:
            try:
                self.clock.append(time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp())
            except ValueError:
                return


def _json(answer: requests.Response, reference: Reference) -> dict[str, Any]:
    if answer.status_code in {_UNAUTHORISED, _FORBIDDEN}:
        raise NotToldError("private", f"{reference.registry} does not show {reference.repository} without a login")
    if answer.status_code == _NOT_FOUND:
        raise NotToldError("missing", f"{reference.registry} has no {reference.repository}:{reference.version}")
    if answer.status_code == _TOO_MANY:
        raise NotToldError("rate-limit", f"{reference.registry}: too many requests from this address")
    if not answer.ok:
        raise NotToldError("strange", f"{reference.registry} answered {answer.status_code}")
    body = bytearray()
    for piece in answer.iter_content(1 << 16):
        body += piece
        if len(body) > _LARGEST:
            raise NotToldError("strange", f"{reference.registry} sent more than {_LARGEST >> 20} MiB of JSON")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise NotToldError("strange", f"{reference.registry} answered with something that is no JSON") from None
    return told if isinstance(told, dict) else {}


def _mapping(data: object) -> dict[str, Any]:
    """Return a mapping of somebody else's JSON, or say that it is none; nothing is an empty one."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise _of_another_shape()
    return data


def _of_another_shape() -> NotToldError:
    return NotToldError("strange", "the registry's answer has not the shape of a manifest")


def _ours(manifests: object) -> str:
    """Return the digest for this machine's processor."""
    if not isinstance(manifests, list):
        raise _of_another_shape()
    machine = _MACHINES.get(platform.machine(), platform.machine())
    for one in map(_mapping, manifests):
        if _mapping(one.get("platform")).get("architecture") == machine:
            return str(one.get("digest", ""))
    raise NotToldError("missing", f"the image is not made for {machine}")


def _why(registry: str, error: Exception) -> str:
    """Tell a name that nobody knows from a machine that does not answer; through a proxy, names are the proxy's."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "unreachable"
    try:
        socket.getaddrinfo(registry.partition(":")[0], 443)
    except OSError:
        return "dns"
    return "unreachable"


def _short(error: Exception) -> str:
    """Return the innermost reason: the library wraps each in three more."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    text = str(getattr(reason, "reason", None) or reason)
    return _OBJECT.sub("", text)[:200] or type(error).__name__
