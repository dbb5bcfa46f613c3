"""A command line, read as the engine's own argparse would read it: which flag each word means, and its values.

The rules are those of ``argparse.ArgumentParser._parse_optional`` and ``_get_option_tuples`` (a test holds the two
against each other), and for vLLM those of its ``FlexibleArgumentParser``, which rewrites the words before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from blackstack.flags.known import Flag, Known

How = Literal["exact", "abbreviated", "ambiguous", "unknown"]
_LEVEL = "--optimization-level"  # what vLLM makes of -O
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


@dataclass(frozen=True, kw_only=True)
class Use:
    """A flag on a command line.

    Attributes:
        at: which word it is, from 0.
        word: what was written, without a value behind ``=``.
        how: how the parser came to the flag.
        flag: what it means; None when it is ambiguous or unknown.
        candidates: what it may mean, when it is ambiguous.
        values: what it takes, as words.
        inline: whether the value stood behind ``=``.
        key: the part behind the dot of ``--flag.key``.
    """

    at: int
    word: str
    how: How
    flag: Flag | None = None
    candidates: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    inline: bool = False
    key: str = ""

    @property
    def lacks_value(self) -> bool:
        """Whether the flag wants more values than there are."""
        if self.flag is None or self.key:
            return bool(self.key) and not self.values
        nargs = self.flag.nargs
        wanted = {None: 1, "+": 1, "?": 0, "*": 0}.get(nargs, 0) if not isinstance(nargs, int) else nargs
        return len(self.values) < wanted

    @property
    def has_needless_value(self) -> bool:
        """Whether a value stands behind ``=`` of a flag that takes none."""
        return self.inline and self.flag is not None and self.flag.nargs == 0 and not self.key


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A command line, read: its flags, and the words that no flag takes, each with its place."""

    uses: tuple[Use, ...]
    loose: tuple[tuple[int, str], ...]


def read(words: Sequence[str], known: Known) -> Reading:
    """Read the words behind the program's name."""
    uses: list[Use] = []
    loose: list[tuple[int, str]] = []
    at = 0
    while at < len(words):
        if words[at] == "--":
            loose += list(enumerate(words[at + 1 :], at + 1))
            break
        use = _option(words[at], at, known)
        at += 1
        if use is None:
            loose.append((at - 1, words[at - 1]))
            continue
        if not use.inline:
            taken = _values(words[at:], use, known)
            at += len(taken)
            use = _with(use, taken)
        uses.append(use)
    return Reading(uses=tuple(uses), loose=tuple(loose))


def meaning(name: str, known: Known) -> tuple[How, Flag | None, tuple[str, ...]]:
    """Say which flag a name means, as argparse decides it: exactly, by its beginning, or not.

    The third part names the option strings that begin so.
    """
    if name in known.by_name:
        return "exact", known.by_name[name], (name,)
    if not known.allow_abbrev or not name.startswith("--"):
        return "unknown", None, ()
    longer = tuple(option for option in known.by_name if option.startswith(name))
    if len(longer) == 1:
        return "abbreviated", known.by_name[longer[0]], longer
    return ("ambiguous", None, longer) if longer else ("unknown", None, ())


def _option(word: str, at: int, known: Known) -> Use | None:
    """Return the use that a word begins, or None for a word that is a value or stands alone."""
    if not word.startswith("-") or len(word) == 1 or _is_negative(word, known):
        return None
    name, equals, value = word.partition("=")
    key = ""
    if known.flexible:
        name, key = _flexible(name)
        if re.match("-O.", word) and word[2] != ".":  # -O3 and -O=3
            name, key, equals, value = _LEVEL, "", "=", word[2:].removeprefix("=")
        elif word == "-O":
            name = _LEVEL
    how, flag, candidates = meaning(name, known)
    if how == "unknown" and not name.startswith("--"):
        how, flag, name, value, equals = _short(word, name, known, value, equals)
    if how == "unknown" and " " in word:
        return None
    return Use(
        at=at,
        word=name,
        how=how,
        flag=flag,
        candidates=candidates if how == "ambiguous" else (),
        values=(value,) if equals else (),
        inline=bool(equals),
        key=key,
    )


def _flexible(name: str) -> tuple[str, str]:
    """Rewrite a name as vLLM's parser does: dashes for underscores up to the first dot; split at the dot."""
    head, _, key = name.partition(".")
    return (head.replace("_", "-") if head.startswith("--") else head), key


def _short(word: str, name: str, known: Known, value: str, equals: str) -> tuple[How, Flag | None, str, str, str]:
    """Read ``-q8`` as ``-q`` with the value 8, as argparse does for options with one dash."""
    short = known.by_name.get(word[:2])
    if short is not None and short.nargs != 0:
        return "exact", short, word[:2], word[2:], "="
    return "unknown", None, name, value, equals


def _values(rest: Sequence[str], use: Use, known: Known) -> tuple[str, ...]:
    """Return the words behind a flag that it takes for its values."""
    available: list[str] = []
    for word in rest:
        if word == "--" or _option(word, 0, known) is not None:
            break
        available.append(word)
    if use.key:
        # vLLM takes the next word for the value of `--flag.key`, whatever it is.
        return tuple(rest[:1])
    if use.flag is None:
        return tuple(available[:1])  # nobody knows; most flags take one
    nargs = use.flag.nargs
    if nargs in {"*", "+"}:
        return tuple(available)
    return tuple(available[: 1 if nargs in {None, "?"} else int(str(nargs))])


def _with(use: Use, values: tuple[str, ...]) -> Use:
    return Use(
        at=use.at,
        word=use.word,
        how=use.how,
        flag=use.flag,
        candidates=use.candidates,
        values=values,
        key=use.key,
    )


def _is_negative(word: str, known: Known) -> bool:
    """Tell a negative number from a flag; a parser that has a flag such as ``-1`` takes it for that."""
    return _NEGATIVE.fullmatch(word) is not None and not any(_NEGATIVE.fullmatch(name) for name in known.by_name)
