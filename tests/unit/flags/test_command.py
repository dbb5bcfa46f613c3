"""A command line is read as argparse reads it; argparse itself is the oracle."""

from __future__ import annotations

import argparse
import functools
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blackstack.flags import Flag, Known, Reading, closest, read, versions
from blackstack.flags.known import load


class Refusal(Exception):  # noqa: N818 - what argparse would print before it exits
    """Argparse stops."""


class Oracle(argparse.ArgumentParser):
    """Argparse, which raises where it would exit."""

    def error(self, message: str) -> NoReturn:
        """Raise the message."""
        raise Refusal(message)


def oracle(known: Known) -> Oracle:
    """Build a real parser from what is known."""
    parser = Oracle(add_help=False, allow_abbrev=known.allow_abbrev)
    for place, flag in enumerate(known.flags):
        more: dict[str, Any] = {"dest": f"flag{place}"}
        if flag.nargs == 0:
            more["action"] = "store_true"
        else:
            more["nargs"] = flag.nargs
            if flag.kind == "whole":
                more["type"] = int
            if flag.choices:
                more["choices"] = flag.choices
        parser.add_argument(*flag.names, **more)
    for place in range(known.positionals):
        parser.add_argument(f"word{place}", nargs="?")
    return parser


@functools.cache
def real(engine: str, version: str) -> tuple[Known, Oracle]:
    """Build the parser of an engine's version."""
    known = load(engine, version)
    return known, oracle(known)


def refused(reading: Reading, known: Known) -> bool:
    """Say whether the reading has anything that argparse stops at."""
    return len(reading.loose) > known.positionals or any(
        use.flag is None
        or use.lacks_value
        or use.has_needless_value
        or any((use.flag.choices and value not in use.flag.choices) or use.flag.fault(value) for value in use.values)
        for use in reading.uses
    )


def values_of(reading: Reading, known: Known) -> dict[str, Any]:
    """Return what argparse would store."""
    stored: dict[str, Any] = {
        f"flag{place}": False if flag.nargs == 0 else None for place, flag in enumerate(known.flags)
    }
    for use in reading.uses:
        assert use.flag
        convert = int if use.flag.kind == "whole" else str
        values = [convert(value) for value in use.values]
        one = use.flag.nargs in {None, "?"}
        stored[f"flag{known.flags.index(use.flag)}"] = (
            True if use.flag.nargs == 0 else (values[0] if values else None) if one else values
        )
    loose: list[str | None] = [word for _, word in reading.loose]
    return {**stored, **{f"word{place}": (loose[place:] or [None])[0] for place in range(known.positionals)}}


NAMES = st.text("ab-", min_size=1, max_size=4).map(lambda text: f"--{text}").filter(lambda name: name.strip("-"))
FLAGS = st.lists(
    st.builds(
        lambda names, nargs, kind, choices: Flag(
            names=tuple(sorted(names)),
            nargs=nargs,
            kind=kind if nargs != 0 else "free",
            choices=choices if nargs != 0 and kind == "free" else (),
        ),
        st.sets(NAMES, min_size=1, max_size=2),
        st.sampled_from([0, None, "?", "*", "+", 2]),
        st.sampled_from(["free", "whole"]),
        st.sampled_from([(), ("x", "y")]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda flag: flag.names,
)
VALUES = st.sampled_from(["1", "x", "y", "-1", "-0.5", "", "a b", "-", "--a b"])


@st.composite
def lines(draw: st.DrawFn) -> tuple[Known, list[str]]:
    """Draw a parser and a command line that is mostly about it."""
    flags = draw(FLAGS)
    seen: set[str] = set()
    kept = []
    for flag in flags:
        if not seen & set(flag.names):
            kept.append(flag)
            seen |= set(flag.names)
    known = Known(
        engine="vllm",
        version="0",
        flags=tuple(kept),
        variables=frozenset(),
        positionals=draw(st.integers(0, 1)),
        allow_abbrev=draw(st.booleans()),
    )
    beginnings = st.sampled_from(sorted(seen)).flatmap(
        lambda name: st.integers(3, len(name)).map(lambda length: name[:length])
    )
    words = st.one_of(beginnings, VALUES, NAMES, VALUES, st.builds("{}={}".format, beginnings, VALUES))
    return known, draw(st.lists(words, max_size=6))


@settings(deadline=None, max_examples=1000)
@given(lines())
def test_what_argparse_takes_and_refuses_is_read_so(line: tuple[Known, list[str]]) -> None:
    known, words = line
    try:
        expected: dict[str, Any] | None = vars(oracle(known).parse_args(words))
    except Refusal:
        expected = None

    reading = read(words, known)

    assert refused(reading, known) == (expected is None)
    if expected is not None:
        assert values_of(reading, known) == expected


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@settings(deadline=None)
@given(data=st.data())
def test_every_beginning_of_an_engine_s_flag_means_what_argparse_says(engine: str, data: st.DataObject) -> None:
    known, parser = real(engine, data.draw(st.sampled_from(versions(engine))))
    name = data.draw(st.sampled_from(sorted(name for name in known.by_name if name.startswith("--"))))
    begin = name[: data.draw(st.integers(3, len(name)))]
    matches = [option for option in known.by_name if option.startswith(begin)]

    (use,) = read([begin], known).uses

    try:
        parser.parse_args([begin])
        said = ""
    except Refusal as refusal:
        said = str(refusal)
    assert ("ambiguous" in said) == (use.how == "ambiguous")
    assert ("expected" in said) == use.lacks_value
    assert use.how == ("exact" if begin in known.by_name else "abbreviated" if len(matches) == 1 else "ambiguous")


@pytest.mark.parametrize(
    ("words", "word", "key", "values"),
    [
        (["--max_model_len", "8k"], "--max-model-len", "", ("8k",)),
        (["--max_model_len=8k"], "--max-model-len", "", ("8k",)),
        (["--attention-config.backend", "FLASHINFER"], "--attention-config", "backend", ("FLASHINFER",)),
        (["--attention_config.use_cudnn_prefill=true"], "--attention-config", "use_cudnn_prefill", ("true",)),
        (["-O3"], "--optimization-level", "", ("3",)),
        (["-O=3"], "--optimization-level", "", ("3",)),
        (["-O", "3"], "--optimization-level", "", ("3",)),
        (["-tp", "2"], "-tp", "", ("2",)),
    ],
)
def test_vllm_s_own_spellings_are_understood(words: list[str], word: str, key: str, values: tuple[str, ...]) -> None:
    known = closest("vllm", "0.32.0")
    assert known

    (use,) = read(words, known).uses

    assert (use.how, use.word, use.key, use.values) == ("exact", word, key, values)
    assert not use.lacks_value


def test_the_seeds_flag_silently_meant_another_one() -> None:
    known = load("sglang", "0.5.2")

    (use,) = read(["--disable-flashinfer"], known).uses

    assert use.how == "abbreviated"
    assert use.flag
    assert use.flag.name == "--disable-flashinfer-cutlass-moe-fp4-allgather"
