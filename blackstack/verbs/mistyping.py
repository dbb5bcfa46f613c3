"""What cannot be meant on the command line: why, and what was probably meant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from blackstack import catalog
from blackstack.errors import UsageError, nearest, unknown_name
from blackstack.verbs.choose import ROOT

_FOR_A_FILE = ("--file", "--log", "--archive", "--result")


def unknown(word: str, verb: str | None, flags: Mapping[str, str], verbs: Collection[str]) -> UsageError:
    """Make the error for a word that nothing takes.

    Args:
        word: as it was typed.
        verb: behind which it stands; None: in front of the first one.
        flags: of that verb, with what each is for.
        verbs: all that there are.
    """
    if word.startswith("-"):
        return _unknown_flag(word, verb, flags)
    if verb and (meant := _meant_flag(word, flags)):
        what = f"inv {verb} takes {word!r} only behind a flag"
        return UsageError(what, why=f"{meant}: {flags[meant]}", fix=f"inv {verb} {meant} {word}")
    return unknown_name("verb", word, verbs, see="inv --list")


def no_value(verb: str | None, flag: str, about: str) -> UsageError:
    """Make the error for a flag whose value is not there."""
    command = f"inv {verb} " if verb else "inv "
    return UsageError(f"{command}{flag} needs a value", why=about, fix=f"{command}{flag} VALUE, or {command}--help")


def too_few(verb: str | None, wanted: Sequence[str], lacking: Sequence[str]) -> UsageError:
    """Make the error for a verb that cannot do without words that are not there."""
    names = [word.upper() for word in wanted]
    what, why = f"inv {verb} needs {' and '.join(names)}", f"not given: {', '.join(lacking).upper()}"
    return UsageError(what, why=why, fix=[f"inv {verb} {' '.join(names)}", f"what they are: {_help(verb)}"])


def _unknown_flag(word: str, verb: str | None, flags: Mapping[str, str]) -> UsageError:
    if not verb:
        why = "a verb's flags stand behind it"
        return UsageError(f"inv itself has no flag {word}", why=why, fix=["inv up --stack NAME", _help(verb)])
    near = nearest(word, (flag for flag in flags if flag.startswith("--"))) if word.startswith("--") else None
    why = "" if word.startswith("--") else "flags are spelled out, such as --stack"
    fix = [f"did you mean {near}?   # {flags[near]}"] if near else []
    return UsageError(f"inv {verb} has no flag {word}", why=why, fix=[*fix, f"see them all: {_help(verb)}"])


def _meant_flag(word: str, flags: Mapping[str, str]) -> str | None:
    """Return the flag that a word without one was probably meant for."""
    if word in catalog.names(ROOT) and "--stack" in flags:
        return "--stack"
    if "=" in word and "--set" in flags:
        return "--set"
    path = Path(word)
    is_path = path.is_file() or "/" in word or path.suffix[1:].isalpha()  # it may be a file that is not there
    return next((flag for flag in _FOR_A_FILE if flag in flags and is_path), None)


def _help(verb: str | None) -> str:
    return f"inv {verb} --help" if verb else "inv --help"
