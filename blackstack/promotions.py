"""What was promoted: for each stack a history, in which one entry is current.

::

    results/promotions/NAME.json       the history; `current` is the one truth, all else follows it
    results/promotions/NAME/ID.json    the measurement behind an entry
    results/baselines/NAME.json        the current one's measurement, to compare with

An entry names an image by its id, and by its digest where a registry gave one. Going back makes no new entry: the
entry before becomes current, and the one that was left stays in the history.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blackstack.errors import BlockedError, UsageError

SCHEMA = 1
_TEXT = ("id", "image", "image_id", "result", "result_sha256", "archive", "promoted_at")


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """An image that was taken into service, and why.

    Attributes:
        id: what it is called in the history.
        image: what stands in the stack's files for it.
        image_id: what the engine calls it.
        result: the measurement that spoke for it, as it was named then, and ``result_sha256`` its content.
        archive: the name of the file that the image is kept in.
        promoted_at: UTC.
        before: the entry that was current until then.
    """

    id: str
    image: str
    image_id: str
    result: str
    result_sha256: str
    archive: str
    promoted_at: str
    before: str | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """All promotions of a stack, the oldest first."""

    stack: str
    entries: tuple[Promotion, ...] = ()
    current_id: str | None = None

    @property
    def current(self) -> Promotion | None:
        """The entry in service."""
        return self.called(self.current_id)

    @property
    def previous(self) -> Promotion | None:
        """The entry that was in service before the current one."""
        return self.called(self.current.before) if self.current else None

    def called(self, name: str | None) -> Promotion | None:
        """Return the entry of this id."""
        return next((entry for entry in self.entries if entry.id == name), None)

    def promoted(self, entry: Promotion) -> History:
        """Return the history with a new entry, current now."""
        new = replace(entry, before=self.current_id)
        return replace(self, entries=(*self.entries, new), current_id=new.id)

    def rolled_back(self) -> History:
        """Return the history with the entry before the current one in its place."""
        return replace(self, current_id=self.previous.id if self.previous else self.current_id)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result that may speak for an image.

    Attributes:
        path: the file.
        text: its content.
        image: the name of the image that was measured, and ``image_id`` what the engine called it.
    """

    path: Path
    text: str
    image: str
    image_id: str

    @property
    def sha256(self) -> str:
        """The checksum of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def history_file(root: Path, stack: str) -> Path:
    """Return where the history of a stack lies."""
    return root / "results" / "promotions" / f"{stack}.json"


def result_file(root: Path, stack: str, entry: Promotion) -> Path:
    """Return where the measurement behind an entry lies."""
    return root / "results" / "promotions" / stack / f"{entry.id}.json"


def baseline_file(root: Path, stack: str) -> Path:
    """Return where the current measurement lies."""
    return root / "results" / "baselines" / f"{stack}.json"


def read(root: Path, stack: str) -> History:
    """Return the history of a stack; an empty one where nothing was promoted.

    Raises:
        UsageError: the file was written by something else.
    """
    path = history_file(root, stack)
    if not path.is_file():
        return History(stack=stack)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        entries = tuple(Promotion(**entry) for entry in told["promotions"])
        history = History(stack=told["stack"], entries=entries, current_id=told["current"])
        texts = [getattr(entry, key) for entry in entries for key in _TEXT]
        sound = told["schema"] == SCHEMA and history.stack == stack and all(isinstance(text, str) for text in texts)
        names = [entry.id for entry in entries] + [entry.archive for entry in entries]
        sound = sound and all(re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) for name in names)  # they become paths
        sound = sound and (history.current is not None or not entries)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path.relative_to(root)} cannot be read", why=str(error), fix="git diff results/") from error
    if not sound:
        raise UsageError(f"{path.relative_to(root)} is no history of {stack}", fix="git diff results/")
    return history


def as_text(history: History) -> str:
    """Return the history as its file has it."""
    data = {
        "schema": SCHEMA,
        "stack": history.stack,
        "current": history.current_id,
        "promotions": [asdict(entry) for entry in history.entries],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def as_baseline(text: str, entry: Promotion, pin: str) -> str:
    """Return a measurement with its provenance: of which image, where it came from, and the pin that it goes with."""
    about = {"pin": pin, **{key: value for key, value in asdict(entry).items() if key != "before"}}
    return json.dumps({**json.loads(text), "baseline": about}, indent=2, ensure_ascii=False) + "\n"


def is_stale(baseline: Mapping[str, Any], pin: str) -> bool:
    """Tell whether a baseline speaks for another image than the stack's files name now."""
    about = baseline.get("baseline")
    return not isinstance(about, dict) or about.get("pin") != pin


def newest(root: Path, stack: str) -> Measured:
    """Return the newest result of a stack that may speak for an image.

    Raises:
        BlockedError: there is none; it says why of each file that came near.
    """
    good: list[tuple[str, Measured]] = []
    near: list[str] = []
    for path in sorted((root / "results").glob("*.json")):
        try:
            measured = measurement(path, stack)
        except UsageError:
            continue  # of another stack, or no result at all
        except BlockedError as error:
            near.append(f"{path.name}: {'; '.join(error.why)}")
        else:
            good.append((str(json.loads(measured.text)["measured_at"]), measured))
    if not good:
        raise BlockedError(
            f"no result speaks for {stack}",
            why=near or "it was not measured yet",
            fix=f"inv up --stack {stack} --runtime docker && inv bench --stack {stack}",
        )
    return max(good, key=lambda one: one[0])[1]


def measurement(path: Path, stack: str) -> Measured:
    """Return a result, when it may speak for an image of this stack.

    Raises:
        UsageError: it is no result, or another stack's.
        BlockedError: it is one that proves too little.
    """
    try:
        text = path.read_text(encoding="utf-8")
        told = json.loads(text)
        asked, found, runs = told["asked_for"], told["found_inside"], told["runs"]
        whose, failed = asked.get("stack"), sum(sum(run["failures"].values()) for run in runs)
    except FileNotFoundError as error:
        raise UsageError(f"there is no result {path}", fix=f"inv bench --stack {stack}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path.name} is no result of `inv bench`", why=str(error)) from error
    if whose != stack:
        raise UsageError(f"{path.name} measured {whose or 'a server that is no stack'}, not {stack}")
    image, image_id = str(asked.get("image") or ""), str(found.get("image_id") or "")
    faults = {
        f"it is incomplete: {', '.join(told.get('missing') or ['a layer'])}": told.get("complete") is not True,
        "it names no image: measured without Docker, or not started by `inv up`": not (image and image_id),
        f"{failed} of its requests failed": failed,
        "nothing was measured": not runs,
    }
    lacks = [fault for fault, so in faults.items() if so]
    if lacks:
        raise BlockedError(f"{path.name} does not speak for {stack}", why=lacks, fix=f"inv bench --stack {stack}")
    return Measured(path=path, text=text, image=image, image_id=image_id)
