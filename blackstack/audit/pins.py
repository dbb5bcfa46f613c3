"""Read what a distribution demands of others: just enough of PEP 440 and PEP 508 to judge installed versions.

The standard library has neither, and an audit that runs in any image's build stage cannot ask for
``packaging``. The tests hold this against ``packaging`` itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = re.compile(
    r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.IGNORECASE,
)
_STAGES = {"alpha": "a", "beta": "b", "preview": "rc", "pre": "rc", "c": "rc"}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(.*)", re.DOTALL)
_CLAUSE = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,)]+)")
_TOKEN = re.compile(r"\s*(\(|\)|[<>=!~]=+|[<>]|'[^']*'|\"[^\"]*\"|[\w.]+)")

Release = tuple[int, ...]


@dataclass(frozen=True)
class Version:
    """A version that can be ordered; the local part (``+cu128``) is kept apart."""

    text: str
    epoch: int
    release: Release
    pre: tuple[str, int] | None
    post: int | None
    dev: int | None
    local: str

    @property
    def key(self) -> tuple[object, ...]:
        """Order as PEP 440 does, without the local part: dev < pre < final < post."""
        early = self.post is None and self.dev is not None
        pre = self.pre or (("", 0) if early else ("~", 0))
        return (
            self.epoch,
            _trim(self.release),
            pre,
            -1 if self.post is None else self.post,
            float("inf") if self.dev is None else self.dev,
        )

    @property
    def minor(self) -> tuple[int, int]:
        """The first two numbers: what decides about torch's C++ ABI."""
        return (*self.release, 0, 0)[:2]  # type: ignore[return-value]


@dataclass(frozen=True)
class Requirement:
    """``name<clauses>; marker``, read but not judged."""

    name: str
    clauses: tuple[tuple[str, str], ...]
    marker: str
    text: str

    def met_by(self, version: str) -> bool:
        """Does an installed VERSION satisfy every clause? One that cannot be read satisfies all."""
        have = parse(version)
        return have is None or all(_holds(have, op, wanted) for op, wanted in self.clauses)

    def newer_than(self, version: str) -> bool:
        """Does it ask for a later minor release than VERSION?"""
        have = parse(version)
        floors = [parse(text.removesuffix(".*")) for op, text in self.clauses if op in {"==", "===", "~=", ">=", ">"}]
        return have is not None and any(floor is not None and floor.minor > have.minor for floor in floors)

    @property
    def exact(self) -> str:
        """The version of an ``==`` clause, or nothing."""
        return next((v for op, v in self.clauses if op in {"==", "==="} and not v.endswith(".*")), "")

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Does the marker hold? One that cannot be read does."""
        try:
            return not self.marker or _Marker(self.marker, environment).value()
        except (ValueError, IndexError, RecursionError):
            return True


def parse(text: str) -> Version | None:
    """Read a version; None if it is none."""
    found = _VERSION.fullmatch(text.strip())
    if not found:
        return None
    epoch, release, stage, number, implicit, post, post_number, dev, dev_number, local = found.groups()
    return Version(
        text=text.strip(),
        epoch=int(epoch or 0),
        release=tuple(int(part) for part in release.split(".")),
        pre=(_STAGES.get(stage.lower(), stage.lower()), int(number or 0)) if stage else None,
        post=int(implicit or post_number or 0) if implicit or post else None,
        dev=int(dev_number or 0) if dev else None,
        local=re.sub(r"[-_]", ".", (local or "").lower()),
    )


def requirement(text: str) -> Requirement | None:
    """Read one ``Requires-Dist``; None if it is none or points to a URL."""
    head, _, marker = text.partition(";")
    found = _REQUIREMENT.fullmatch(head)
    if not found or found[2].startswith("@"):
        return None
    return Requirement(canonical(found[1]), tuple(_CLAUSE.findall(found[2])), marker.strip(), text)


def canonical(name: str) -> str:
    """Spell a project name as indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _trim(release: Release) -> Release:
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    return release


def _holds(have: Version, op: str, text: str) -> bool:  # noqa: PLR0911 - one return an operator
    if op == "===":
        return have.text.lower() == text.lower()
    if text.endswith(".*"):
        wanted = parse(text[:-2])
        return wanted is None or _starts(have, wanted, len(wanted.release)) == (op == "==")
    wanted = parse(text)
    if wanted is None:
        return True
    same = have.key == wanted.key and (not wanted.local or have.local == wanted.local)
    match op:
        case "==":
            return same
        case "!=":
            return not same
        case "~=":
            return have.key >= wanted.key and _starts(have, wanted, len(wanted.release) - 1)
        case "<=":
            return have.key <= wanted.key
        case ">=":
            return have.key >= wanted.key
        case "<":  # 2.9.0rc1 is not below 2.9
            return have.key < wanted.key and not _early(have, wanted)
        case _:  # 2.9.post1 is not above 2.9
            return have.key > wanted.key and not _late(have, wanted)


def _early(have: Version, of: Version) -> bool:
    """Is it on the way to OF, which is a release? Of a post-release only its own development versions are."""
    if of.pre is not None or of.dev is not None or _trim(have.release) != _trim(of.release):
        return False
    if of.post is None:
        return have.pre is not None or have.dev is not None
    return have.pre is None and have.post == of.post and have.dev is not None


def _late(have: Version, of: Version) -> bool:
    """Is it a post-release of OF, which is none itself?"""
    same = _trim(have.release) == _trim(of.release) and have.pre == of.pre
    return same and have.post is not None and of.post is None and of.dev is None


def _starts(have: Version, wanted: Version, length: int) -> bool:
    padded = have.release + (0,) * length
    return have.epoch == wanted.epoch and padded[:length] == wanted.release[:length]


class _Marker:
    """A recursive descent over ``a == "x" and (b < "3" or extra == "y")``."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._environment = environment

    def value(self) -> bool:
        result = self._all()
        while self._tokens[:1] == ["or"]:
            self._tokens.pop(0)
            result = self._all() or result
        return result

    def _all(self) -> bool:
        result = self._one()
        while self._tokens[:1] == ["and"]:
            self._tokens.pop(0)
            result = self._one() and result
        return result

    def _one(self) -> bool:
        if self._tokens[0] == "(":
            self._tokens.pop(0)
            result = self.value()
            self._tokens.pop(0)
            return result
        left, op = self._side(), self._tokens.pop(0)
        if op == "not":
            op = f"not {self._tokens.pop(0)}"
        right = self._side()
        if op in {"in", "not in"}:
            return bool((left in right) == (op == "in"))
        have = parse(left)
        if have is not None and parse(right.removesuffix(".*")) is not None:
            return _holds(have, op, right)
        return left == right if op == "==" else left != right

    def _side(self) -> str:
        token = self._tokens.pop(0)
        return token[1:-1] if token[0] in "'\"" else self._environment.get(token, "")
