"""Versions of drivers, engines and toolkits as numbers; those of Python packages are `packaging`'s matter."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def numbers(text: str) -> Version:
    """Return a version's numbers, up to the first thing that is none.

    >>> numbers("580.95.05"), numbers("26.1.5+dfsg1"), numbers("v2.32.4-desktop.1"), numbers("unknown")
    ((580, 95, 5), (26, 1, 5), (2, 32, 4), ())
    """
    found = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(map(int, found[1].split("."))) if found else ()
