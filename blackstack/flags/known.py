"""`data/ENGINE-VERSION.json` and `gone.json` → what a version of an engine knows, and what became of the rest."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstack.flags.extract import PREFIXES

DATA = Path(__file__).with_name("data")
_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?[kmgtKMGT]")


@dataclass(frozen=True, kw_only=True)
class Flag:
    """An option as the engine's parser has it.

    Attributes:
        names: its option strings, the first one being what people call it.
        nargs: as argparse has it: 0 takes no value, None takes one, else a number, ``?``, ``*`` or ``+``.
        kind: what a value must look like: ``free``, ``whole``, ``number``, ``size`` (such as 8k), ``json``, or
            ``own``: the engine checks it in a way that is not known here.
        choices: the values allowed; empty where the parser does not restrict them.
        none: whether the word None is taken too.
        repeats: whether it may stand more than once, each adding to the others.
        deprecated: what the engine says about its end, or nothing.
    """

    names: tuple[str, ...]
    nargs: int | str | None = None
    kind: str = "free"
    choices: tuple[str, ...] = ()
    none: bool = False
    repeats: bool = False
    deprecated: str = ""

    @property
    def name(self) -> str:
        """The name that people use: the first long one."""
        return next((name for name in self.names if name.startswith("--")), self.names[0])

    def fault(self, value: str) -> str:
        """Return what is wrong with a value, or nothing.

        >>> Flag(names=("--port",), kind="whole").fault("eight")
        'must be a whole number'
        """
        accepts, wanted = _KINDS[self.kind]
        if (self.none and value in {"None", ""}) or accepts(value):
            return ""
        return f"must be {wanted}"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What one version of an engine understands.

    Attributes:
        allow_abbrev: whether an unambiguous beginning of an option's name stands for it.
        flexible: whether ``_`` stands for ``-`` in names, and ``--flag.key value`` for JSON: vLLM's own parser.
        positionals: how many words without a flag are taken.
        serve_wants_model_first: whether `vllm serve` with --served-model-name stops unless its first word is the model.
        serve_refuses_model_flag: whether `vllm serve --model` stops.
        variables: the environment variables of the engine's own that it reads.
        source: the file that all this was taken from.
    """

    engine: str
    version: str
    flags: tuple[Flag, ...]
    variables: frozenset[str]
    positionals: int = 0
    allow_abbrev: bool = True
    flexible: bool = False
    serve_wants_model_first: bool = False
    serve_refuses_model_flag: bool = False
    source: str = ""

    @functools.cached_property
    def by_name(self) -> Mapping[str, Flag]:
        """Each option string with its flag."""
        return {name: flag for flag in self.flags for name in flag.names}

    def owns(self, variable: str) -> bool:
        """Tell whether a variable, by its name, is meant for this engine."""
        return re.match(PREFIXES[self.engine], variable) is not None


@dataclass(frozen=True, kw_only=True)
class Gone:
    """A flag or variable of earlier versions, and what does its work now.

    Attributes:
        name: what it was called.
        instead: what to write, empty where there is nothing to write.
        why: what became of it.
        source: where that is said.
    """

    engine: str
    name: str
    instead: str
    why: str
    source: str


def versions(engine: str) -> tuple[str, ...]:
    """Return the versions that there is data of, the oldest first."""
    found = [path.stem.removeprefix(f"{engine}-") for path in DATA.glob(f"{engine}-*.json")]
    return tuple(sorted(found, key=_order))


@functools.cache
def load(engine: str, version: str) -> Known:
    """Read the data of a version that `versions` names."""
    data: dict[str, Any] = json.loads((DATA / f"{engine}-{version}.json").read_text(encoding="utf-8"))
    return known_of(data)


def known_of(data: Mapping[str, Any]) -> Known:
    """Make what is known from data as `extract` writes it."""
    flags = (
        Flag(
            names=tuple(flag["names"]),
            nargs=flag["nargs"],
            kind=flag["kind"],
            choices=tuple(flag.get("choices", ())),
            none=flag.get("none", False),
            repeats=flag.get("repeats", False),
            deprecated=flag.get("deprecated", ""),
        )
        for flag in data["flags"]
    )
    return Known(
        engine=data["engine"],
        version=data["version"],
        flags=tuple(flags),
        variables=frozenset(data["variables"]) | frozenset(data["also_named"]),
        positionals=len(data["positionals"]),
        allow_abbrev=data["allow_abbrev"],
        flexible=data["flexible"],
        serve_wants_model_first=data.get("serve_wants_model_first", False),
        serve_refuses_model_flag=data.get("serve_refuses_model_flag", False),
        source=str(data["source"]).partition(" sha256")[0],
    )


def closest(engine: str, version: str | None) -> Known | None:
    """Return what is known of a version; else of the last one before it. What is no number gets the newest.

    The answer's ``version`` says which one it is. None: nothing is known of the engine.
    """
    known = versions(engine)
    if not known:
        return None
    if version is None or not re.match(r"v?\d", version):  # such as `nightly`, or `nightly-5f70bf1`
        return load(engine, known[-1])
    before = [one for one in known if _order(one) <= _order(version)]
    return load(engine, before[-1] if before else known[0])


def became(known: Known, name: str) -> Gone | None:
    """Say what became of a flag or variable that this version does not have; None: no version is known to have had it.

    What people wrote down (`gone.json`) comes before what follows from the data of older versions.
    """
    table = gone(known.engine)
    if name in table:
        return table[name]
    for version in reversed(versions(known.engine)):
        older = load(known.engine, version)
        if _order(version) < _order(known.version) and (name in older.by_name or name in older.variables):
            note = older.by_name[name].deprecated if name in older.by_name else ""
            why = f"{version} had it" + (f" and said: {note}" if note else "")
            return Gone(engine=known.engine, name=name, instead="", why=why, source=older.source)
    return None


def first_with(known: Known, name: str) -> str:
    """Return the first version after this one that has a flag or variable, or nothing."""
    for version in versions(known.engine):
        newer = load(known.engine, version)
        if _order(version) > _order(known.version) and (name in newer.by_name or name in newer.variables):
            return version
    return ""


@functools.cache
def gone(engine: str) -> Mapping[str, Gone]:
    """Return the flags and variables that an engine once had, by name."""
    rows = json.loads((DATA.with_name("gone.json")).read_text(encoding="utf-8"))["gone"]
    return {row["name"]: Gone(**row) for row in rows if row["engine"] == engine}


def _order(version: str) -> tuple[tuple[int, int], ...]:
    """Return what versions are sorted by; ``0.5.3rc1`` comes before ``0.5.3``, ``0.5.3.post1`` after."""
    ranks = {"dev": -3, "rc": -1, "post": 1}
    parts = re.findall(r"(dev|rc|post)?\.?(\d+)", version.partition("+")[0])
    ordered = [(ranks[word] if word else 0, int(number)) for word, number in parts]
    return (*((2, number) if not rank else (rank + 1 if rank < 0 else 1, number) for rank, number in ordered), (1, 0))


def _takes(convert: Callable[[str], object]) -> Callable[[str], bool]:
    def accepts(value: str) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    return accepts


_KINDS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "free": (lambda _: True, "any text"),
    "own": (lambda _: True, "what the engine says"),
    "whole": (_takes(int), "a whole number"),
    "number": (_takes(float), "a number"),
    "size": (
        lambda value: value == "auto" or _SIZE.fullmatch(value) is not None or _takes(int)(value),
        "a whole number, or one such as 8k",
    ),
    "json": (_takes(json.loads), "JSON"),
}
