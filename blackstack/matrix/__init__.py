"""The compatibility matrix: what is known of each stack on each class of GPU, how, by what, and since when.

::

    compose/ env/ dockerfiles/ ──► pins ──┐
    results/*.json, builds/, audit/ ──────┼──► table ──► page (docs/matrix.md)
    results/reported/, upstream.yaml ─────┘

Nothing of it is typed into the page: a cell is read from a record, or says that it is not verified.
"""

from __future__ import annotations

from blackstack.matrix.page import page
from blackstack.matrix.table import CLASSES, Cell, Matrix, Row, build

__all__ = ["CLASSES", "Cell", "Matrix", "Row", "build", "page"]
