"""The data files of this room, read once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DATA = Path(__file__).with_name("data")


@cache
def table(name: str) -> Any:  # noqa: ANN401 - a tree of YAML; each reader makes frozen objects of it
    """Return a data file as plain lists and mappings."""
    return YAML(typ="safe").load(DATA / name)
