"""``${VAR:-default}`` as Docker Compose reads it, for the runtime that has no Compose.

The forms are those of https://docs.docker.com/reference/compose-file/interpolation/; nested ones are refused, so
that every knob has one plain default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<operator>:?[-?+])(?P<word>[^{}]*))?\}|(?P<bad>))"
)


def variables(data: object) -> Iterator[tuple[str, str | None]]:
    """Yield each variable of a tree of strings with its default, or None where it has none.

    Raises:
        ValueError: for a ``$`` that Compose would not understand, or that we do not.
    """
    for text in strings(data):
        for match in _VARIABLE.finditer(text):
            if match["bad"] is not None:
                raise ValueError(f"cannot read the variable at {text[match.start() :][:30]!r}; write a lone $ as $$")
            if name := match["bare"] or match["name"]:
                yield name, match["word"] if match["operator"] in {":-", "-"} else None


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables of a string; an empty value counts as unset in the forms with a colon.

    >>> fill("${BIND:-127.0.0.1}:$PORT $$5", {"PORT": "8080"})
    '127.0.0.1:8080 $5'
    """

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        value = values.get(match["bare"] or match["name"])
        operator, word = match["operator"] or "", match["word"] or ""
        is_set = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return word if is_set else ""
        return (value or "") if is_set else word

    return _VARIABLE.sub(replace, text)


def marks(data: object) -> Iterator[str]:
    """Yield the name of each ``{KNOB}`` of a tree of strings; names in small letters are places, not knobs."""
    for text in strings(data):
        yield from re.findall(r"(?<!\$)\{([A-Z][A-Z0-9_]*)\}", text)


def strings(data: object) -> Iterator[str]:
    """Yield the strings of a tree of mappings and lists, keys excepted."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from strings(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from strings(value)


def filled(data: Any, values: Mapping[str, str]) -> Any:  # noqa: ANN401 - a tree of YAML, whatever it holds
    """Return a copy of the tree with the variables of all its strings replaced."""
    if isinstance(data, str):
        return fill(data, values)
    if isinstance(data, Mapping):
        return {key: filled(value, values) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [filled(value, values) for value in data]
    return data
