"""A compose file as its rules see it: plain values with every default filled in, and the line of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from blackstack.catalog import template
from blackstack.catalog.lines import BrokenYamlError, line_of, read_yaml
from blackstack.errors import UsageError

Where = tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed file.

    Attributes:
        label: the file's name in what is said of it.
        tree: what the file holds, with lines.
        filled: variables that do not have their default: those of a profile.
        profile: the profile's name, or nothing.
        entrypoint: the words that the image starts with, where it is built here.
        read_by_launcher: variables that the image's own launcher reads, where it is built here.
    """

    label: str
    tree: CommentedMap
    filled: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""
    entrypoint: tuple[str, ...] = ()
    read_by_launcher: frozenset[str] = frozenset()

    def at(self, *where: int | str) -> str:
        """Return ``file:line`` of a key or an item, or of the nearest thing above it that has a line."""
        return f"{self.label}:{line_of(self.tree, where)}"

    @property
    def x(self) -> Mapping[str, Any]:
        """The ``x-stack`` block, or nothing."""
        return mapping(self.tree.get("x-stack"))

    def services(self) -> Iterator[Service]:
        """Yield each service."""
        for name, data in mapping(self.tree.get("services")).items():
            yield Service(document=self, name=str(name), raw=mapping(data))

    def text(self, value: object) -> str:
        """Return a value as Compose would hand it on, with every variable at its default; ``""`` for nothing."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        return default_of(str(value), self.filled)


@dataclass(frozen=True, kw_only=True)
class Service:
    """One service of a file."""

    document: Document
    name: str
    raw: Mapping[str, Any]

    def at(self, *where: int | str) -> str:
        """Return ``file:line`` of something in the service."""
        return self.document.at("services", self.name, *where)

    def text(self, *where: str) -> str:
        """Return the value at a path, with defaults filled in; ``""`` where there is none."""
        data: Any = self.raw
        for part in where:
            data = mapping(data).get(part)
        return self.document.text(data) if not isinstance(data, Mapping | list) else ""

    def items(self, key: str) -> list[tuple[int, Any]]:
        """Return the items of a list with their places; nothing where the key holds no list."""
        data = self.raw.get(key)
        return list(enumerate(data)) if isinstance(data, list) else []

    @property
    def is_server(self) -> bool:
        """Whether this is the service that the ``x-stack`` block is about."""
        return bool(self.document.x) and self.name == self.document.x.get("service", "server")

    @property
    def words(self) -> tuple[tuple[Where, str], ...]:
        """The words of entrypoint and command, each with its place; a command in one text is split at blanks."""
        found: list[tuple[Where, str]] = []
        if self.is_server and "entrypoint" not in self.raw:
            found += [(("image",), word) for word in self.document.entrypoint]
        for key in ("entrypoint", "command"):
            data = self.raw.get(key)
            if isinstance(data, list):
                found += [((key, place), self.document.text(word)) for place, word in enumerate(data)]
            elif isinstance(data, str):
                found += [((key,), word) for word in self.document.text(data).split()]
        return tuple(found)

    @property
    def environment(self) -> dict[str, tuple[Where, Any]]:
        """Each variable with its place and its value as written, whichever of the two forms the file has."""
        data = self.raw.get("environment")
        if isinstance(data, Mapping):
            return {str(name): (("environment", name), value) for name, value in data.items()}
        found: dict[str, tuple[Where, Any]] = {}
        for place, line in self.items("environment"):
            name, equals, value = str(line).partition("=")
            found[name] = (("environment", place), value if equals else None)
        return found

    @property
    def image(self) -> str:
        """The image's name, with defaults."""
        return self.text("image")


def default_of(text: str, values: Mapping[str, str]) -> str:
    """Fill in values and defaults; a variable that has to be given, ``${NAME:?message}``, is nothing.

    >>> default_of("${A:-x}${B:?is missing}", {})
    'x'
    """
    return template.fill(re.sub(r"\$\{\w+:?\?[^}]*\}", "", text), values)


def mapping(data: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return data if isinstance(data, Mapping) else {}


def variables_of(data: object, where: Where = ()) -> Iterator[tuple[Where, str]]:
    """Yield each text of a tree that has a variable, with its place."""
    if isinstance(data, str) and "$" in data:
        yield where, str(data)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from variables_of(value, (*where, key))
    elif isinstance(data, list | tuple):
        for place, value in enumerate(data):
            yield from variables_of(value, (*where, place))


def parse(path: Path, label: str) -> Document:
    """Read a compose file.

    Raises:
        UsageError: it is not there, or it is no compose file.
    """
    again = f"inv lint --file {label}"
    try:
        tree = read_yaml(path)
    except BrokenYamlError as error:
        raise UsageError(
            f"{label}:{error.line}: does not parse", why=error.reason, fix=f"mend that line, then: {again}"
        ) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"cannot read {label}", why=why, fix=["inv lint --file PATH", "inv lint   # ours"]) from error
    if not isinstance(tree, CommentedMap) or not isinstance(tree.get("services"), CommentedMap):
        raise UsageError(f"{label} is no compose file", why="it has no `services:`", fix="name a compose file")
    return Document(label=label, tree=tree)


def with_profile(document: Document, name: str) -> Document:
    """Return the document as a profile of its ``x-stack`` sets it."""
    values = mapping(mapping(mapping(document.x.get("profiles")).get(name)).get("set"))
    filled = {str(key): str(value) for key, value in values.items()}
    return replace(document, filled=filled, profile=name)


def seconds(text: str) -> float | None:
    """Return the seconds of a duration as Compose writes it, such as ``1m30s``; None when it is none.

    >>> seconds("1m30s")
    90.0
    """
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001, "us": 0.000001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * units[unit] for number, unit in parts)


def sequence(data: object) -> Sequence[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return data if isinstance(data, CommentedSeq | list | tuple) else ()
