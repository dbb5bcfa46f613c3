r"""The texts that a regular expression cannot match without.

A log of a gigabyte holds a few interesting lines. Looking for plain text is some hundred times cheaper than
trying hundreds of regular expressions on each line, so every pattern is first reduced to its *anchors*: plain
texts one of which each match contains. Only where an anchor occurs is the pattern itself tried.

::

    Free memory on device .* is less than    →  free memory on device
    (?:gcc|clang)\S*: (?:not|never) found     →  gcc, clang

Anchors are read off the pattern, not written beside it, so that the two cannot drift apart.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST = 4
"""An anchor below this length would occur on too many lines to be a filter."""

_CLASSES = "dDwWsSbB"
_TOKEN = re.compile(
    r"""
    (?P<escape>   \\.                              )
  | (?P<set>      \[ \^? \]? (?: \\. | [^\]\\] )* \] )
  | (?P<look>     \( \? <? [=!]                    )
  | (?P<open>     \( (?: \? [a-z-]* : )?           )
  | (?P<close>    \)                               )
  | (?P<optional> [*?] | \{ [^}]* \}               )
  | (?P<repeat>   \+                               )
  | (?P<either>   \|                               )
  | (?P<free>     [.^$]                            )
  | (?P<plain>    .                                )
    """,
    re.VERBOSE | re.DOTALL,
)

# A pattern is read as alternatives of sequences of items. An item is a character, a group, or a hole (None).
_Group = list[list["str | _Group | None"]]


def anchors(pattern: str) -> frozenset[str]:
    """Return texts, in lower case, one of which every match of *pattern* contains.

    Raises:
        ValueError: the pattern is no regular expression, or can match without `SHORTEST` plain characters.
    """
    compiled(pattern)
    found = _of_group(_parse(_TOKEN.finditer(pattern)))
    if _shortest(found) < SHORTEST:
        raise ValueError(f"matches without {SHORTEST} plain characters in a row, so it cannot be searched for fast")
    return found


def compiled(regex: str) -> re.Pattern[bytes]:
    """Compile *regex* for the bytes of a log, where letter case does not matter.

    Raises:
        ValueError: it is no regular expression, or cannot be one for bytes.
    """
    if not regex.isascii():
        raise ValueError("patterns are plain ASCII, because logs are matched as bytes")
    try:
        return re.compile(regex.encode(), re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error


def _parse(tokens: Iterator[re.Match[str]]) -> _Group:
    """Read the tokens of one group, up to the bracket that closes it."""
    group: _Group = [[]]
    for token in tokens:
        kind, text = token.lastgroup, token.group()
        if kind == "close":
            break
        if kind == "either":
            group.append([])
        elif kind == "open":
            group[-1].append(_parse(tokens))
        elif kind == "look":
            _parse(tokens)  # looks, but takes nothing in
            group[-1].append(None)
        elif kind == "optional":
            if not group[-1]:
                raise ValueError("named groups, comments and flags without a colon are not used here")
            group[-1][-1] = None  # what may be absent is a hole
        elif kind in {"set", "free", "repeat"}:
            group[-1].append(None)
        else:
            group[-1].append(_escaped(text[1]) if kind == "escape" else text)
    return group


def _of_group(group: _Group) -> frozenset[str]:
    """One text of each alternative: any of them may be the one that matches."""
    return frozenset[str]().union(*map(_of_sequence, group))


def _of_sequence(sequence: list[str | _Group | None]) -> frozenset[str]:
    """The best of what all matches of a sequence contain: a run of characters, or what a group needs."""
    candidates = [frozenset({""})]
    for kind, items in itertools.groupby(sequence, key=type):
        if kind is str:
            candidates.append(frozenset({"".join(map(str, items)).lower()}))
        else:
            candidates += [_of_group(item) for item in items if isinstance(item, list)]
    return max(candidates, key=_shortest)


def _shortest(texts: frozenset[str]) -> int:
    return min(map(len, texts), default=0)


def _escaped(character: str) -> str | None:
    if character in _CLASSES:
        return None
    if character.isalnum():
        raise ValueError(f"\\{character} is not used here; known: {' '.join(_CLASSES)}")
    return character
