"""What stops us. Each error says what failed, why, and what to do next, and has an exit code.

::

    BlackstackError             3  the engine, or something it stands on, failed
    ├── UsageError              2  what was typed or written cannot be meant
    ├── BlockedError            1  the machine is not in a state in which this can work
    └── InterruptedRunError   130  somebody pressed Ctrl-C, and everything was put back

A mistake of the user's is one of these and shows no traceback; anything else is a mistake of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from blackstack.finding import Finding


class BlackstackError(Exception):
    """Base of everything that a user may see.

    Args:
        what: the sentence that is shown first; no full stop needed.
        why: the cause, or the evidence, a line each.
        fix: what to do next, a command or an advice a line.
        code: of the finding that it is, where there is one: a slug of `diagnose/signatures.yaml`.

    Attributes:
        findings: the known causes, most likely first, once somebody has looked for them.
    """

    exit_code = 3

    def __init__(
        self, what: str, *, why: str | Sequence[str] = (), fix: str | Sequence[str] = (), code: str = ""
    ) -> None:
        super().__init__(what)
        self.code = code
        self.findings: tuple[Finding, ...] = ()
        self.what = what
        self.why = _lines(why)
        self.fix = _lines(fix)

    def __str__(self) -> str:
        return told(self.what, self.why, self.fix)


class UsageError(BlackstackError):
    """What was typed, or written into a file, cannot be meant."""

    exit_code = 2


class BlockedError(BlackstackError):
    """The machine is not in a state in which this can work; nothing was started."""

    exit_code = 1


class InterruptedRunError(BlackstackError):
    """Somebody pressed Ctrl-C (or sent SIGTERM), and everything was put back."""

    exit_code = 130


def told(what: str, why: Iterable[str], fix: Iterable[str]) -> str:
    """Return what is wrong, why, and what to do next, as people read it: a line each."""
    reasons = [f"  {line}" for line in why if line]
    steps = [f"  {'next:' if number == 0 else '     '} {line}" for number, line in enumerate(fix)]
    return "\n".join([what, *reasons, *steps])


def unknown_name(kind: str, name: str, known: Iterable[str], *, see: str) -> UsageError:
    """Make the error for a name that does not exist; it offers the nearest one."""
    names = sorted(known)
    near = nearest(name, names)
    fix = [f"did you mean {near!r}?"] if near else []
    why = f"known: {', '.join(names)}" if names else "there are none"
    return UsageError(f"no {kind} called {name!r}", why=why, fix=[*fix, f"see them all: {see}"])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a mistyped one probably meant."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[near[0]] if near else None


def _lines(text: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in (text.splitlines() if isinstance(text, str) else text) if line)
