"""Who may ask: the credentials that ``docker login`` keeps, and the tokens that registries give for them.

Token flow: https://distribution.github.io/distribution/spec/auth/token/. Nothing of it is ever printed.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from blackstack.loopback import is_loopback
from blackstack.registry.reference import HUB
from blackstack.registry.refusal import RegistryError

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Login:
    """What ``docker login`` noted for a registry; all empty for anybody."""

    user: str = ""
    password: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.password or self.refresh)


def login_for(registry: str) -> Login:
    """Return docker's own credentials for a registry, from its configuration or its credential helper.

    Raises:
        RegistryError: the credential helper failed.
    """
    from docker import auth, errors  # noqa: PLC0415 - a quarter of a second that only who asks should pay

    try:
        with warnings.catch_warnings():  # of a helper that is missing; the error below says it
            warnings.simplefilter("ignore", UserWarning)
            noted = auth.load_config().resolve_authconfig(None if registry == HUB else registry) or {}
    except errors.DockerException as error:
        helper = "the credential helper that docker's configuration names does not work"
        fix = f"docker login {registry}"
        raise RegistryError(helper, problem="private", why=str(error)[:200], fix=fix) from error
    low = {key.lower(): str(value or "") for key, value in noted.items()}
    user, secret = low.get("username", ""), low.get("password", "")
    if user == auth.TOKEN_USERNAME:  # how a helper says that its secret is a token
        return Login(refresh=secret)
    return Login(user=user, password=secret, refresh=low.get("identitytoken", ""))


def bearer(session: requests.Session, challenge: str, login: Login, *, scope: str, timeout: float) -> str:
    """Return a token for what a ``WWW-Authenticate`` header asks for; empty where none is to be had.

    Raises:
        requests.RequestException: who gives the tokens does not answer.
    """
    asked = dict(_PARAMETER.findall(challenge))
    realm = asked.get("realm", "")
    if urlsplit(realm).scheme not in {"https", "http"}:
        return ""
    words = {"service": asked.get("service", ""), "scope": asked.get("scope") or scope}
    plain = urlsplit(realm).scheme == "http" and not is_loopback(urlsplit(realm).hostname or "")
    if login.refresh and not plain:
        form = {**words, "grant_type": "refresh_token", "client_id": "blackstack", "refresh_token": login.refresh}
        answer = session.post(realm, data=form, timeout=timeout)
    else:  # a secret never goes over the network in the clear
        basic = (login.user, login.password) if login.password and not plain else None
        answer = session.get(realm, params=words, auth=basic, timeout=timeout)
    if answer.status_code >= requests.codes.server_error or answer.status_code == requests.codes.too_many_requests:
        answer.raise_for_status()
    told = answer.json() if answer.ok else {}
    return str(told.get("token") or told.get("access_token") or "") if isinstance(told, dict) else ""
