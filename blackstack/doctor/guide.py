"""`findings.toml` and the registry → docs/doctor.md.

``python -m blackstack.doctor.guide`` writes it; ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from blackstack.doctor.checks import CHECKS
from blackstack.doctor.texts import texts
from blackstack.generated import keep

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
_PLACE = re.compile(r"\{(\w+)\}")
_COMMAND = re.compile(
    r"(sudo|docker|inv|nvidia-smi|nvidia-ctk|apt-mark|export|ulimit|ls|lspci|getent|cp|mokutil|du|ps|systemctl)\b"
)
_HEAD = """\
# inv doctor

<!-- Generated from findings.toml: python -m blackstack.doctor.guide -->

```sh
inv doctor                   # this machine, and which stacks fit it
inv doctor --stack NAME      # a stack on this machine: driver, image, memory, disk, port, and all below
inv doctor --stack NAME --json
```

Exit code 1 where something is certain to fail, else 0. `inv up` runs the quick half of the checks by itself, and
starts nothing when one of them blocks. `--json` prints `{"host": {…}, "findings": […]}`; a finding has `code`,
`severity`, `title`, `evidence`, `cause`, `fix`, `verify` and `source`; without a stack, `host.stacks` says which fit.

Nothing is changed, nothing is started. Of an image that is not here, the registry is asked for its metadata: some
kilobytes, with the login that `docker pull` would use.

## How far it is proved

Ports, disk, memory, limits, permissions and Docker were provoked on a real machine. What is said of GPUs, drivers,
WSL2, SELinux and CDI is tested with outputs that users published (`tests/unit/facts/seen.yaml`), and is **not verified
on an RTX 5090**.

## Checks

| looks after | without a stack | before `inv up` | may say |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    rows = (
        f"| {check.title} | {'yes' if check.of == 'machine' else ''} | {'yes' if check.before_up else ''} "
        f"| {', '.join(f'[`{code}`](#{code})' for code in check.codes)} |"
        for check in CHECKS
    )
    parts = (line for code, text in texts().items() for line in _part(code, text))
    return "\n".join([_HEAD + "\n".join(rows), "", "## Findings", "", *parts])


def _part(code: str, text: Mapping[str, Any]) -> Iterator[str]:
    cause = _shown(text.get("cause", ""))
    yield from (f"### {code}", "", f"**{_shown(text['title'])}** ({text['severity']})", "")
    yield from (f"{cause[:1].upper()}{cause[1:]}.", "") if cause and cause != cause.upper() else ()
    yield from (f"- {_command(_shown(line))}" for line in text.get("fix", ()))
    yield f"- mended when this works: {_command(_shown(text['verify']), always=True)}"
    yield from (f"- source: <{text['source']}>",) if text.get("source") else ()
    yield ""


def _shown(text: str) -> str:
    """Return a text with its places as a person reads them: ``{port}`` is PORT, and what we type is `inv up …`."""
    return _PLACE.sub(lambda place: "inv up …" if place[1] == "again" else place[1].upper(), text)


def _command(line: str, *, always: bool = False) -> str:
    command, gap, remark = line.partition("   # ")
    if always or _COMMAND.match(line):
        return f"`{command}`{f'  ({remark})' if gap else ''}"
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or say that it is stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m blackstack.doctor.guide", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when the page is stale")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE")
    options = parser.parse_args(arguments)
    return keep({options.page: page()}, check=options.check, again=parser.prog)


if __name__ == "__main__":
    sys.exit(main())
