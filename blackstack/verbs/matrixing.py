"""Matrix: write docs/matrix.md from the records, or say that it is older than they are."""

from __future__ import annotations

import json

from blackstack import catalog, console
from blackstack.errors import BlockedError
from blackstack.files import write_whole
from blackstack.matrix import build, page
from blackstack.verbs.choose import ROOT

PAGE = ROOT / "docs" / "matrix.md"


def matrix(*, check: bool = False, as_json: bool = False) -> None:
    """Write the page; with *check* only compare it, with *as_json* print the data instead.

    Raises:
        BlockedError: the page is stale, with *check*.
    """
    found = build(ROOT, catalog.load_all(ROOT))
    if as_json:
        console.raw(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    text = page(found)
    fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
    if check and not fresh:
        raise BlockedError("docs/matrix.md is stale: a record or a stack is newer than it", fix="inv matrix")
    if not fresh:
        write_whole(PAGE, text)
    console.say(
        f"docs/matrix.md {'is as new as its records' if fresh else 'written'}: {len(found.rows)} stacks, "
        f"{len(found.reported)} reports"
    )
