"""Text that may be shown to strangers: who and where is taken out, what happened stays.

The same name gets the same stand-in (``<host-1>``), so that a reader can still tell two hosts apart.
A version number that is mistaken for an address is a small loss; a token that is not seen is a large one.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SECRETIVE = r"[\w.-]*(?:token|secret|passw(?:or)?d|passwd|api[_-]?key|apikey|access[_-]?key|private[_-]?key|auth)"

# What is a secret by its own look, wherever it stands.
_TOKEN = re.compile(
    r"""
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
  | \b(?:
        hf_[A-Za-z0-9]{8,}                          # Hugging Face
      | (?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{8,}  # GitHub
      | glpat-[\w-]{8,}                             # GitLab
      | (?:sk|rk|pk)-[\w-]{12,}                     # OpenAI and those who copy its form
      | nvapi-[\w-]{8,}                             # NVIDIA
      | xox[abeoprs]-[\w-]{8,}                      # Slack
      | dckr_pat_[\w-]{8,}                          # Docker
      | (?:AKIA|ASIA)[A-Z0-9]{12,}                  # AWS
      | eyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]*             # a JSON web token
    )
    """,
    re.VERBOSE | re.DOTALL,
)
# What is a secret because of the words before it. `tokens=512` and `--max-tokens 5` are none.
_NAMED = re.compile(
    rf"""(?ix)
    (?P<name>
        (?<![\w-]) {_SECRETIVE} ["']? \s* [=:] \s*
      | --{_SECRETIVE} (?:\s+|=)
      | \b(?:Bearer|Basic)\s+
    )
    (?P<value> "[^"\n]*" | '[^'\n]*' | [^\s,;&)\]}}"']+ )
    """
)
_URL_LOGIN = re.compile(r"(?<=://)[^/\s:@]+(?::[^/\s@]*)?@")
_EMAIL_OR_LOGIN = re.compile(r"(?<![\w.+-])(?P<user>[\w.+-]+)@(?P<host>[A-Za-z0-9][\w.-]*)")
_HOME = re.compile(r"(?P<root>/home/|/Users/|\b[A-Za-z]:\\+Users\\+)(?P<name>[^/\\\s:;,'\"()\[\]<>]+)")
_NAMED_HOST = re.compile(r"(?i)(?P<name>\b(?:host|node|server)[ _-]?name[\"']?\s*[=:]\s*[\"']?)(?P<host>[\w.-]+)")
_NCCL_HOST = re.compile(r"(?m)(?:^|(?<=[\s|)]))(?P<host>[A-Za-z][\w.-]*)(?=:\d+:\d+ \[\d+\] NCCL)")
_PRIVATE_DOMAIN = re.compile(r"(?i)\b(?:[a-z0-9-]+\.)+(?:local|lan|internal|intranet|corp|home|localdomain|private)\b")
_IPV4 = re.compile(r"(?<![\d.])(?<!==)\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)")
_IPV6 = re.compile(r"(?i)(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?=[^\w:]|$))(?:%\w+)?(?![\w:])")
_MAC = re.compile(r"(?i)\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b")
_UUID = re.compile(r"(?i)\b(?:GPU-|MIG-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b")

_NOBODY = frozenset({"localhost", "0", "unknown", "none", "null", "true", "false", "root", "ubuntu"})
_NOWHERE = re.compile(r"127\.|255\.|0\.0\.0\.0$")


class Redactor:
    """Takes secrets and names out of texts that belong together, line by line or whole.

    Args:
        names: what else must not be seen: this machine's host name, the user's name.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._stand_ins: dict[str, dict[str, str]] = defaultdict(dict)
        known = sorted({n for n in names if len(n) > 2 and n.lower() not in _NOBODY}, key=len, reverse=True)  # noqa: PLR2004
        self._names = (
            re.compile(r"(?i)(?<![\w-])(?:" + "|".join(map(re.escape, known)) + r")(?![\w-])") if known else None
        )

    def __call__(self, text: str) -> str:
        """Return *text* without secrets, homes, hosts and addresses."""
        text = _TOKEN.sub("<secret>", text)
        text = _NAMED.sub(self._secret, text)
        text = _URL_LOGIN.sub("<secret>@", text)
        text = _HOME.sub(lambda m: m["root"] + self._name("user", m["name"]), text)
        text = _UUID.sub(lambda m: self._name("uuid", m[0]), text)
        text = _MAC.sub(lambda m: self._name("mac", m[0]), text)
        text = _IPV6.sub(self._ipv6, text)
        text = _IPV4.sub(self._ipv4, text)
        text = _EMAIL_OR_LOGIN.sub(self._login, text)
        text = _NAMED_HOST.sub(lambda m: m["name"] + self._host(m["host"]), text)
        text = _NCCL_HOST.sub(lambda m: self._host(m["host"]), text)
        text = _PRIVATE_DOMAIN.sub(lambda m: self._host(m[0]), text)
        return self._names.sub(lambda m: self._name("name", m[0].lower()), text) if self._names else text

    def _name(self, kind: str, original: str) -> str:
        known = self._stand_ins[kind]
        return known.setdefault(original, f"<{kind}-{len(known) + 1}>")

    def _host(self, host: str) -> str:
        return host if host.lower() in _NOBODY else self._name("host", host)

    @staticmethod
    def _secret(match: re.Match[str]) -> str:
        value = match["value"].strip("\"'")
        return match[0] if value.lower() in _NOBODY | {"", "<secret>"} else f"{match['name']}<secret>"

    def _login(self, match: re.Match[str]) -> str:
        if match["user"].startswith("sha256") or match["host"].startswith("sha256"):
            return match[0]  # an image's digest
        return f"{self._name('user', match['user'])}@{self._host(match['host'])}"

    def _ipv4(self, match: re.Match[str]) -> str:
        return match[0] if _NOWHERE.match(match[0]) else self._name("ip", match[0])

    def _ipv6(self, match: re.Match[str]) -> str:
        try:
            address = ipaddress.IPv6Address(match[0].partition("%")[0])
        except ValueError:
            return match[0]  # a time, or a name in C++
        return match[0] if address.is_loopback or address.is_unspecified else self._name("ip", match[0])
