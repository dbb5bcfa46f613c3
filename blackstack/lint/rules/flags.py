"""Every word of the command is one that this version of the engine understands, and understands as it was meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from blackstack.errors import nearest
from blackstack.finding import Severity
from blackstack.flags import Known, Use, became, first_with, ranges
from blackstack.lint.document import Service, Where
from blackstack.lint.engine import Engine, engine_of, reading_of, starts_with_serve
from blackstack.lint.rule import Fault, Rule

GROUP = "The engine understands its command"
_ARGPARSE = "https://docs.python.org/3/library/argparse.html"
_DATA = "the engine's own parser, kept in blackstack/flags/data"
_SHOWN = 8  # choices that are shown


def unknown(service: Service) -> Iterator[Fault]:
    """Look for flags that this version does not have, and never had as far as we know."""
    for engine, known, use, at in _uses(service):
        if use.how == "unknown" and became(known, use.word) is None:
            near = nearest(use.word, (name for name in known.by_name if name.startswith("--")))
            later = first_with(known, use.word)
            fix = f"it came with {known.engine} {later} or shortly before" if later else ""
            fix = fix or (f"{near}, if that is what was meant" if near else "")
            title = f"{_called(known)} has no flag {use.word}"
            yield Fault(title=title, at=at, shown=use.word, fix=fix, severity=_sure(engine), source=known.source)


def removed(service: Service) -> Iterator[Fault]:
    """Look for flags that earlier versions had."""
    for engine, known, use, at in _uses(service):
        old = became(known, use.word) if use.how in {"unknown", "ambiguous"} else None
        if old is not None:
            title = f"{_called(known)} has {use.word} no more: {old.why}"
            yield Fault(title=title, at=at, shown=use.word, fix=old.instead, severity=_sure(engine), source=old.source)


def abbreviated(service: Service) -> Iterator[Fault]:
    """Look for words that argparse takes for the beginning of another flag."""
    for engine, known, use, at in _uses(service):
        if use.how == "abbreviated" and use.flag is not None:
            meant = next(name for name in use.flag.names if name.startswith(use.word))
            title = f"{_called(known)} takes {use.word} for {meant}"
            old = became(known, use.word)
            fix = (old.instead if old else "") or f"{meant}, if that is what was meant"
            yield Fault(title=title, at=at, shown=use.word, fix=fix, severity=_sure(engine), source=known.source)


def ambiguous(service: Service) -> Iterator[Fault]:
    """Look for words that are the beginning of several flags."""
    for engine, known, use, at in _uses(service):
        if use.how == "ambiguous" and became(known, use.word) is None:
            title = f"{_called(known)} does not know which flag {use.word} means"
            shown = f"{use.word}: {', '.join(use.candidates[:_SHOWN])}"
            yield Fault(title=title, at=at, shown=shown, severity=_sure(engine), source=known.source)


def invalid_choice(service: Service) -> Iterator[Fault]:
    """Look for values that the parser does not list."""
    for engine, known, use, at in _uses(service):
        if use.flag is None or not use.flag.choices or use.key:
            continue
        for value in use.values:
            if value not in use.flag.choices and not (use.flag.none and value == "None"):
                near = nearest(value, use.flag.choices)
                more = "" if len(use.flag.choices) <= _SHOWN else ", …"
                listed = ", ".join(use.flag.choices[:_SHOWN]) + more
                yield Fault(
                    title=f"{value} is no choice of {use.flag.name} in {_called(known)}",
                    at=at,
                    shown=f"{use.word} {value}",
                    fix=f"one of {listed}" + (f"; {near} is the nearest" if near else ""),
                    severity=_sure(engine),
                    source=known.source,
                )


def wrong_type(service: Service) -> Iterator[Fault]:
    """Look for values that the flag's type refuses."""
    for engine, known, use, at in _uses(service):
        if use.flag is None or use.key or use.flag.choices:
            continue
        for value in use.values:
            if fault := use.flag.fault(value):
                title = f"{use.flag.name} {fault}, not {value!r}"
                shown = f"{use.word} {value}"
                yield Fault(title=title, at=at, shown=shown, severity=_sure(engine), source=known.source)


def out_of_range(service: Service) -> Iterator[Fault]:
    """Look for numbers that no server can do with."""
    for _, known, use, at in _uses(service):
        names = use.flag.names if use.flag and not use.key else ()
        for allowed in (found for name, found in ranges(known.engine).items() if name in names):
            for value in use.values:
                if fault := allowed.fault(value):
                    shown = f"{use.word} {value}"
                    yield Fault(title=f"{use.word} {fault}, not {value}", at=at, shown=shown, source=allowed.source)


