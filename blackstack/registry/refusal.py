"""What it means when a registry does not tell: there is no such image, or nobody could be asked, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import requests

from blackstack.errors import BlackstackError, BlockedError
from blackstack.registry.reference import Reference

Problem = Literal["dns", "unreachable", "certificate", "private", "rate-limit", "strange"]


class RegistryError(BlockedError):
    """Nobody could be asked, or the answer could not be believed: nothing is known of the image.

    Attributes:
        problem: why, for programs.
    """

    def __init__(
        self, what: str, *, problem: Problem = "strange", why: str | Sequence[str] = (), fix: str | Sequence[str] = ()
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.problem: Problem = problem


class NotThereError(BlackstackError):
    """The registry answered: there is no such image."""

    exit_code = 1


def refuse(image: Reference, code: int, headers: Mapping[str, str]) -> None:
    """Raise for every answer that is none.

    Args:
        image: what was asked about.
        code: HTTP's.
        headers: the answer's.

    Raises:
        NotThereError: there is no such image.
        RegistryError: the registry does not tell.
    """
    if code == requests.codes.ok:
        return
    if code == requests.codes.not_found:
        raise NotThereError(f"{image.registry} has no {image}")
    if code == requests.codes.too_many_requests:
        wait = headers.get("Retry-After", "")
        raise RegistryError(
            f"{image.registry} answers no more questions for now: too many were asked from here",
            problem="rate-limit",
            why=f"it says: again in {wait} s" if wait.isdecimal() else "HTTP 429",
            fix=f"wait, or: docker login {image.registry}",
        )
    if code in {requests.codes.unauthorized, requests.codes.forbidden}:
        raise RegistryError(
            f"{image.registry} does not let us see {image.name}",
            problem="private",
            why=f"HTTP {code}: it is private, or it does not exist",
            fix=f"docker login {image.registry}   # its credentials are used, and never printed",
        )
    raise RegistryError(f"the registry {image.registry} answers with HTTP {code}", fix="try again later")


def unreachable(image: Reference, error: Exception) -> RegistryError:
    """Return the error for a question that got no answer: why, in words of ours or in those of the network."""
    text = str(error)
    problem, why = next(((row[1], row[2]) for row in _CAUSES if row[0] in text), ("unreachable", _innermost(error)))
    return RegistryError(
        f"the registry {image.registry} could not be asked about {image.name}",
        problem=problem,
        why=why,
        fix="is the network there? proxies: HTTPS_PROXY, a company's certificates: REQUESTS_CA_BUNDLE",
    )


# Behind a proxy the names are the proxy's to resolve, so that its row stands first.
_CAUSES: tuple[tuple[str, Problem, str], ...] = (
    ("ProxyError", "unreachable", "the proxy does not let us through"),
    ("CERTIFICATE_VERIFY_FAILED", "certificate", "it shows a certificate that is not trusted here"),
    ("NameResolutionError", "dns", "its name cannot be resolved"),
    ("Name or service not known", "dns", "its name cannot be resolved"),
    ("Temporary failure in name resolution", "dns", "its name cannot be resolved"),
    ("Connection refused", "unreachable", "nobody listens there"),
    ("timed out", "unreachable", "it does not answer"),
)
_OBJECT = re.compile(r"^(<[^>]*>|\w+\([^)]*\)): ")  # whose error it is, as the library writes it


def _innermost(error: Exception) -> str:
    """Return the innermost reason: the library wraps each in three more."""
    reason: BaseException = error
    while reason.args and isinstance(reason.args[0], BaseException):
        reason = reason.args[0]
    text = str(getattr(reason, "reason", None) or reason)
    return _OBJECT.sub("", text)[:200] or type(error).__name__
