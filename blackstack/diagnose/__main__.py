"""Say what is wrong in logs: ``python -m blackstack.diagnose FILE… [--json]`` (``-`` reads standard input).

Exit code 0: nothing is wrong; 1: something is; 2: it could not be asked that way. A finding that only informs is 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from blackstack.diagnose import bundle, diagnose
from blackstack.diagnose.facts import ExitFacts
from blackstack.diagnose.terminal import screen
from blackstack.errors import BlackstackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN = "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Diagnose and print; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.name and len(options.logs) > 1:
        parser.error("--name is for one FILE")
    try:
        with ExitStack() as stack:
            logs = [_readable(name, stack) for name in options.logs]
            return _run(options, logs)
    except BlackstackError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _run(options: argparse.Namespace, logs: Sequence[Path]) -> int:
    facts = _facts(options.facts)
    findings = [diagnose(log, facts, language=options.language) for log in logs]
    if options.json:
        data = [[finding.as_dict() for finding in found] for found in findings]
        sys.stdout.write(json.dumps(data[0] if len(data) == 1 else data, indent=2, ensure_ascii=False) + "\n")
    else:
        width, colour = (
            shutil.get_terminal_size().columns,
            sys.stdout.isatty() and "NO_COLOR" not in os.environ,
        )
        told = zip([options.name] if options.name else options.logs, findings, strict=True)
        screens = (screen(name, found, width=max(60, width), colour=colour) for name, found in told)
        sys.stdout.write("\n\n".join(screens) + "\n")
    if options.bundle:
        for extra in options.attach:
            _exists(extra)
        members = bundle.write(options.bundle, dict(zip(logs, findings, strict=True)), options.attach)
        sys.stderr.write(f"wrote {options.bundle}: {', '.join(members)}\n")
    return int(any(finding.severity != "info" for found in findings for finding in found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m blackstack.diagnose",
        description="Say what is wrong in a log, how we know, and what mends it.",
        epilog="exit code 0: nothing is wrong; 1: something is; 2: wrong usage",
    )
    add = parser.add_argument
    add("logs", nargs="+", metavar="FILE", help="a log of any size; - is standard input")
    add("--name", help="what the answer calls the log; without it the file's path")
    add("--json", action="store_true", help="a list of findings; for several files one list a file")
    add(
        "--facts",
        metavar="JSON",
        help='how it ended: {"exit_code": 139, "oom_killed": false, "stage": "serving"}',
    )
    add("--language", choices=["en", "ko"], default="en")
    add("--bundle", type=Path, metavar="OUT.tar.gz", help="also write a redacted archive for a bug report")
    add(
        "--attach",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="one more file for the archive",
    )
    return parser


def _readable(name: str, stack: ExitStack) -> Path:
    """Return a file to read; standard input becomes one, because a bundle reads it twice."""
    if name != STDIN:
        return _exists(Path(name))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="blackstack-"))
    log = Path(folder, "stdin.log")
    with log.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return log


def _exists(path: Path) -> Path:
    if path.is_dir() or not path.exists():
        what = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
        raise UsageError(what, fix="give the path of a log, or - for standard input")
    return path


def _facts(text: str | None) -> ExitFacts | None:
    if text is None:
        return None
    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError("--facts is not JSON", why=str(error), fix='for example {"exit_code": 139}') from error
    if not isinstance(data, dict):
        raise UsageError("--facts is not a JSON object", fix='for example {"exit_code": 139}')
    return ExitFacts.from_mapping(data)


if __name__ == "__main__":
    sys.exit(main())
