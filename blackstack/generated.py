"""Pages that are made of data: written anew, or held against it; `--check` is for CI."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def keep(pages: Mapping[Path, str], *, check: bool, again: str) -> int:
    """Write the pages that are stale, or only say which are; return the exit code: 1 where one is, and was only said.

    Args:
        pages: what each file should hold.
        check: write nothing.
        again: the command that writes them.
    """
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        sys.stderr.writelines(f"{path} is stale; next: {again}\n" for path in stale)
        return int(bool(stale))
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
    return 0
