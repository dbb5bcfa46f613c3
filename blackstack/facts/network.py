"""What the way out looks like: proxies, a company's certificates, the clock. Nobody is asked here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from blackstack import shell

_PATIENCE_S = 5.0
_CA = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_MIRRORS = ("HF_ENDPOINT", "PIP_INDEX_URL")
_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Network:
    """The settings that a download goes by.

    Attributes:
        proxies: ``http`` and ``https``, without user and password.
        direct: hosts that are reached without the proxy (NO_PROXY).
        certificates: the variables that name a CA bundle, and ``missing`` those whose file is not there.
        mirrors: other places than the usual ones to load from, without user and password.
        clock_kept: whether somebody keeps the clock right (timedatectl); None where nobody says.
    """

    proxies: Mapping[str, str]
    direct: tuple[str, ...]
    certificates: tuple[str, ...]
    missing: tuple[str, ...]
    mirrors: Mapping[str, str]
    clock_kept: bool | None

    @property
    def loopback_goes_through_proxy(self) -> bool:
        """Whether a program that obeys the variables would ask a proxy for this machine's own server."""
        return bool(self.proxies) and not any(name in (*_LOOPBACK, "*", "127.0.0.0/8") for name in self.direct)


def look(env: Mapping[str, str] = os.environ) -> Network:
    """Look at the settings."""
    proxies = {kind: without_password(url) for kind in ("http", "https") if (url := _either(env, f"{kind}_proxy"))}
    named = [(name, env[name]) for name in _CA if env.get(name)]
    return Network(
        proxies=proxies,
        direct=tuple(word.strip() for word in _either(env, "no_proxy").split(",") if word.strip()),
        certificates=tuple(name for name, _ in named),
        missing=tuple(f"{name}={path}" for name, path in named if not os.path.exists(path)),  # noqa: PTH110
        mirrors={name: without_password(env[name]) for name in _MIRRORS if env.get(name)},
        clock_kept=_clock_kept(),
    )


def without_password(url: str) -> str:
    """Return an address without user and password.

    >>> without_password("http://me:secret@proxy.example:3128/")
    'http://proxy.example:3128/'
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def read_clock(text: str) -> bool | None:
    """Return what ``timedatectl show`` says of the clock."""
    pairs = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {"yes": True, "no": False}.get(pairs.get("NTPSynchronized", ""))


def _clock_kept() -> bool | None:
    if shutil.which("timedatectl") is None:
        return None
    return read_clock(shell.capture(["timedatectl", "show"], timeout=_PATIENCE_S).out)


def _either(env: Mapping[str, str], name: str) -> str:
    return env.get(name) or env.get(name.upper()) or ""
