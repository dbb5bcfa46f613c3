"""The rules → docs/lint.md.

``python -m blackstack.lint.guide`` writes it; ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from blackstack.flags import versions
from blackstack.flags.known import load
from blackstack.generated import keep
from blackstack.lint.engine import MANNERS
from blackstack.lint.rule import Rule
from blackstack.lint.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"
_HEAD = """\
# What `inv lint` looks for

<!-- Generated from the rules: python -m blackstack.lint.guide -->

```sh
inv lint                            # all stacks, with each of their profiles
inv lint --stack vllm-cpu
inv lint --file docker-compose.yml  # any compose file; the engine and its version are read off the image
inv lint --json                     # for machines: a list of findings
```

Exit code 0: nothing is wrong, or only warnings; 1: something will not work or is not safe; 2: no such file, or no
compose file. Nothing is started, pulled or asked: the answer is the same on every machine.

A flag of a version whose parser is not listed below is held against the last listed one before it, and its faults are
warnings, because they may not be faults.
"""


def page() -> str:
    """Return the whole page."""
    groups = itertools.groupby(RULES, key=lambda rule: rule.group)
    parts = [_HEAD, *(_group(group, list(rules)) for group, rules in groups), *_versions()]
    return "\n".join(parts)


def _group(name: str, rules: Sequence[Rule]) -> str:
    rows = [
        f"| `{rule.code}` | {rule.severity} | {rule.about} | {rule.why} | {_source(rule.source)} |" for rule in rules
    ]
    return "\n".join(
        [f"## {name}", "", "| code | severity | asked for | otherwise | source |", "|---|---|---|---|---|", *rows, ""]
    )


def _source(text: str) -> str:
    return f"[link]({text})" if text.startswith("https:") else text


def _versions() -> Iterator[str]:
    yield "## The versions whose flags are known\n"
    yield "| engine | version | flags | variables | taken from |"
    yield "|---|---|---|---|---|"
    for engine in MANNERS:
        for version in versions(engine):
            known = load(engine, version)
            yield f"| {engine} | {version} | {len(known.flags)} | {len(known.variables)} | `{known.source}` |"
    yield ""
    yield "One more version: `nox -s parsers -- vllm==VERSION`.\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or say that it is stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.lint.guide", description=str(__doc__).split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is stale")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    return keep({options.page: page()}, check=options.check, again=parser.prog)


if __name__ == "__main__":
    sys.exit(main())
