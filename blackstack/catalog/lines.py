"""YAML with its lines: a file read so that each key and item knows where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError


class BrokenYamlError(ValueError):
    """The file is no YAML; ``line`` is where (from 1), ``reason`` why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"{line}: {reason}")
        self.line, self.reason = line, reason


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - a tree of YAML
    """Return what a file holds.

    Raises:
        BrokenYamlError: it is no YAML.
        OSError: it cannot be read.
    """
    try:
        return YAML(typ="rt").load(path)  # round-trip is a safe loader, and keeps line numbers
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise BrokenYamlError(mark.line + 1 if mark else 1, reason) from error
    except UnicodeDecodeError as error:
        raise BrokenYamlError(1, "it is not UTF-8 text") from error
    except YAMLError as error:  # a character that no YAML may have
        raise BrokenYamlError(1, str(error)) from error


def line_of(data: Any, where: Sequence[int | str]) -> int:  # noqa: ANN401 - a tree of YAML
    """Return the line of a key or an item, or of the nearest thing above it that has one; lines count from 1."""
    found = data.lc.line + 1 if hasattr(data, "lc") else 1
    for part in where:
        try:
            place = data.lc.key(part) if isinstance(data, CommentedMap) else data.lc.item(part)
            found, data = place[0] + 1, data[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return int(found)
