"""Several files, and names of images, changed as one: all of them or none, also when we are killed half-way.

The new files are written beside the old ones, then a journal says what is to be done, then it is done::

    drafts  ──►  journal  ──►  renames, tags  ──►  journal removed
    (killed here: nothing changed)  (killed here: `mend` goes on to the end)

Every step may be done twice, so whoever finds a journal does all of it again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blackstack import shell
from blackstack.errors import BlackstackError
from blackstack.interrupt import deferred

_DRAFT = ".blackstack-draft"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is to become of files and names.

    Attributes:
        says: the sentence that names it, such as ``promote toy``.
        files: the new text of each file; None removes it.
        tags: the image that each name shall stand for.
    """

    says: str
    files: Mapping[Path, str | None]
    tags: Mapping[str, str] = field(default_factory=dict)


def apply(change: Change, root: Path, stack: str) -> None:
    """Make the change, or nothing of it.

    Args:
        change: what to do; nothing is written where files and names are so already.
        root: the repository; all files lie in it.
        stack: whose change it is; one at a time, which is for the caller to see to.

    Raises:
        OSError: a file cannot be written; then nothing was changed.
        BlackstackError: the engine does not take a name; then the files are changed, and `mend` tries again.
    """
    with deferred():
        journal = _journal(root, stack)
        drafts: list[Path] = []
        try:
            for path, text in change.files.items():
                if text is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    drafts.append(_draft(path))
                    _write(drafts[-1], text, like=path)
            journal.parent.mkdir(parents=True, exist_ok=True)
            _write(_draft(journal), json.dumps(_noted(change, root), indent=2) + "\n")
        except OSError:
            for draft in (*drafts, _draft(journal)):
                draft.unlink(missing_ok=True)
            raise
        _draft(journal).replace(journal)
        _sync(journal.parent)
        _finish(root, stack)


def mend(root: Path, stack: str) -> str | None:
    """Bring a change that was interrupted to its end, and return its sentence; None where there was none.

    What was killed before it had a journal has changed nothing; its drafts are removed.
    """
    with deferred():
        said = _finish(root, stack) if _journal(root, stack).exists() else None
        for draft in _stray(root, stack):
            draft.unlink(missing_ok=True)
    return said


def unfinished(root: Path, stack: str) -> bool:
    """Whether a change of this stack was interrupted half-way."""
    return _journal(root, stack).exists()


def _finish(root: Path, stack: str) -> str:
    journal = _journal(root, stack)
    try:
        noted = json.loads(journal.read_text(encoding="utf-8"))
        files = {root / name: digest for name, digest in noted["files"].items()}
        tags, says = dict(noted["tags"]), str(noted["says"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BlackstackError(
            f"the journal {journal} cannot be read", fix=f"look at git diff, then: rm {journal}"
        ) from error
    outside = [path for path in files if not path.resolve().is_relative_to(root.resolve())]
    if outside:
        raise BlackstackError(f"the journal {journal} names a file outside of the repository", why=str(outside[0]))
    for path, digest in files.items():
        draft = _draft(path)
        if digest is None:
            path.unlink(missing_ok=True)
        elif _digest(draft) == digest:
            draft.replace(path)
        elif _digest(path) != digest:
            raise BlackstackError(
                f"{says} was interrupted, and cannot be brought to its end: {path.name} was changed since",
                fix=f"look at git diff, then: rm {journal}",
            )
        _sync(path.parent)
    for name, image in tags.items():
        tagged = shell.capture(("docker", "tag", image, name), own_session=True)
        if tagged.code:
            raise shell.CommandFailedError(tagged, what=f"{name} does not stand for {image[:19]} yet")
    journal.unlink()
    _sync(journal.parent)
    return says


def _noted(change: Change, root: Path) -> dict[str, Any]:
    files = {
        str(path.relative_to(root)): None if text is None else hashlib.sha256(text.encode()).hexdigest()
        for path, text in change.files.items()
    }
    return {"says": change.says, "files": files, "tags": dict(change.tags)}


def _journal(root: Path, stack: str) -> Path:
    return root / ".blackstack" / "run" / stack / "change.json"


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}{_DRAFT}")


def _stray(root: Path, stack: str) -> Iterator[Path]:
    """Yield the drafts of this stack's files: their names hold the stack's, and nothing else of ours ends so."""
    for folder in ("compose", "env", "results/baselines", "results/promotions", f"results/promotions/{stack}"):
        for draft in (root / folder).glob(f".*{_DRAFT}"):
            if folder.endswith(f"/{stack}") or draft.name.startswith(f".{stack}."):
                yield draft
    yield _draft(_journal(root, stack))


def _write(path: Path, text: str, *, like: Path | None = None) -> None:
    """Write a file down to the disk, with the rights of the one that it will replace."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    if like and like.exists():
        path.chmod(like.stat().st_mode & 0o7777)


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _sync(folder: Path) -> None:
    """Have the kernel write a folder's names down: a rename is only then safe from a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