def missing_value(service: Service) -> Iterator[Fault]:
    """Look for flags whose value is not there."""
    for engine, known, use, at in _uses(service):
        if use.lacks_value:
            title = f"{use.word} has no value"
            yield Fault(title=title, at=at, shown=use.word, severity=_sure(engine), source=known.source)


def needless_value(service: Service) -> Iterator[Fault]:
    """Look for values of flags that take none."""
    for engine, known, use, at in _uses(service):
        if use.has_needless_value:
            title = f"{use.word} takes no value"
            shown = f"{use.word}={use.values[0]}"
            yield Fault(title=title, at=at, shown=shown, severity=_sure(engine), source=known.source)


def repeated(service: Service) -> Iterator[Fault]:
    """Look for flags that stand twice: the last one wins, silently."""
    uses = [(known, use, at) for _, known, use, at in _uses(service) if use.flag and not use.key]
    counts = Counter(use.flag.names for _, use, _ in uses if use.flag and not use.flag.repeats)
    for names, count in counts.items():
        if count > 1:
            known, use, at = [one for one in uses if one[1].flag and one[1].flag.names == names][-1]
            title = f"{use.word} stands {count} times, and only the last counts"
            yield Fault(title=title, at=at, shown=" ".join((use.word, *use.values)), source=known.source)


def deprecated(service: Service) -> Iterator[Fault]:
    """Look for flags that the engine says will go."""
    for _, known, use, at in _uses(service):
        if use.flag is not None and use.flag.deprecated:
            title = f"{use.flag.name} will go: {use.flag.deprecated}"
            yield Fault(title=title, at=at, shown=use.word, source=known.source)


def unexpected_word(service: Service) -> Iterator[Fault]:
    """Look for words that no flag takes."""
    engine = engine_of(service)
    if engine is None or engine.known is None:
        return
    reading, words = reading_of(service, engine)
    allowed = engine.known.positionals
    if engine.manner.model_first:
        allowed = int(starts_with_serve(service) and bool(reading.loose) and reading.loose[0][0] == 0)
    for place, word in reading.loose[allowed:]:
        if word.strip():
            at = service.at(*words[place][0])
            title = f"{_called(engine.known)} does not know what to do with {word!r}"
            yield Fault(title=title, at=at, shown=word, severity=_sure(engine), source=engine.known.source)


def model_not_first(service: Service) -> Iterator[Fault]:
    """Look for `vllm serve` whose model is not where it wants it."""
    engine = engine_of(service)
    if engine is None or engine.known is None or not starts_with_serve(service):
        return
    reading, words = reading_of(service, engine)
    named = [use for use in reading.uses if use.flag and "--model" in use.flag.names]
    served = any(use.flag and "--served-model-name" in use.flag.names for use in reading.uses)
    known = engine.known
    if named and known.serve_refuses_model_flag:
        at = service.at(*words[named[0].at][0])
        yield Fault(
            title=f"`serve` of {_called(known)} takes no --model",
            at=at,
            shown="--model",
            severity=_sure(engine),
            source=known.source,
        )
    first = words[0][1] if words else ""
    if known.serve_wants_model_first and served and first.startswith("-") and not named:
        title = f"`serve` of {_called(known)} wants the model as its first word"
        yield Fault(title=title, at=service.at(*words[0][0]), shown=first, severity=_sure(engine), source=known.source)


def other_version(service: Service) -> Iterator[Fault]:
    """Say so where the flags were held against another version's."""
    engine = engine_of(service)
    if engine is None or engine.known is None or engine.exact:
        return
    is_of = (
        f"{engine.name} {engine.version}" if engine.version else f"{service.image or engine.name}: a version unknown"
    )
    title = f"the flags of {is_of} were held against {_called(engine.known)}"
    yield Fault(title=title, at=service.at("image"), shown=service.image)


def _uses(service: Service) -> Iterator[tuple[Engine, Known, Use, str]]:
    """Yield each flag of the command with its engine, what is known of it, and its place."""
    engine = engine_of(service)
    if engine is None or engine.known is None:
        return
    reading, words = reading_of(service, engine)
    for use in reading.uses:
        yield engine, engine.known, use, _place(service, words[use.at][0])


def _place(service: Service, where: Where) -> str:
    return service.at(*where)


