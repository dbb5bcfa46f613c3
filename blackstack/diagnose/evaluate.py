"""How often is the diagnosis right? ``python -m blackstack.diagnose.evaluate LABELLED.jsonl`` says.

A record has ``id``, ``label`` (a code, or ``healthy``) and ``log``. Records are split by a hash of their id:
the signatures were written with a look at the ``seen`` ones only; what they made of the ``held`` ones, before
anybody looked, was 26 right of 29 and no false alarm on 5.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blackstack.diagnose import diagnose
from blackstack.errors import BlackstackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEALTHY = "healthy"
_BUCKETS, _SEEN_BUCKETS = 5, 3


@dataclass(frozen=True)
class Case:
    """A labelled log and what was said of it, most likely first."""

    name: str
    label: str
    said: tuple[str, ...]

    @property
    def held_out(self) -> bool:
        """Whether the signatures were written without a look at this log."""
        return int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % _BUCKETS >= _SEEN_BUCKETS

    def right(self, among: int) -> bool:
        """Whether the label is among the first *among* answers; silence is the answer to a healthy log."""
        return not self.said if self.label == HEALTHY else self.label in self.said[:among]


@dataclass(frozen=True)
class Score:
    """Counts over some cases."""

    failures: int
    top1: int
    top3: int
    healthy: int
    false_alarms: int

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Score:
        """Count."""
        cases = list(cases)
        broken = [c for c in cases if c.label != HEALTHY]
        healthy = [c for c in cases if c.label == HEALTHY]
        return cls(
            failures=len(broken),
            top1=sum(c.right(1) for c in broken),
            top3=sum(c.right(3) for c in broken),
            healthy=len(healthy),
            false_alarms=sum(bool(c.said) for c in healthy),
        )

    def __str__(self) -> str:
        return (
            f"{self.failures:8} {_share(self.top1, self.failures):>14} {_share(self.top3, self.failures):>14}"
            f" {self.healthy:8} {self.false_alarms:13}"
        )


def read(path: Path) -> list[Case]:
    """Diagnose every record of a JSON-lines file."""
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [_case(record) for record in records]
    except OSError as error:
        raise UsageError(f"cannot read {path}", why=str(error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a file of labelled logs", why=repr(error)) from error


def table(cases: Sequence[Case]) -> str:
    """Return the scores, and each case that went wrong."""
    rows = [f"{'':8} {'failures':>8} {'top-1':>14} {'top-3':>14} {'healthy':>8} {'false alarms':>13}"]
    for name, some in (
        ("all", cases),
        ("seen", [c for c in cases if not c.held_out]),
        ("held", [c for c in cases if c.held_out]),
    ):
        rows.append(f"{name:8} {Score.of(some)}")
    wrong = [c for c in cases if not c.right(1)]
    if wrong:
        rows += ["", "wrong at first:"]
        rows += [f"  {c.name}  {c.label}  ←  {', '.join(c.said[:3]) or 'nothing'}" for c in wrong]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when top-1 is below `--at-least` or a healthy log raised an alarm."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.diagnose.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, help="JSON lines with id, label and log")
    parser.add_argument("--at-least", type=float, default=0.0, metavar="SHARE", help="top-1 that is enough (0 to 1)")
    options = parser.parse_args(arguments)
    try:
        cases = read(options.file)
    except BlackstackError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{table(cases)}\n")
    score = Score.of(cases)
    good = score.top1 >= options.at_least * score.failures and not score.false_alarms
    return 0 if good else 1


def _case(record: dict[str, Any]) -> Case:
    said = diagnose(record["log"].splitlines())
    return Case(name=record["id"], label=record["label"], said=tuple(finding.code for finding in said))


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:6.1%}" if whole else "none"


if __name__ == "__main__":
    sys.exit(main())
