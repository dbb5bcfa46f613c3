"""One archive for a bug report: findings, logs, versions, and what the caller adds; all of it redacted."""

from __future__ import annotations

import getpass
import io
import json
import platform
import socket
import tarfile
from collections import deque
from importlib import metadata
from typing import TYPE_CHECKING

from blackstack.diagnose.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from blackstack.finding import Finding

HEAD, TAIL = 400, 4000
"""Lines kept from either end of a long log: the versions stand in front, the death at the end."""

_WIDEST = 4000
_PACKAGES = ("blackstack", "vllm", "sglang", "torch", "triton", "flashinfer-python", "transformers", "docker")


def write(
    target: Path, findings: Mapping[Path, Sequence[Finding]], attachments: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Write *target* (.tar.gz) for the diagnosed logs; return the names of its members.

    Each file is redacted with the same stand-ins, so that `<host-1>` is one host in all of them.
    """
    redact = Redactor(names=_own_names())
    said = {log.name: [finding.as_dict() for finding in found] for log, found in findings.items()}
    members = {
        "findings.json": redact(json.dumps(said, indent=2, ensure_ascii=False)),
        "versions.json": json.dumps(_versions(), indent=2),
    }
    for number, log in enumerate(findings, start=1):
        members[f"logs/{number}-{redact(log.name)}"] = "".join(map(redact, _excerpt(log)))
    for number, extra in enumerate(attachments, start=1):
        members[f"attached/{number}-{redact(extra.name)}"] = redact(extra.read_text(errors="replace"))
    with tarfile.open(target, "w:gz") as archive:
        for name, text in members.items():
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)  # no owner, no time: they are nobody's business either
            archive.addfile(entry, io.BytesIO(content))
    return tuple(members)


def _excerpt(log: Path) -> Iterator[str]:
    """Yield the ends of a log; a line too long to read is cut."""
    tail: deque[str] = deque(maxlen=TAIL)
    left_out = 0
    with log.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines):
            short = line if len(line) <= _WIDEST else f"{line[:_WIDEST]} … ({len(line)} characters)\n"
            if number < HEAD:
                yield short
            else:
                left_out += len(tail) == TAIL
                tail.append(short)
    if left_out:
        yield f"… {left_out} lines left out …\n"
    yield from tail


def _own_names() -> tuple[str, ...]:
    host = socket.gethostname()
    return host, host.partition(".")[0], getpass.getuser()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