def _called(known: Known) -> str:
    return f"{known.engine} {known.version}"


def _sure(engine: Engine) -> Severity | None:
    """Return a lower severity where the flags are not those of this very version."""
    return None if engine.exact else "warning"


RULES = (
    Rule(
        code="flag-unknown",
        severity="error",
        group=GROUP,
        about="Every flag is one of this version's.",
        why="the engine stops with «unrecognized arguments», after the image was pulled",
        fix="leave it out, or look it up in the engine's --help",
        source=_DATA,
        check=unknown,
    ),
    Rule(
        code="flag-removed",
        severity="error",
        group=GROUP,
        about="No flag of an earlier version.",
        why="the engine stops with «unrecognized arguments»",
        fix="leave it out",
        source=_DATA,
        check=removed,
    ),
    Rule(
        code="flag-abbreviated",
        severity="error",
        group=GROUP,
        about="Every flag is written out.",
        why="argparse takes the beginning of a name for the whole; a flag that is gone may silently mean another one",
        fix="write the flag out",
        source=_ARGPARSE + "#argument-abbreviations-prefix-matching",
        check=abbreviated,
    ),
    Rule(
        code="flag-ambiguous",
        severity="error",
        group=GROUP,
        about="No word is the beginning of several flags.",
        why="the engine stops with «ambiguous option»",
        fix="write the flag out",
        source=_ARGPARSE + "#argument-abbreviations-prefix-matching",
        check=ambiguous,
    ),
    Rule(
        code="flag-invalid-choice",
        severity="error",
        group=GROUP,
        about="Where the parser lists a flag's values, it is one of them.",
        why="the engine stops with «invalid choice»",
        fix="one of the choices",
        source=_DATA,
        check=invalid_choice,
    ),
    Rule(
        code="flag-wrong-type",
        severity="error",
        group=GROUP,
        about="Numbers are numbers, JSON is JSON.",
        why="the engine stops with «invalid value»",
        fix="a value of that type",
        source=_DATA,
        check=wrong_type,
    ),
    Rule(
        code="flag-out-of-range",
        severity="error",
        group=GROUP,
        about="Numbers are such as the engine can do with.",
        why="the parser takes any number, and the engine refuses it later, or dies of it",
        fix="a number of the range",
        source="the engine's own checks, kept in blackstack/flags/ranges.json",
        check=out_of_range,
    ),
    Rule(
        code="flag-missing-value",
        severity="error",
        group=GROUP,
        about="A flag that takes a value has one.",
        why="the engine stops with «expected one argument»",
        fix="write the value behind it",
        source=_DATA,
        check=missing_value,
    ),
    Rule(
        code="flag-needless-value",
        severity="error",
        group=GROUP,
        about="A flag that takes no value has none.",
        why="the engine stops with «ignored explicit argument»",
        fix="leave the value out; --no-… switches it off where there is such a flag",
        source=_DATA,
        check=needless_value,
    ),
    Rule(
        code="flag-repeated",
        severity="error",
        group=GROUP,
        about="No flag stands twice, a flag and its --no-… neither.",
        why="the last one wins silently, and a reader believes the first",
        fix="leave one out",
        source=_ARGPARSE,
        check=repeated,
    ),
    Rule(
        code="flag-deprecated",
        severity="warning",
        group=GROUP,
        about="No flag that the engine says will go.",
        why="the next version stops at it",
        fix="what the engine names instead",
        source=_DATA,
        check=deprecated,
    ),
    Rule(
        code="word-unexpected",
        severity="error",
        group=GROUP,
        about="No word that no flag takes.",
        why="the engine stops with «unrecognized arguments»; official images start the server themselves",
        fix="leave it out",
        source=_DATA,
        check=unexpected_word,
    ),
    Rule(
        code="model-not-first",
        severity="error",
        group=GROUP,
        about="Behind `vllm serve` the model stands first, without a flag.",
        why="its parser stops with «`model` should be provided as the first positional argument»",
        fix="command: [MODEL, --flag, …], directly behind `serve`",
        source=_DATA,
        check=model_not_first,
    ),
    Rule(
        code="flags-of-another-version",
        severity="info",
        group=GROUP,
        about="Says when a version's own flags are not known, and which version's were taken instead.",
        why="a nightly, or a version whose parser was not taken yet; faults of its flags are warnings then",
        fix="nox -s parsers -- vllm==VERSION",
        source=_DATA,
        check=other_version,
    ),
)
