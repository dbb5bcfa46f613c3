"""Where the load goes: a server's URL, the model to ask for, and the key, which is never shown."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from blackstack.errors import UsageError

EXAMPLE = "http://127.0.0.1:8080"


@dataclass(frozen=True, kw_only=True)
class Target:
    """An OpenAI-compatible server.

    Attributes:
        url: its root, with or without a trailing ``/v1``.
        model: the name to ask for; ``None`` means «the only one that is served».
        api_key: sent as a bearer token; absent from ``repr`` and from every result.
        noise: its text means nothing, because its weights are random: then degenerate text is no failure.
    """

    url: str = EXAMPLE
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    noise: bool = False

    @property
    def address(self) -> Address:
        """Return the parts of the URL, or raise UsageError for what is none."""
        return Address.of(self.url)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A URL, taken apart once.

    Attributes:
        base: the path before ``/v1``, without a trailing slash; usually empty.
    """

    host: str
    port: int
    tls: bool
    base: str

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{url!r} is not a URL", why=str(error), fix=f"write it like {EXAMPLE}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"{url!r} is not the URL of a server",
                why="it needs http:// or https:// and a host",
                fix=f"write it like {EXAMPLE}",
            )
        if parts.username or parts.password:
            raise UsageError(
                "a URL with a name or a password in it would stand in the result",
                why="a result is shown to others; a key goes through the environment",
                fix=f"--url {parts.scheme}://{parts.hostname} --api-key-env NAME",
            )
        tls = parts.scheme == "https"
        base = parts.path.rstrip("/").removesuffix("/v1")
        return cls(host=parts.hostname, port=port or (443 if tls else 80), tls=tls, base=base)

    @property
    def authority(self) -> str:
        """Return what the ``Host`` header carries."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def root(self) -> str:
        """Return the server's URL without a path."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.base}"

    def tls_context(self) -> ssl.SSLContext | None:
        """Return how to verify the server's certificate, or None for plain HTTP."""
        return ssl.create_default_context() if self.tls else None
